# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Profiles of compiled functions: rows, the user's lines, how they print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.cli.app import OK, app
from typer.testing import CliRunner

# mypy: disable-error-code="name-defined, type-arg, valid-type"

HERE = Path(__file__).name


@tessera.function
def layers(x: Tensor["N", 64], w: Tensor[64, 64]) -> Tensor["N", 64]:
    y = x @ w
    y = tessera.tanh(y)
    y = y @ w
    return y / y.sum(-1, keepdim=True)


FIRST = layers.python.__code__.co_firstlineno + 2


def lines(*offsets: int) -> list[str]:
    return [f"{HERE}:{FIRST + offset}" for offset in offsets]


def test_kernels_know_their_lines() -> None:
    artifact = tessera.compile(layers, targets=["cpu", "sm_90a"])
    first, second, third = artifact.inspect()["kernels"]
    assert sorted(first["source"]) == lines(0, 1) and second["source"] == lines(2) and third["source"] == lines(3)
    module = artifact.manifest["modules"]["sm_90a"]["kernels"]
    assert {line for kernel in module for line in kernel["source"]} == set(lines(0, 1, 2, 3))


def test_a_profile_of_a_call_on_the_cpu(tmp_path: Path) -> None:
    artifact = tessera.compile(layers)
    x, w = np.ones((8, 64), np.float32), np.ones((64, 64), np.float32)
    profile = artifact.profile(x, w=w, repeats=3)
    (row,) = profile.rows
    assert (row.name, row.launches, row.share, profile.repeats) == ("layers", 1, 1.0, 3)
    assert profile.microseconds == row.microseconds > 0
    text = str(profile)
    assert text.startswith("layers: ") and "median of 3 calls" in text and "100.0%" in text
    with pytest.raises(tessera.ArgumentError, match=r"TSR4006\] repeats: expected 1 or more, got 0"):
        artifact.profile(x, w, repeats=0)
    with pytest.raises(tessera.ShapeError, match="TSR2005"):
        artifact.profile(x, x)
    artifact.save(tmp_path / "layers.tsr")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "w.npy", w)
    command = ["run", "layers.tsr", "--input", "x.npy", "--input", "w.npy", "--profile"]
    result = CliRunner().invoke(app, [str(tmp_path / part) if "." in part else part for part in command])
    assert result.exit_code == OK and "layers" in result.output and "100.0%" in result.output


def test_leading_dimensions_and_trees() -> None:
    @tessera.function
    def halves(x: Tensor["...", "D"]) -> dict[str, Tensor["...", "D"]]:
        return {"half": x / 2}

    artifact = tessera.compile(halves)
    x = np.ones((2, 3, 4), np.float32)
    seen: list[str] = []
    result = artifact.entry().observe(x, on_kernel=lambda name, microseconds: seen.append(name))
    np.testing.assert_array_equal(result["half"], x / 2)
    assert seen == ["halves"]
    assert artifact.profile(x).rows[0].name == "halves"


def test_a_kernel_that_several_lines_share_has_the_lines_of_all() -> None:
    @tessera.function
    def twice(x: Tensor["N", 64], w: Tensor[64, 64]) -> Tensor["N", 64]:
        x = x @ w
        return x @ w

    first = twice.python.__code__.co_firstlineno + 2
    artifact = tessera.compile(twice, targets=["cpu", "sm_90a"], debug=True)
    (kernel,) = artifact.inspect()["kernels"]
    assert kernel["dispatches"] == 2 and kernel["source"] == [f"{HERE}:{first}", f"{HERE}:{first + 1}"]
    seen: list[tuple[str, ...]] = []
    x, w = np.ones((8, 64), np.float32), np.ones((64, 64), np.float32)
    artifact.entry().observe(x, w, on_value=lambda value: seen.append(value.source))
    assert seen == [(f"{HERE}:{first}",), (f"{HERE}:{first + 1}",)]  # each launch has its own
