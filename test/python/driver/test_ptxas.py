# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PTX to cubins: what ptxas says is read, what it must not say is an error, and cubins tell nothing of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tessera.driver.ptxas import Usage, assemble, parse_usage
from tessera.driver.sass import disassemble
from tessera.driver.toolkit import find_toolkit
from tessera.errors import CompileError

HEAD = """
.version 8.0
.target sm_90a
.address_size 64
"""
PTX = (
    HEAD
    + """
.visible .entry store(.param .u64 at) {
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  .shared .align 16 .b8 scratch[1024];
  ld.param.u64 %rd1, [at];
  mov.u32 %r1, %tid.x;
  st.shared.u32 [scratch], %r1;
  bar.sync 0;
  ld.shared.u32 %r1, [scratch];
  st.global.u32 [%rd1], %r1;
  ret;
}
.visible .entry nothing() { ret; }
"""
)
# Without .maxntid and .minnctapersm ptxas cannot know the registers at entry.
SETMAXNREG = (
    HEAD
    + """
.visible .entry ignored() {
  setmaxnreg.dec.sync.aligned.u32 40;
  ret;
}
"""
)


@pytest.fixture(scope="module")
def ptxas() -> str:
    return find_toolkit().ptxas


def test_a_cubin_and_its_usage(ptxas: str) -> None:
    cubin, usage = assemble(PTX, "sm_90a", ptxas=ptxas)
    assert cubin.startswith(b"\x7fELF")
    assert set(usage) == {"store", "nothing"}
    assert usage["store"].shared == 1024
    assert usage["store"].spills == 0
    assert 0 < usage["store"].registers < 32
    assert "STG.E" in disassemble(cubin)


def test_the_same_bytes_in_every_folder_and_process(ptxas: str, tmp_path: Path) -> None:
    cubin, _ = assemble(PTX, "sm_90a", ptxas=ptxas)
    script = (
        "import sys; from tessera.driver.ptxas import assemble; "
        "sys.stdout.buffer.write(assemble(sys.stdin.read(), 'sm_90a', ptxas=sys.argv[1])[0])"
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        environment = {**os.environ, "TMPDIR": str(tmp_path / name)}
        command = [sys.executable, "-c", script, ptxas]
        result = subprocess.run(command, input=PTX.encode(), env=environment, capture_output=True, check=True)
        assert result.stdout == cubin
    for trace in (str(tmp_path), "tessera", "kernels.ptx"):
        assert trace.encode() not in cubin


def test_wrong_ptx_is_told_with_its_lines(ptxas: str) -> None:
    with pytest.raises(CompileError) as caught:
        assemble(PTX.replace("bar.sync", "bar.sink"), "sm_90a", ptxas=ptxas)
    message = str(caught.value)
    assert message.startswith("[TSR4001] ptxas ended with exit status ")
    assert "kernels.ptx, line 13; error" in message
    assert "'.sink'" in message


def test_warnings_that_change_a_kernel_are_errors(ptxas: str) -> None:
    with pytest.raises(CompileError, match=r"(?s)\[TSR4001\] ptxas warns .*\(C7508\).*'setmaxnreg' ignored"):
        assemble(SETMAXNREG, "sm_90a", ptxas=ptxas)
    bounded = SETMAXNREG.replace("ignored()", "heeded() .maxntid 384 .minnctapersm 1")
    _, usage = assemble(bounded, "sm_90a", ptxas=ptxas)
    assert list(usage) == ["heeded"]


@pytest.mark.parametrize("code", ["C7508", "C7510", "C7513", "C7514"])
def test_each_warning_is_refused(code: str, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=rf"\({code}\) Potential Performance Loss"):
        assemble(PTX, "sm_90a", ptxas=_pretending(tmp_path, f"ptxas info    : ({code}) Potential Performance Loss: so"))


def test_other_remarks_are_not_refused(tmp_path: Path) -> None:
    cubin, usage = assemble(PTX, "sm_90a", ptxas=_pretending(tmp_path, "ptxas info    : (C7519) Potential: harmless"))
    assert (cubin, usage) == (b"cubin\n", {})


def test_a_crash_of_ptxas_is_an_error(tmp_path: Path) -> None:
    program = _pretending(tmp_path, "ptxas info: 0 bytes gmem", last="kill -SEGV $$")
    with pytest.raises(CompileError, match=r"\[TSR4001\] ptxas crashed with SIGSEGV"):
        assemble(PTX, "sm_90a", ptxas=program)


def test_what_ptxas_says_of_kernels() -> None:
    log = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'rms_0' for 'sm_90a'
ptxas info    : Function properties for rms_0
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem, 400 bytes cmem[0]
ptxas info    : Compile time = 6.193 ms
ptxas info    : Compiling entry function 'sum_1' for 'sm_90a'
ptxas info    : Function properties for sum_1
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Function properties for helper
    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers, 16 bytes cumulative stack size
"""
    assert parse_usage(log) == {"rms_0": Usage(40, 0, 1024), "sum_1": Usage(255, 40, 0)}


def _pretending(folder: Path, says: str, last: str = "echo cubin > kernels.cubin") -> str:
    """A program in place of ptxas that says something."""
    program = folder / "ptxas"
    program.write_text(f'#!/bin/sh\necho "{says}" >&2\n{last}\n')
    program.chmod(0o755)
    return str(program)
