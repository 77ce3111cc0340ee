# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NumPy in traced functions: ufuncs that have a tensor form, arrays and scalars as operands."""

from typing import Any

import numpy as np
import pytest
from tracing import run

X = np.array([0.5, 1.5, 2.5], np.float32)


@pytest.mark.parametrize(
    "name",
    ["exp", "log", "sqrt", "sin", "cos", "tanh", "floor", "ceil", "rint", "negative", "absolute", "square", "isnan"],
)
def test_unary(name: str) -> None:
    ufunc = getattr(np, name)
    np.testing.assert_allclose(run(lambda a: ufunc(a), X), ufunc(X), rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "less", "equal", "floor_divide", "mod"],
)
def test_binary(name: str) -> None:
    ufunc = getattr(np, name)
    y = np.array([2, 1, 3], np.float32)
    np.testing.assert_allclose(run(lambda a, b: ufunc(a, b), X, y), ufunc(X, y), rtol=1e-6)


@pytest.mark.parametrize("left", [np.float32(2), np.ones(3, np.float32), np.float64(2), 2, [1.0, 2.0, 3.0]])
def test_reflected_operators(left: Any) -> None:
    for function in (lambda a: left + a, lambda a: left - a, lambda a: left / a, lambda a: left < a):
        got, want = run(function, X), function(X)
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_matmul_from_the_left() -> None:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(run(lambda a: w @ a, X), w @ X)
