# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`tessera.compile` and direct calls, whole: from Python to numbers."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.cli.app import COMPILE_FAILED, OK, app
from tessera.errors import ArgumentError, ArtifactError, CompileError, TargetError
from typer.testing import CliRunner

# mypy: disable-error-code="name-defined, type-arg, valid-type"

MODEL = """\
import tessera
from tessera import Tensor


@tessera.function
def rms_norm(x: Tensor["B", "S", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["B", "S", "D"]:
    rms = tessera.sqrt(tessera.mean(x ** 2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight


@tessera.function
def double(x: Tensor["N"]) -> Tensor["N"]:
    return x + x
"""


@tessera.function
def rms_norm(x: Tensor["B", "S", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["B", "S", "D"]:
    rms = tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight


@tessera.function
def double(x: Tensor["N"]) -> Tensor["N"]:
    return x + x


@tessera.function
def outputs(x: Tensor["N"]) -> dict[str, Any]:
    return {"sum": x + 1, "pair": (x * 2, x * 3)}


def reference(x: np.ndarray[Any, Any], weight: np.ndarray[Any, Any], eps: float) -> np.ndarray[Any, Any]:
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


@pytest.fixture(scope="module")
def inputs() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((2, 3, 37), np.float32), generator.standard_normal(37, np.float32)


@pytest.fixture(scope="module")
def artifact() -> tessera.Artifact:
    return tessera.compile(rms_norm, targets=("cpu", "native"))


def test_the_artifact_runs_here_and_elsewhere(artifact: tessera.Artifact, inputs: Any, tmp_path: Path) -> None:
    expected = reference(*inputs, 1e-6)
    np.testing.assert_allclose(artifact(*inputs), expected, rtol=2e-6, atol=2e-6)
    artifact.save(tmp_path / "rms_norm.tsr")
    np.savez(tmp_path / "inputs.npz", x=inputs[0], weight=inputs[1])
    script = """
import numpy as np, sys, tessera
data = np.load("inputs.npz")
np.save("y.npy", tessera.load("rms_norm.tsr")(data["x"], weight=data["weight"]))
assert not any(m.startswith(("llvmlite", "tessera._mlir")) for m in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, timeout=60)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), artifact(*inputs))


def test_every_stage_can_be_read(artifact: tessera.Artifact) -> None:
    assert "tessera.sqrt" in artifact.mlir("tessera") or "tessera.rsqrt" in artifact.mlir("tessera")
    assert "linalg.generic" in artifact.mlir("linalg")
    assert "@rms_norm(" in artifact.mlir("llvmir")
    for stage in ("kernels", "rt", "llvm"):
        assert artifact.mlir(stage)


def test_kept_and_dumped_ir(tmp_path: Path) -> None:
    kept = tessera.compile(double, keep_ir=True, dump_dir=tmp_path / "dump")
    kept.save(tmp_path / "double.tsr")
    loaded = tessera.load(tmp_path / "double.tsr")
    names = ["0-tessera.mlir", "1-linalg.mlir", "2-kernels.mlir", "3-rt.mlir", "4-llvm.mlir", "5-llvmir.ll"]
    assert sorted(os.listdir(tmp_path / "dump" / "cpu")) == names
    for name in names:
        stage = name[2:].partition(".")[0]
        assert loaded.mlir(stage) == (tmp_path / "dump" / "cpu" / name).read_text() == kept.mlir(stage)


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    script = """
import sys; sys.path.insert(0, ".")
import hashlib, model, tessera
data = tessera.compile({"norm": model.rms_norm, "double": model.double}, targets=("cpu", "cpu:avx512"), keep_ir=True)
data.save("out.tsr")
"""
    digests = set()
    for folder in ("one", "another/folder"):
        place = tmp_path / folder
        place.mkdir(parents=True)
        (place / "model.py").write_text(MODEL)
        subprocess.run([sys.executable, "-c", script], check=True, cwd=place, timeout=120)
        data = (place / "out.tsr").read_bytes()
        assert str(tmp_path).encode() not in data
        digests.add(hashlib.sha256(data).hexdigest())
    assert len(digests) == 1


def test_several_entries() -> None:
    both = tessera.compile({"a": double, "b": outputs})
    x = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(both.a(x), 2 * x)
    result = both.b(x)
    np.testing.assert_array_equal(result["sum"], x + 1)
    np.testing.assert_array_equal(result["pair"][1], 3 * x)
    with pytest.raises(ArgumentError, match=r"several entry points: expected one of a, b"):
        both(x)


def test_static_values_are_compiled_in(inputs: Any) -> None:
    coarse = tessera.compile(rms_norm, static={"eps": 0.5}, dims={"D": 37, "S": tessera.Dim(1, 8)})
    np.testing.assert_allclose(coarse(*inputs), reference(*inputs, 0.5), rtol=2e-6, atol=2e-6)
    assert coarse.inspect()["signature"]["rms_norm"]["static"] == {"eps": 0.5}
    with pytest.raises(ArgumentError, match=r"argument 'eps': expected 0.5, the value compiled in, got 1e-06"):
        coarse(*inputs, eps=1e-6)


def test_static_linking(tmp_path: Path) -> None:
    made = tessera.compile(double, emit="object")
    made.save(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["double.h", "double.o"]
    header = (tmp_path / "double.h").read_text()
    assert 'int32_t double_(void *const *buffers, const int64_t *symbols, void *workspace) __asm__("double");' in header
    with pytest.raises(ArgumentError, match="emit='object': expected one CPU target, got cpu, cpu:avx512"):
        tessera.compile(double, emit="object", targets=("cpu", "cpu:avx512"))
    with pytest.raises(ArgumentError, match="emit='object': expected one CPU target, got sm_90a"):
        tessera.compile(double, emit="object", targets="sm_90a")


def test_an_unknown_target_is_refused_first() -> None:
    with pytest.raises(TargetError, match="did you mean 'cpu:avx512'"):
        tessera.compile(double, targets="cpu:avx51")


@pytest.mark.parametrize("stage", ["linalg", "kernels", "rt", "llvm", "llvmir", "obj"])
def test_a_crash_in_any_stage_leaves_a_reproducer(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tessera.driver import worker

    worker.shared().close()
    monkeypatch.setenv("TESSERA_TEST_FAULT", f"{stage}:abort")
    with pytest.raises(CompileError, match=rf"\[TSR4002\] .*stage '{stage}' failed: the compiler crashed with SIGABRT"):
        tessera.compile(double)
    monkeypatch.delenv("TESSERA_TEST_FAULT")
    worker.shared().close()
    (folder,) = (tmp_path / "reproducers").iterdir()
    before = folder / f"before-{stage}.{'ll' if stage == 'obj' else 'mlir'}"
    assert before.stat().st_size > 0
    assert before.name in (folder / "replay.sh").read_text()


def test_direct_calls_use_the_disk_cache(inputs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tessera.driver import jit
    from tessera.driver.cache import DiskCache

    @tessera.function
    def scaled(x: Tensor["N"], by: float = 2.0) -> Tensor["N"]:
        return x * by

    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(scaled(x), x * 2)
    np.testing.assert_array_equal(scaled(x[:2]), x[:2] * 2)
    assert DiskCache().info().entries == 1
    np.testing.assert_array_equal(scaled(x, by=3.0), x * 3)
    np.testing.assert_array_equal(scaled(x, 3.0), x * 3)
    np.testing.assert_array_equal(scaled(x), x * 2)
    assert DiskCache().info().entries == 2

    def no_compile(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(jit, "build", no_compile)
    again = jit.JitFunction(scaled)
    np.testing.assert_array_equal(again(x), x * 2)


def test_a_damaged_cache_file_is_made_again() -> None:
    from tessera.driver import jit
    from tessera.driver.cache import DiskCache

    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(jit.JitFunction(double)(x), x * 2)
    (file,) = DiskCache().folder.glob("??/*.tsr")
    file.write_bytes(file.read_bytes()[:500])
    np.testing.assert_array_equal(jit.JitFunction(double)(x), x * 2)
    with pytest.raises(ArtifactError):
        file.write_bytes(b"")
        tessera.load(file)


def test_threads_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tessera.driver import jit

    built = []
    build = jit.build
    monkeypatch.setattr(jit, "build", lambda *a: built.append(1) or build(*a))
    function = jit.JitFunction(double)
    x = np.arange(4, dtype=np.float32)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(function(x))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, x * 2)


def test_the_command_line(tmp_path: Path, inputs: Any) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    runner = CliRunner()

    def run(*arguments: object) -> Any:
        return runner.invoke(app, [str(a) for a in arguments])

    source, out = f"{tmp_path}/model.py:rms_norm", tmp_path / "norm.tsr"
    options = ["--dim", "D=37", "--dim", "S=1:8", "--static", "eps=1e-5", "--dump-dir", tmp_path / "dump", "--times"]
    result = run("compile", source, "-o", out, *options)
    assert result.exit_code == OK, result.output
    assert "linalg" in result.output
    assert (tmp_path / "dump" / "cpu" / "1-linalg.mlir").exists()
    np.save(tmp_path / "x.npy", inputs[0])
    np.save(tmp_path / "w.npy", inputs[1])
    np.save(tmp_path / "y.npy", reference(*inputs, 1e-5).astype(np.float32))
    command = ["run", out, "--input", tmp_path / "x.npy", "--input", f"weight={tmp_path / 'w.npy'}"]
    result = run(*command, "--expect", tmp_path / "y.npy", "--rtol", "1e-5")
    assert result.exit_code == OK, result.output
    assert "linalg.generic" in run("compile", source, "--emit", "linalg").output
    result = run("compile", source, "--emit", "obj", "-o", tmp_path / "norm.o")
    assert result.exit_code == OK, result.output
    assert (tmp_path / "norm.o").read_bytes().startswith(b"\x7fELF")
    assert "rms_norm" in (tmp_path / "norm.h").read_text()


def test_a_compile_error_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad_model.py").write_text(MODEL.replace("x + x", "x + tessera.sqrt(y)"))
    result = CliRunner().invoke(app, ["compile", f"{tmp_path}/bad_model.py:double", "-o", str(tmp_path / "o.tsr")])
    assert result.exit_code == COMPILE_FAILED
    assert "return x + tessera.sqrt(y)" in result.output
    assert "NameError: name 'y' is not defined" in result.output
    assert "Traceback" not in result.output
    assert "driver" not in result.output
    assert not (tmp_path / "o.tsr").exists()
