# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PTX to cubins, by NVIDIA's assembler."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tessera.errors import CompileError

INPUT, OUTPUT = "kernels.ptx", "kernels.cubin"

# What these warn of makes a kernel something else than was written: setmaxnreg ignored, or asynchronous matrix products
# made one after the other.
_REFUSED_WARNINGS = re.compile(r"\bC75(?:08|10|13|14)\b")


@dataclass(frozen=True)
class Usage:
    """What a kernel takes of a multiprocessor: registers a thread, bytes of static shared memory a block.

    ``spills`` is the bytes that a thread stores to and loads from memory for want of registers.
    """

    registers: int
    spills: int
    shared: int


def ptxas_command(ptxas: str, architecture: str, *, lineinfo: bool, source: str, output: str) -> list[str]:
    """Return the command line that makes a cubin."""
    return [ptxas, "-v", f"-arch={architecture}", "-O3", *(["-lineinfo"] if lineinfo else []), source, "-o", output]


def assemble(ptx: str, architecture: str, *, ptxas: str, lineinfo: bool = False) -> tuple[bytes, dict[str, Usage]]:
    """Assemble PTX.

    Parameters
    ----------
    ptx
        A module as text.
    architecture
        What the cubin is for: ``"sm_90a"``.
    ptxas
        The path of the program.
    lineinfo
        Keep the source lines that the PTX has.

    Returns
    -------
    cubin, usage
        The same bytes for the same input and version, and what each kernel takes, by name.

    Raises
    ------
    CompileError
        When ptxas refuses the text, ends by a signal, or warns of what must not be.
    """
    with tempfile.TemporaryDirectory(prefix="tessera-ptxas-") as folder:
        (Path(folder) / INPUT).write_text(ptx)
        # Names without a folder: no path of this machine gets into a cubin or a message.
        command = ptxas_command(ptxas, architecture, lineinfo=lineinfo, source=INPUT, output=OUTPUT)
        code, log = _run(command, folder)
        if code != 0:
            ended = f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
            raise CompileError(f"[TSR4001] ptxas {ended}{_complaints(log)}")
        if _REFUSED_WARNINGS.search(log):
            raise CompileError(f"[TSR4001] ptxas warns of what Tessera's kernels must not do{_complaints(log)}")
        return (Path(folder) / OUTPUT).read_bytes(), parse_usage(log)


def _run(command: list[str], folder: str) -> tuple[int, str]:
    """Run ptxas; where this process is told to end meanwhile, it ends as well."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        log, _ = process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        raise
    return process.returncode, log


def _complaints(log: str) -> str:
    """The lines of what ptxas said that are no statistics: the first goes on with the message, others follow it."""
    lines = [line.strip() for line in log.splitlines() if re.search(r"\b(error|fatal|warning)\b|\(C\d+\)", line)]
    return ": " + "\n  ".join(line.removeprefix("ptxas ") for line in lines[:20]) if lines else ""


def parse_usage(log: str) -> dict[str, Usage]:
    """Read what ``ptxas -v`` says of each kernel."""
    found: dict[str, Usage] = {}
    kernel, spills = "", 0
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '([^']+)'", line):
            kernel, spills = match[1], 0
        elif match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spills += int(match[1]) + int(match[2])  # of functions that it calls, too
        elif kernel and (match := re.search(r"Used (\d+) registers", line)):
            shared = re.search(r"(\d+)(?:\+\d+)? bytes smem", line)
            found[kernel] = Usage(int(match[1]), spills, int(shared[1]) if shared else 0)
            kernel = ""
    return found


__all__ = ["Usage", "assemble", "parse_usage", "ptxas_command"]
