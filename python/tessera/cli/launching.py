# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera launch``: the ranks of a mesh, on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import typer

from tessera.cli.app import FAILED, USAGE, fail

# Where a rank is killed, mpiexec kills the others, which could say what they miss. So it is told a status instead,
# which is kept for us too; and the signal by which it tells the others of any rank that failed is ignored.
_RANK = 'trap "" USR1; "$@"; status=$?; echo $status > "$TESSERA_MESH_STATUS/$PMI_RANK.exit"; exit $status'


def launch(ranks: int, command: Sequence[str], timeout: float | None) -> None:
    """Run a Python script on each rank, and tell which rank failed first and in which collective."""
    launcher = _find_launcher()
    with tempfile.TemporaryDirectory(prefix="tessera-launch-") as folder:
        environment = {**os.environ, "TESSERA_MESH_STATUS": folder}
        if timeout is not None:
            environment["TESSERA_MESH_TIMEOUT"] = str(timeout)
        started = [launcher, "-disable-auto-cleanup", "-n", str(ranks), "sh", "-c", _RANK, "rank"]
        process = subprocess.Popen([*started, sys.executable, *command], env=environment)
        status = _wait(process)
        problems = _problems(Path(folder), ranks)
    for problem in problems:
        typer.echo(f"tessera: {problem}", err=True)
    if status or problems:
        raise typer.Exit(FAILED)


def _find_launcher() -> str:
    """MPICH's mpiexec: of this Python's installation, or on PATH."""
    own = Path(sys.prefix) / "bin" / "mpiexec"
    found = str(own) if own.exists() else shutil.which("mpiexec.hydra")
    if found is None:
        raise fail(USAGE, "no mpiexec of MPICH: pip install 'tessera-compiler[mesh]', or start the ranks yourself")
    return found


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # mpiexec got the signal too, and ends its ranks
            continue


def _problems(folder: Path, ranks: int) -> list[str]:
    """One line for the rank that failed first, and one for those that did after it."""
    ended = {rank: folder / f"{rank}.exit" for rank in range(ranks)}
    first_to_last = sorted((path.stat().st_mtime_ns, rank) for rank, path in ended.items() if path.exists())
    failed = [(rank, int(ended[rank].read_text())) for _, rank in first_to_last]
    failed = [(rank, status) for rank, status in failed if status != 0]
    if not failed:
        return []
    (first, status), *others = failed
    lines = [f"rank {first} {_describe(status)}{_last_collective(folder / str(first))}"]
    if others:
        numbers = ", ".join(str(rank) for rank, _ in sorted(others))
        lines.append(f"then rank{'s' if len(others) > 1 else ''} {numbers} failed")
    return lines


def _describe(status: int) -> str:
    signals = {128 + number: number.name for number in signal.Signals}
    return f"was killed by {signals[status]}" if status in signals else f"ended with status {status}"


def _last_collective(file: Path) -> str:
    """What the runtime noted of a rank, if it came as far as a collective."""
    if not file.exists():
        return ""
    label = file.read_bytes().split(b"\0", 1)[0].decode(errors="replace")
    return f"; the last collective it started: {label}" if label else ""
