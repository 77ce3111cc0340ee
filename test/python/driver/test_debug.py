# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``debug=True``: checks of what kernels compute, looking at it, and comparing two targets by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tessera
from tessera import Tensor, _runtime
from tessera.artifact import Artifact
from tessera.cli.app import FAILED, OK, USAGE, app
from tessera.container import Container, pack
from tessera.values import KernelValue
from typer.testing import CliRunner

# mypy: disable-error-code="name-defined, type-arg, valid-type"

NEEDS_AVX512 = pytest.mark.skipif("avx512f" not in _runtime.host_features(), reason="this processor has no AVX-512")
HERE = Path(__file__).name
X, W = np.full((3, 64), 0.5, np.float32), np.linspace(0.1, 0.4, 64 * 64, dtype=np.float32).reshape(64, 64)


@tessera.function
def layers(x: Tensor["N", 64], w: Tensor[64, 64]) -> Tensor["N", 64]:
    y = tessera.log(x @ w)
    y = y @ w
    return y.cast(tessera.bf16).cast(tessera.f32) - y.max(-1, keepdim=True)


@tessera.function
def pick(table: Tensor["V", 8], ids: Tensor["N", tessera.int32]) -> Tensor["N", 8]:
    rows = table[ids]
    return rows * 2


def line(function: Any, offset: int) -> str:
    """A line of a function's body."""
    return f"{HERE}:{function.python.__code__.co_firstlineno + 2 + offset}"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


# ---- Checks


@pytest.mark.parametrize("target", ["cpu", pytest.param("cpu:avx512", marks=NEEDS_AVX512)])
def test_nan_names_the_line(target: str) -> None:
    artifact = tessera.compile(layers, targets=target, debug=True)
    expected = tessera.compile(layers, targets=target)(X, W)
    np.testing.assert_array_equal(artifact(X, W), expected)
    x = X.copy()
    x[1] = -1
    with pytest.raises(tessera.NotFiniteError) as caught:
        artifact(x, W)
    assert caught.value.code == "TSR2920" and isinstance(caught.value, FloatingPointError)
    assert str(caught.value) == (
        f"[TSR2920] kernel 'layers_0' computed NaN ({line(layers, 0)}): 64 of 192 elements of f32[3, 64], "
        "the first at [1, 0] (layers)"
    )
    np.testing.assert_array_equal(artifact(X, W), expected)
    assert np.isnan(tessera.compile(layers, targets=target)(x, W)).any()


def test_infinities_may_be_meant() -> None:
    @tessera.function
    def masked(x: Tensor["N"]) -> Tensor["N"]:
        return tessera.where(x < 0, float("-inf"), x)

    x = np.array([1, -1], np.float32)
    with pytest.raises(tessera.NotFiniteError, match=r"computed an infinity .*1 of 2 elements of f32\[2\]"):
        tessera.compile(masked, debug=True)(x)
    np.testing.assert_array_equal(tessera.compile(masked, debug="nan")(x), [1, -np.inf])
    with pytest.raises(tessera.NotFiniteError, match="computed NaN"):
        tessera.compile(masked, debug="nan")(x * np.array([np.nan, 1], np.float32))


def test_loops_and_branches() -> None:
    @tessera.function
    def iterate(x: Tensor["N"], steps: Tensor[tessera.int64]) -> Tensor["N"]:
        def body(state: Any) -> Any:
            return state[0] + 1, tessera.sqrt(state[1]) - 1

        _, result = tessera.while_loop(lambda state: state[0] < steps, body, (steps - steps, x))
        return result

    artifact = tessera.compile(iterate, debug=True)
    x = np.array([100, 9], np.float32)
    seen: list[KernelValue] = []
    np.testing.assert_array_equal(artifact(x, 1), [9, 2])
    artifact.entry().observe(x, 2, on_value=seen.append)
    floats = [value.array for value in seen if value.dtype == "f32"]
    np.testing.assert_allclose(floats[:2], [[9, 2], [2, np.sqrt(2) - 1]], rtol=1e-6)
    with pytest.raises(tessera.NotFiniteError, match=r"computed NaN .* the first at \[1\]"):
        artifact(x, 4)


def test_options() -> None:
    with pytest.raises(tessera.ArgumentError, match=r"TSR4006\] debug: expected True, False or 'nan', got 'inf'"):
        tessera.compile(layers, debug="inf")  # type: ignore[call-overload]
    with pytest.raises(tessera.ArgumentError, match=r"TSR4006\] debug: expected emit='artifact'"):
        tessera.compile(layers, debug=True, emit="object")
    plain = tessera.compile(layers)
    assert "values" not in plain.manifest["entries"]["layers"]["variants"][0]
    with pytest.raises(tessera.ArgumentError, match=r"TSR4010\] layers does not show what its kernels compute"):
        plain.entry().observe(X, W, on_value=print)
    assert tessera.compile(layers, debug=True).to_bytes() == tessera.compile(layers, debug=True).to_bytes()


def test_a_gpu_target_keeps_its_checks_and_waits() -> None:
    made = tessera.compile(pick, targets=["sm_90a", "sm_80"], debug=True)
    plain = tessera.compile(pick, targets="sm_90a")
    assert plain.inspect()["host_syncs"] == []
    assert made.inspect()["host_syncs"] == [line(pick, 0), line(pick, 1)]
    assert "rt.fail" in made.mlir("rt", "sm_90a") and "rt.fail" not in plain.mlir("rt", "sm_90a")
    shown = made.manifest["entries"]["pick"]["variants"][0]["values"]
    least, greatest = (value for value in shown if value["rank"] == 0)  # of the positions
    assert (least["kernel"], least["result"], greatest["result"]) == (greatest["kernel"], 0, 1)
    assert least["dtype"] == "int64" and least["source"] == [line(pick, 0)]
    assert shown[-1]["source"] == [line(pick, 1), line(pick, 0)] and shown[-1]["dtype"] == "f32"


# ---- Looking


def test_values_of_kernels() -> None:
    artifact = tessera.compile(layers, debug=True)
    seen: list[KernelValue] = []
    result = artifact.entry().observe(X, W, on_value=seen.append)
    assert [value.source[0] for value in seen] == [line(layers, 0), line(layers, 1), line(layers, 2)]
    np.testing.assert_allclose(seen[0].array, np.log(X @ W), rtol=1e-5)
    np.testing.assert_array_equal(seen[-1].array, result)
    assert str(seen[0]) == f"kernel 'layers_0' ({line(layers, 0)}), f32[3, 64]"
    profile = artifact.profile(X, W, repeats=3)
    assert {row.name for row in profile.rows} == {"layers_0", "layers_1", "layers_2"}
    assert {row.source[0] for row in profile.rows} == {value.source[0] for value in seen}


# ---- Comparing


def with_object_of(artifact: Artifact, other: Artifact, target: str) -> Artifact:
    """An artifact whose code for one target is another function's."""
    member = next(
        variant["object"]
        for variant in artifact.manifest["entries"]["layers"]["variants"]
        if variant["target"] == target
    )
    with Container(artifact.to_bytes()) as mine, Container(other.to_bytes()) as theirs:
        members = {name: mine.read(name) for name in mine.names() if name != "manifest.json"}
        manifest = {key: value for key, value in mine.manifest.items() if key not in ("members", "format", "abi")}
        return Artifact(pack(manifest, {**members, member: theirs.read(member)}))


@pytest.fixture(scope="module")
def right() -> Artifact:
    return tessera.compile(layers, targets=["cpu", "cpu:avx512"], debug=True)


@pytest.fixture(scope="module")
def wrong(right: Artifact) -> Artifact:
    """The code for avx512 has a mistake in its second product, which reads the matrix by its columns."""

    def broken(x: Tensor["N", 64], w: Tensor[64, 64]) -> Tensor["N", 64]:
        y = tessera.log(x @ w)
        y = y @ w.T
        return y.cast(tessera.bf16).cast(tessera.f32) - y.max(-1, keepdim=True)

    broken.__name__ = "layers"
    other = tessera.compile(tessera.function(broken), targets=["cpu", "cpu:avx512"], debug=True)
    return with_object_of(right, other, "cpu:avx512")


@NEEDS_AVX512
def test_two_targets_that_agree(right: Artifact) -> None:
    found = right.compare_values(X, w=W, target="cpu:avx512", against="cpu")
    assert (found.compared, found.unmatched, found.difference) == (3, 0, None)
    assert str(found) == "cpu:avx512 against cpu: 3 values agree"


@NEEDS_AVX512
def test_the_first_value_that_differs(wrong: Artifact) -> None:
    found = wrong.compare_values(X, W, target="cpu:avx512", against="cpu")
    assert found.difference is not None and found.compared == 2
    assert found.difference.kernel == "layers_1" and found.difference.source == (line(layers, 1),)
    assert "elements differ, first at [0, 0]: expected " in found.text
    assert wrong.compare_values(X, W, target="cpu:avx512", against="cpu", rtol=0.01, atol=1000).difference is None


@NEEDS_AVX512
def test_tracing_from_the_shell(right: Artifact, wrong: Artifact, tmp_path: Path) -> None:
    for name, artifact in {"right": right, "wrong": wrong, "plain": tessera.compile(layers)}.items():
        artifact.save(tmp_path / f"{name}.tsr")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "w.npy", W)
    inputs = ["--input", tmp_path / "x.npy", "--input", tmp_path / "w.npy"]
    assert run("run", tmp_path / "right.tsr", *inputs, "--trace-values") == (
        OK,
        "cpu:avx512 against cpu: 3 values agree\n",
    )
    code, output = run("run", tmp_path / "wrong.tsr", *inputs, "--trace-values")
    assert code == FAILED
    assert "value 2 is the first that differs: kernel 'layers_1'" in output and line(layers, 1) in output
    assert run("run", tmp_path / "wrong.tsr", *inputs, "--trace-values", "--rtol", 0.1, "--atol", 1000)[0] == OK
    code, output = run("run", tmp_path / "right.tsr", *inputs, "--trace-values", "--against", "sm_80")
    assert code == USAGE and "no code for 'sm_80' in the artifact: it is for cpu, cpu:avx512" in output
    code, output = run("run", tmp_path / "plain.tsr", *inputs, "--trace-values")
    assert code == FAILED and "TSR4010" in output
    code, output = run("run", tmp_path / "right.tsr", *inputs, "--target", "cpu", "--profile")
    assert code == OK and "layers_1" in output


def test_debug_from_the_shell(tmp_path: Path) -> None:
    source = tmp_path / "model.py"
    source.write_text(
        "import tessera\nfrom tessera import Tensor\n\n@tessera.function\n"
        'def inverse(x: Tensor["N"]) -> Tensor["N"]:\n    return 1 / x\n'
    )
    np.save(tmp_path / "x.npy", np.array([1, 0], np.float32))
    for flags, code in {("--debug",): FAILED, ("--debug", "--allow-infinity"): OK, (): OK}.items():
        assert run("compile", f"{source}:inverse", "-o", tmp_path / "f.tsr", "--in-process", *flags)[0] == OK
        got, output = run("run", tmp_path / "f.tsr", "--input", tmp_path / "x.npy")
        assert got == code and ("TSR2920" in output and "model.py:6" in output) == (code == FAILED)


@NEEDS_AVX512
def test_narrow_values_are_compared_by_their_dtype() -> None:
    @tessera.function
    def narrow(x: Tensor["N", tessera.bf16]) -> tuple[Tensor["N", tessera.bf16], Tensor[tessera.int64]]:
        return tessera.exp(x), tessera.argmax(x)

    artifact = tessera.compile(narrow, targets=["cpu", "cpu:avx512"], debug=True)
    x = np.linspace(-2, 2, 100).astype(ml_dtypes.bfloat16)
    assert artifact.compare_values(x, target="cpu:avx512", against="cpu").difference is None
