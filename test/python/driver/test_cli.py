# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The command line: what each command does, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from tessera.cli.app import BAD_ARTIFACT, COMPILE_FAILED, FAILED, OK, USAGE, app
from tessera.driver.build import producer
from typer.testing import CliRunner

runner = CliRunner()


def tessera(*arguments: object) -> tuple[int, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_help_names_the_exit_codes() -> None:
    code, output = tessera("--help")
    assert code == OK
    assert "Exit codes:" in output
    for command in ("compile", "run", "inspect", "explain", "bench", "cache"):
        assert command in output


def test_help_loads_no_compiler() -> None:
    script = (
        "import sys; sys.argv = ['tessera', '--help']\ntry:\n    import tessera.cli; tessera.cli.main()\nfinally:\n"
    )
    script += "    print([m for m in ('llvmlite', 'tessera._mlir') if m in sys.modules], file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "arguments", [("compile",), ("nonsense",), ("run",), ("inspect", "--wrong"), ("cache", "prune", "--size")]
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert tessera(*arguments)[0] == USAGE


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = tessera("version")
    assert code == OK and output.startswith("tessera ") and ", mlir 22." in output and ", llvmlite " in output
    producer.cache_clear()
    monkeypatch.setitem(sys.modules, "tessera._mlir._mlir_libs", None)  # importing it fails
    code, output = tessera("version")
    assert code == OK and output.endswith(", without a compiler\n")


@pytest.fixture
def x_path(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(5, dtype=np.float32))
    return path


def test_run_writes_and_compares(sample_path: Path, x_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "y.npy"
    code, output = tessera("run", sample_path, "--input", x_path, "--output", out)
    assert (code, "f32[5]" in output) == (OK, True)
    np.testing.assert_array_equal(np.load(out), np.arange(1, 6, dtype=np.float32))
    assert tessera("run", sample_path, "--input", f"x={x_path}", "--expect", out)[0] == OK
    np.save(tmp_path / "wrong.npy", np.array([1, 2, 3, 4, 6], np.float32))
    code, output = tessera("run", sample_path, "--input", x_path, "--expect", tmp_path / "wrong.npy")
    assert code == FAILED
    assert "1 of 5 elements differ, first at [4]: expected 6.0, got 5.0" in output
    assert tessera("run", sample_path, "--input", x_path, "--expect", tmp_path / "wrong.npy", "--atol", "1")[0] == OK
    np.save(tmp_path / "short.npy", np.ones(4, np.float32))
    code, output = tessera("run", sample_path, "--input", x_path, "--expect", tmp_path / "short.npy")
    assert (code, "expected shape [4], got [5]" in output) == (FAILED, True)


def test_run_prints_without_files_to_write(sample_path: Path, x_path: Path) -> None:
    code, output = tessera("run", sample_path, "--input", x_path)
    assert code == OK
    assert "[1. 2. 3. 4. 5.]" in output


def test_run_refuses(sample_path: Path, x_path: Path, tmp_path: Path) -> None:
    assert tessera("run", sample_path)[0] == USAGE
    assert tessera("run", sample_path, "--input", x_path, "--input", x_path)[0] == USAGE
    assert tessera("run", sample_path, "--input", tmp_path / "missing.npy")[0] == USAGE
    assert tessera("run", tmp_path / "missing.tsr", "--input", x_path)[0] == USAGE
    code, output = tessera("run", sample_path, "--entry", "add_two", "--input", x_path)
    assert (code, "expected one of add_one" in output) == (USAGE, True)
    np.save(tmp_path / "wrong.npy", np.zeros((2, 2), np.float32))
    code, output = tessera("run", sample_path, "--input", tmp_path / "wrong.npy", "--output", tmp_path / "y.npy")
    assert (code, "[TSR2002]" in output) == (FAILED, True)
    assert not (tmp_path / "y.npy").exists()
    (tmp_path / "text.npy").write_text("text")
    code, output = tessera("run", sample_path, "--input", tmp_path / "text.npy")
    assert (code, "expected a .npy file" in output) == (FAILED, True)


def test_bad_artifacts(sample_path: Path, x_path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tsr"
    cut.write_bytes(sample_path.read_bytes()[:-100])
    for command in (("run", cut, "--input", x_path), ("inspect", cut), ("bench", cut)):
        code, output = tessera(*command)
        assert code == BAD_ARTIFACT, output
        assert "Traceback" not in output
    altered = tmp_path / "altered.tsr"
    data = bytearray(sample_path.read_bytes())
    for code in re.finditer(rb"\x7fELF", bytes(data)):  # whichever this processor runs
        data[code.start() + 64] ^= 1
    altered.write_bytes(data)
    assert tessera("run", altered, "--input", x_path)[0] == BAD_ARTIFACT
    assert tessera("inspect", "--verify", altered)[0] == BAD_ARTIFACT


def test_inspect(sample_path: Path) -> None:
    code, output = tessera("inspect", sample_path)
    assert code == OK
    assert "add_one(x: f32[N]) -> f32[N]" in output
    assert "one = 1.0, compiled in" in output
    code, output = tessera("inspect", sample_path, "--json", "--verify")
    description = json.loads(output)
    assert code == OK
    assert description["targets"] == ["cpu", "cpu:avx512"]
    assert description["signature"]["add_one"]["inputs"][0]["name"] == "x"
    assert set(description) >= {"signature", "targets", "kernels", "weights", "collectives", "host_syncs", "versions"}


def test_bench(sample_path: Path) -> None:
    code, output = tessera("bench", sample_path, "--dim", "N=64", "--seconds", "0.05", "--json")
    numbers = json.loads(output)
    assert code == OK
    assert numbers["dims"] == {"N": 64}
    assert 0 < numbers["min"] <= numbers["median"] <= numbers["p90"] <= numbers["p99"]
    code, output = tessera("bench", sample_path, "--seconds", "0.05", "--fresh")
    assert (code, "median" in output) == (OK, True)
    code, output = tessera("bench", sample_path, "--dim", "M=64")
    assert (code, "unknown symbol 'M'" in output) == (USAGE, True)


def test_cache_commands(tmp_path: Path) -> None:
    from tessera.driver.cache import DiskCache

    DiskCache().put("aa", bytes(2048))
    code, output = tessera("cache", "info", "--json")
    assert (code, json.loads(output)["entries"]) == (OK, 1)
    assert "1 artifacts, 2.0 KiB of 1.0 GiB" in tessera("cache", "info")[1].replace("\n", "")
    assert tessera("cache", "prune", "--size", "lots")[0] == USAGE
    assert tessera("cache", "prune", "--size", "1K") == (OK, "removed 2.0 KiB\n")
    assert tessera("cache", "clear") == (OK, "removed 0 B\n")


def test_arrays_of_extension_dtypes_survive_npy(tmp_path: Path) -> None:
    from tessera.cli.arrays import read_array

    array = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", array)
    read = read_array(tmp_path / "x.npy", "bf16")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model.py",), "expected FILE.py:NAME"),
        (("missing.py:f",), "no file 'missing.py'"),
        (("model.py:ff",), "has no function 'ff'; did you mean 'f'?"),
        (("model.py:f", "--target", "cpu:avx51"), "did you mean 'cpu:avx512'?"),
        (("model.py:f", "--dim", "D"), "--dim: expected NAME=VALUE, got 'D'"),
        (("model.py:f", "--dim", "D=x"), "--dim: expected D=4096 or S=min:max:multiple, got 'D=x'"),
        (("model.py:f", "--dtype", "bf61"), "did you mean 'bf16'?"),
        (("model.py:f", "--emit", "linalgs"), "did you mean 'linalg'?"),
    ],
)
def test_compile_usage(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python would, beside the model
    Path("model.py").write_text("def f(x):\n    return x\n")
    code, output = tessera("compile", *arguments)
    assert code == USAGE, output
    assert message in output
    assert os.listdir(tmp_path) == ["model.py"]


def test_a_file_that_fails_to_import_is_a_compile_error(tmp_path: Path) -> None:
    path = tmp_path / "broken_model.py"
    path.write_text("x = 1 / 0\n")
    code, output = tessera("compile", f"{path}:f")
    assert code == COMPILE_FAILED
    assert "ZeroDivisionError" in output
    assert "line 1" in output
    assert "typer" not in output
