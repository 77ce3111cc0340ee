# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled programs for debugging on fake GPUs: checks, profiles, and comparisons with the CPU.

What a kernel computes, the test says, by the buffers that it is given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tessera
from fake_cuda import Driver, on_gpus, view
from tessera import Tensor
from tessera import _runtime as rt
from tessera.cli.app import FAILED, OK, app
from typer.testing import CliRunner

# mypy: disable-error-code="name-defined, type-arg, valid-type"

HERE = Path(__file__).name
X = np.arange(1, 9, dtype=np.float32)


@tessera.function
def inverse(x: Tensor["N"]) -> Tensor["N"]:
    return 1 / x


@tessera.function
def pick(table: Tensor["V", 4], ids: Tensor["N", tessera.int64]) -> Tensor["N", 4]:
    return table[ids]


def inverts(driver: Driver, factor: float = 1) -> None:
    """Let the kernel of ``inverse`` do so, or something near it."""

    def body(blocks: int, threads: int, shared: int, words: list[int]) -> None:
        x, y = [word for word in words if word > 1 << 20][:2]
        with np.errstate(divide="ignore"):
            view(y, np.float32, X.size)[:] = factor / view(x, np.float32, X.size)

    driver.kernel("inverse_0", body)


def line(function: object) -> str:
    return f"{HERE}:{function.python.__code__.co_firstlineno + 2}"  # type: ignore[attr-defined]


@on_gpus("11.0")
def test_a_checked_call() -> None:
    driver = Driver()
    inverts(driver)
    artifact = tessera.compile(inverse, targets=["sm_80", "cpu"], debug=True)
    np.testing.assert_array_equal(artifact(rt.to_gpu(X)).numpy(), 1 / X)
    where = rf"'inverse_0' computed an infinity \({line(inverse)}\)"
    message = where + r": 1 of 8 elements of f32\[8\], the first at \[0\]"
    for array in (rt.to_gpu(X - 1), X - 1):
        with pytest.raises(tessera.NotFiniteError, match=message):
            artifact(array)
    np.testing.assert_array_equal(artifact(rt.to_gpu(X)).numpy(), 1 / X)
    with pytest.raises(tessera.ArgumentError, match=rf"TSR2038\] inverse cannot be captured .*{line(inverse)}"):
        artifact.graph(rt.to_gpu(X))


@on_gpus("11.0")
@pytest.mark.parametrize(("least", "greatest", "got"), [(0, 3, None), (0, 4, 4), (-1, 3, -1)])
def test_indices_are_checked_before_they_are_used(least: int, greatest: int, got: int | None) -> None:
    driver = Driver()
    artifact = tessera.compile(pick, targets="sm_80", debug=True)
    shown = artifact.manifest["entries"]["pick"]["variants"][0]["values"]
    (check,) = {value["kernel"] for value in shown if value["rank"] == 0}

    def body(blocks: int, threads: int, shared: int, words: list[int]) -> None:
        low, high = [word for word in words if word > 1 << 20][:2]
        view(low, np.int64, 1)[:], view(high, np.int64, 1)[:] = least, greatest

    for kernel in artifact.manifest["modules"]["sm_80"]["kernels"]:
        if kernel["name"].startswith(check):
            driver.kernel(kernel["name"], body)
    table, ids = rt.to_gpu(np.zeros((4, 4), np.float32)), rt.to_gpu(np.zeros(3, np.int64))
    if got is None:
        artifact(table, ids)
        return
    with pytest.raises(tessera.ArgumentError, match=rf"TSR2030\] .* index < 4, got {got} \({line(pick)}\)"):
        artifact(table, ids)
    assert shown[-1]["kernel"] not in " ".join(driver.log("Launch"))  # what would have read it


@on_gpus("11.0")
def test_a_profile() -> None:
    driver = Driver()
    inverts(driver)
    artifact = tessera.compile(inverse, targets="sm_80")
    profile = artifact.profile(rt.to_gpu(X), repeats=2)
    (row,) = profile.rows
    assert (row.name, row.source, row.launches, row.share) == ("inverse_0", (line(inverse),), 1, 1.0)
    assert row.microseconds == pytest.approx(1)  # the fake's clock moves by one for each block
    assert len(driver.log("LaunchKernel")) == 3


@on_gpus("11.0")
def test_against_the_cpu(tmp_path: Path) -> None:
    driver = Driver()
    inverts(driver)
    artifact = tessera.compile(inverse, targets=["sm_80", "cpu"], debug=True)
    assert str(artifact.compare_values(X, target="sm_80", against="cpu")) == "sm_80 against cpu: 1 values agree"
    inverts(driver, 1.01)
    found = artifact.compare_values(X, target="sm_80", against="cpu")
    assert found.difference is not None and found.difference.source == (line(inverse),)
    assert "8 of 8 elements differ, first at [0]: expected 1.0, got 1.00999" in found.text

    artifact.save(tmp_path / "f.tsr")
    np.save(tmp_path / "x.npy", X)
    command = ["run", str(tmp_path / "f.tsr"), "--input", str(tmp_path / "x.npy")]
    traced = CliRunner().invoke(app, [*command, "--trace-values"])
    assert traced.exit_code == FAILED and f"kernel 'inverse_0' ({line(inverse)})" in traced.output
    out = tmp_path / "y.npy"
    assert CliRunner().invoke(app, [*command, "--target", "sm_80", "--output", str(out)]).exit_code == OK
    np.testing.assert_allclose(np.load(out), 1.01 / X, rtol=1e-6)
    profiled = CliRunner().invoke(app, [*command, "--target", "sm_80", "--profile"])
    assert profiled.exit_code == OK and "inverse_0" in profiled.output
