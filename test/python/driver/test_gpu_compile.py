# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`tessera.compile` for GPUs, whole: from Python to one artifact for several machines."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.cli.app import OK, app
from tessera.driver import worker
from tessera.errors import CompileError, ToolError
from typer.testing import CliRunner

# mypy: disable-error-code="name-defined, type-arg, valid-type"

MODEL = """\
import tessera
from tessera import Tensor


@tessera.function
def rms_norm(x: Tensor["B", "S", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["B", "S", "D"]:
    rms = tessera.sqrt(tessera.mean(x ** 2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight
"""


@tessera.function
def rms_norm(x: Tensor["B", "S", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["B", "S", "D"]:
    rms = tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight


@tessera.function
def double(x: Tensor["N"]) -> Tensor["N"]:
    return x + x


@pytest.fixture(scope="module")
def artifact() -> tessera.Artifact:
    return tessera.compile(rms_norm, targets=["sm_90a", "sm_80", "cpu"])


def test_one_artifact_for_several_machines(artifact: tessera.Artifact) -> None:
    description = artifact.inspect()
    assert description["targets"] == ["sm_90a", "sm_80", "cpu"]
    (kernel,) = description["kernels"]
    assert set(kernel["targets"]) == {"sm_90a", "sm_80"}
    assert all(facts["spills"] == 0 and facts["registers"] > 0 for facts in kernel["targets"].values())
    members = [Path(name).parent.as_posix() for name in description["members"]]
    assert members == ["cuda/compute_80", "cuda/sm_80", "cuda/sm_90a", *["host/x86_64-linux-gnu"] * 3]
    x, weight = np.ones((2, 3, 8), np.float32), np.full(8, 2, np.float32)
    np.testing.assert_allclose(artifact(x, weight), 2 * x, rtol=1e-5)


def test_every_stage_can_be_read(artifact: tessera.Artifact) -> None:
    assert "gpu.module @kernels" in artifact.mlir("gpu")
    assert "nvvm" in artifact.mlir("nvvm", "sm_80")
    assert ".target sm_90a" in artifact.mlir("ptx")
    assert ".target sm_80" in artifact.mlir("ptx", "sm_80")
    assert "EXIT" in artifact.mlir("sass")
    assert "vector" in artifact.mlir("llvm")  # which the CPU alone has
    assert "linalg.generic" in artifact.mlir("linalg")


def test_several_entries_share_a_module() -> None:
    both = tessera.compile({"norm": rms_norm, "double": double}, targets="sm_90a")
    (module,) = both.manifest["modules"].values()
    assert len(module["kernels"]) == 2
    assert len([name for name in both.manifest["members"] if name.endswith(".cubin")]) == 1
    for entry in both.manifest["entries"].values():
        assert entry["variants"][0]["module"] == "sm_90a"


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    script = """
import sys; sys.path.insert(0, ".")
import model, tessera
tessera.compile(model.rms_norm, targets=("sm_90a", "sm_80"), keep_ir=True).save("out.tsr")
"""
    digests = set()
    for folder in ("one", "another/folder"):
        place = tmp_path / folder
        place.mkdir(parents=True)
        (place / "model.py").write_text(MODEL)
        environment = {**os.environ, "TMPDIR": str(place)}
        subprocess.run([sys.executable, "-c", script], check=True, cwd=place, timeout=120, env=environment)
        data = (place / "out.tsr").read_bytes()
        assert str(tmp_path).encode() not in data
        digests.add(hashlib.sha256(data).hexdigest())
    assert len(digests) == 1


def test_progress_names_the_stages() -> None:
    seen: list[tuple[str, str]] = []
    made = tessera.compile(double, targets=("sm_80", "cpu"), progress=lambda *at: seen.append(at))
    stages = [stage for target, stage in seen if target == "sm_80"]
    assert stages == ["tessera", "linalg", "kernels", "rt", "gpu", "nvvm", "ptx", "sass", "llvmir", "obj"]
    assert list(made.compile_seconds["sm_80"]) == stages


@pytest.mark.parametrize("stage", ["gpu", "nvvm", "ptx", "sass", "llvmir"])
def test_a_crash_in_any_stage_leaves_a_reproducer(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.shared().close()
    monkeypatch.setenv("TESSERA_TEST_FAULT", f"{stage}:abort")
    with pytest.raises(CompileError, match=rf"\[TSR4002\] .*stage '{stage}' failed: the compiler crashed with SIGABRT"):
        tessera.compile(double, targets="sm_90a")
    monkeypatch.delenv("TESSERA_TEST_FAULT")
    worker.shared().close()
    (folder,) = (tmp_path / "reproducers").iterdir()
    before = folder / f"before-{stage}.{'ptx' if stage == 'sass' else 'mlir'}"
    assert before.stat().st_size > 0
    replay = (folder / "replay.sh").read_text()
    assert before.name in replay
    if stage == "sass":
        subprocess.run(["sh", folder / "replay.sh"], check=True, capture_output=True)
        assert (folder / "kernels.cubin").read_bytes().startswith(b"\x7fELF")


def test_a_time_limit_ends_ptxas_too(tmp_path: Path) -> None:
    slow = tmp_path / "ptxas"
    slow.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && echo V13.0.1 && exit\necho $$ > {tmp_path}/pid\nexec sleep 600\n"
    )
    slow.chmod(0o755)
    with pytest.raises(CompileError, match="ran past its time limit of 3 s"):
        tessera.compile(double, targets="sm_80", ptxas=slow, timeout=3)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_a_missing_ptxas() -> None:
    with pytest.raises(ToolError, match=r"\[TSR4008\] ptxas=: expected the program ptxas, got '/nowhere/ptxas'"):
        tessera.compile(double, targets="sm_80", ptxas="/nowhere/ptxas")


def test_lines_of_the_users_source_reach_the_cubin() -> None:
    made = tessera.compile(double, targets="sm_80", lineinfo=True)
    assert "test_gpu_compile.py" in made.mlir("ptx")
    assert ".loc" in made.mlir("ptx")
    assert "test_gpu_compile.py" not in tessera.compile(double, targets="sm_80").mlir("ptx")


def test_a_direct_call_compiles_for_the_gpu_of_its_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    from tessera import _runtime
    from tessera.driver import jit
    from tessera.driver.cache import DiskCache
    from test_jit_gpu import DeviceArray

    monkeypatch.setattr(_runtime, "cuda_devices", lambda: [("A GPU", "sm_90a", 1 << 30)])
    jit.target_for.cache_clear()
    x = DeviceArray(np.ones(4, np.float32), (2, 0))
    for _ in range(2):  # compiled, then from the disk cache
        with pytest.raises((tessera.TesseraError, AssertionError)):  # there is no such memory
            jit.JitFunction(double)(x)
        assert DiskCache().info().entries == 1
    jit.target_for.cache_clear()
    (file,) = DiskCache().folder.glob("??/*.tsr")
    assert tessera.load(file).inspect()["targets"] == ["sm_90a"]


def test_host_arrays_are_told_to_move(artifact: tessera.Artifact) -> None:
    made = tessera.compile(double, targets="sm_90a")
    with pytest.raises(tessera.TesseraError, match="sm_90a"):
        made(np.ones(4, np.float32))


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    source, out = f"{tmp_path}/model.py:rms_norm", tmp_path / "norm.tsr"

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    result = run("compile", source, "-o", out, "--target", "sm_90a", "--target", "cpu", "--times")
    assert result.exit_code == OK, result.output
    assert "sass" in result.output
    result = run("inspect", out)
    assert "targets: sm_90a, cpu" in result.output and "on sm_90a: threads" in " ".join(result.output.split())
    assert ".target sm_80" in run("compile", source, "--target", "sm_80", "--emit", "ptx").output
    assert "EXIT" in run("compile", source, "--target", "sm_80", "--target", "cpu", "--emit", "sass").output
