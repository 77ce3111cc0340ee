# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Artifacts loaded and called, here and in a process without the compiler."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tessera.artifact import Artifact, load
from tessera.description import size_text
from tessera.errors import ArgumentError, ArtifactError

X = np.arange(7, dtype=np.float32)


def test_calls(sample_path: Path) -> None:
    artifact = load(sample_path)
    for result in (artifact(X), artifact.add_one(X), artifact(x=X), artifact(X, one=1.0), artifact(X, 1)):
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, X + 1)


def test_out(sample_path: Path) -> None:
    artifact = load(sample_path)
    out = np.zeros_like(X)
    assert artifact(X, out=out) is out
    np.testing.assert_array_equal(out, X + 1)


def test_refused_calls(sample_path: Path) -> None:
    artifact = load(sample_path)
    with pytest.raises(
        ArgumentError, match=r"\[TSR1102\] argument 'one': expected 1.0, the value compiled in, got 2.0"
    ):
        artifact(X, one=2.0)
    with pytest.raises(ArgumentError, match=r"\[TSR1101\] add_one\(\): missing argument 'x'"):
        artifact()
    with pytest.raises(AttributeError, match="no attribute or entry point 'add_two'"):
        _ = artifact.add_two
    with pytest.raises(ArgumentError, match=r"\[TSR4006\] unknown entry point 'add_two': expected one of add_one"):
        artifact.entry("add_two")


def test_inspect(sample_path: Path) -> None:
    description = load(sample_path).inspect()
    assert description["signature"]["add_one"]["text"] == "add_one(x: f32[N]) -> f32[N]"
    assert description["targets"] == ["cpu", "cpu:avx512"]
    assert description["versions"]["format"] == 1
    assert set(description["members"]) == {"host/x86_64-linux-gnu/cpu.o", "host/x86_64-linux-gnu/cpu-avx512.o"}


def test_no_ir_was_kept(sample_path: Path) -> None:
    artifact = load(sample_path)
    with pytest.raises(ArtifactError, match="the artifact keeps no IR: compile it with keep_ir=True"):
        artifact.mlir("linalg")
    with pytest.raises(ArgumentError, match="unknown stage 'linalgs' of target 'cpu': expected one of tessera"):
        artifact.mlir("linalgs")
    with pytest.raises(ArgumentError, match="no target 'cpu:mine': expected one of cpu, cpu:avx512"):
        artifact.mlir("linalg", "cpu:mine")


def test_save_and_pickle(sample_bytes: bytes, tmp_path: Path) -> None:
    artifact = Artifact(sample_bytes)
    artifact.save(tmp_path / "a.tsr")
    assert (tmp_path / "a.tsr").read_bytes() == sample_bytes
    loaded = load(tmp_path / "a.tsr")
    loaded.save(tmp_path / "b.tsr")
    assert (tmp_path / "b.tsr").read_bytes() == sample_bytes
    loaded.save(tmp_path / "a.tsr")  # over the file that it is mapped from
    np.testing.assert_array_equal(loaded(X), X + 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(loaded))(X), X + 1)


def test_workspace_and_benchmark(sample_path: Path) -> None:
    artifact = load(sample_path)
    assert artifact.workspace_size(N=1000) == 0
    times = artifact.benchmark(X, seconds=0.01)
    assert times["runs"] >= 10
    assert 0 < times["min"] <= times["p10"] <= times["median"] <= times["p90"] <= times["p99"]


def test_missing_and_damaged_files(sample_bytes: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no artifact at"):
        load(tmp_path / "missing.tsr")
    for size in (0, 10, 300, len(sample_bytes) // 2, len(sample_bytes) - 1):
        path = tmp_path / f"{size}.tsr"
        path.write_bytes(sample_bytes[:size])
        with pytest.raises(ArtifactError):
            load(path)


def test_loading_imports_no_compiler(sample_path: Path) -> None:
    script = f"""
import sys
import numpy as np
import tessera
result = tessera.load({str(sample_path)!r})(np.ones(3, np.float32))
assert result.tolist() == [2, 2, 2]
print([m for m in sys.modules if m.startswith(("llvmlite", "tessera._mlir", "torch", "jax", "typer", "rich"))])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_size_text() -> None:
    assert size_text(["*", "D", 2]) == "D * 2"
    assert size_text(["//", ["+", "S", 1], 2]) == "(S + 1) // 2"
    assert size_text(["max", "A", ["-", "B", 1]]) == "max(A, (B - 1))"
    assert size_text(4) == "4"
