# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera launch``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from meshes import artifact, collective, mesh, one
from tessera.cli import launching
from tessera.cli.app import FAILED, OK, USAGE, app
from typer.testing import CliRunner

SCRIPT = """
import os, signal, sys
import numpy as np
from tessera import _runtime, errors
from tessera.dist import world

f = _runtime.load(sys.argv[1]).entry("f")
x = np.full(2, world.rank(), np.float32)
told = [world.rank(), world.world_size(), world.timeout(), os.environ["NCCL_HELLO"], *f(x)]
sys.stdout.write(" ".join(map(str, told)) + "\\n")
if sys.argv[2] == "kill" and world.rank() == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "kill":
    f(x)
"""


def launch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "f.tsr").write_bytes(artifact({"f": one(mesh([3]), collective("all_reduce", ["a"]))}))
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-c", "from tessera.cli import main; main()", "launch", "-n", "3", "--timeout", "20"]
    return subprocess.run(
        [*command, str(folder / "script.py"), str(folder / "f.tsr"), *arguments],
        env={**os.environ, "NCCL_HELLO": "hello"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_rank_runs_the_script(tmp_path: Path) -> None:
    done = launch(tmp_path, "-n", "--timeout")  # the script's own
    assert done.returncode == OK, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"{rank} 3 20.0 hello 3.0 3.0" for rank in range(3)]
    assert done.stderr == ""


def test_a_rank_that_is_killed(tmp_path: Path) -> None:
    done = launch(tmp_path, "kill")
    label = "all_reduce(sum) over axis 'a' at model.py:12"
    assert done.returncode == FAILED
    for rank in (0, 2):
        assert f"tessera.errors.RuntimeFailure: [TSR2910] rank {rank}: {label}: rank 1 has ended (f)" in done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("tessera: ")]
    assert told == [
        f"tessera: rank 1 was killed by SIGKILL; the last collective it started: {label}",
        "tessera: then ranks 0, 2 failed",
    ]


def test_without_a_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching.sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["launch", "-n", "2", "script.py"])
    assert result.exit_code == USAGE
    assert result.output == (
        "tessera: no mpiexec of MPICH: pip install 'tessera-compiler[mesh]', or start the ranks yourself\n"
    )
