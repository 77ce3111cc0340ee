# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled elementwise operations against NumPy in f64, over dtypes and shapes."""

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import tessera
from compiled import FLOATS, INTEGERS, SHAPES, call, data
from hypothesis import given, settings
from tessera import dtypes
from tolerance import assert_close

UNARY: dict[str, tuple[Callable[..., Any], float, float]] = {
    # name: (reference, lowest, highest argument)
    "exp": (np.exp, -8, 5),
    "exp2": (np.exp2, -8, 5),
    "expm1": (np.expm1, -8, 5),
    "log": (np.log, 0.1, 9),
    "log1p": (np.log1p, -0.5, 9),
    "log2": (np.log2, 0.1, 9),
    "sqrt": (np.sqrt, 0, 9),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 0.1, 9),
    "tanh": (np.tanh, -4, 4),
    "erf": (np.vectorize(__import__("math").erf, otypes=[float]), -4, 4),
    "sin": (np.sin, -4, 4),
    "cos": (np.cos, -4, 4),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -8, 8),
    "floor": (np.floor, -9, 9),
    "ceil": (np.ceil, -9, 9),
    "round": (np.rint, -9, 9),
    "neg": (np.negative, -9, 9),
    "abs": (np.abs, -9, 9),
    "sign": (np.sign, -9, 9),
    "square": (np.square, -4, 4),
    "reciprocal": (lambda x: 1 / x, 0.1, 9),
}
BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
}


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_of_large_arguments(name: str) -> None:
    rng = np.random.default_rng(0)
    x = (np.exp(rng.uniform(0, 88, 1000)) * rng.choice([-1, 1], 1000)).astype(np.float32)
    got = call(getattr(tessera, name), x)
    np.testing.assert_allclose(got, getattr(np, name)(x.astype(np.float64)), rtol=3e-7)
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e5], np.float32)
    with np.errstate(invalid="ignore"):
        want = getattr(np, name)(special.astype(np.float64))
    np.testing.assert_allclose(call(getattr(tessera, name), special), want, rtol=3e-7)


@pytest.mark.parametrize("symbolic", [False, True], ids=["static", "symbolic"])
@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
def test_unary(name: str, dtype: Any, symbolic: bool) -> None:
    reference, low, high = UNARY[name]
    for shape in SHAPES:
        x = data(shape, dtype, low, high)
        want = reference(x.astype(np.float64))
        # sin and cos near their zeros, log near 1: the error is in proportion to 1, not to the result.
        scale = 1 if name in ("sin", "cos", "log", "log1p", "log2", "expm1") else None
        assert_close(call(getattr(tessera, name), x, symbolic=symbolic), want, dtype=dtype.numpy, scale=scale)


@pytest.mark.parametrize("symbolic", [False, True], ids=["static", "symbolic"])
@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=lambda d: d.name)
def test_binary(name: str, dtype: Any, symbolic: bool) -> None:
    for shape in SHAPES:
        x = data(shape, dtype, -8, 8)
        y = data(shape, dtype, 1, 8, seed=1)
        wide = (x, y) if dtype.is_int else (x.astype(np.float64), y.astype(np.float64))
        expected = np.float32 if name == "div" and dtype.is_int else dtype.numpy
        if name in ("floor_divide", "remainder") and dtype.is_narrow:
            wide = x.astype(np.float32), y.astype(np.float32)  # a quotient next to an integer may round across it
        scale = 8 if name == "remainder" else None
        got = call(getattr(tessera, name), x, y, symbolic=symbolic)
        assert_close(got, BINARY[name](*wide), dtype=expected, scale=scale)


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=5), st.sampled_from([*FLOATS, *INTEGERS]))
@settings(max_examples=30, deadline=None)
def test_broadcasting(shapes: Any, dtype: Any) -> None:
    x, y = (data(shape, dtype, -4, 4, seed=i) for i, shape in enumerate(shapes.input_shapes))
    want = x.astype(np.float64) + y.astype(np.float64)
    assert_close(call(lambda a, b: a + b, x, y), want.astype(dtype.numpy), dtype=dtype.numpy)


@pytest.mark.parametrize("name", ["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"])
@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
def test_compare(name: str, dtype: Any) -> None:
    x, y = data((5, 7), dtype, -2, 2), data((5, 7), dtype, -2, 2, seed=1)
    assert_close(call(getattr(tessera, name), x, y), getattr(np, name)(x, y), dtype=bool)


def test_nan_and_infinity() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], np.float32)
    y = x[::-1].copy()
    for name in ("maximum", "minimum", "add", "less", "equal", "not_equal"):
        with np.errstate(all="ignore"):
            want = getattr(np, name)(x, y)
        np.testing.assert_array_equal(call(getattr(tessera, name), x, y), want)
    for name in ("exp", "tanh", "sqrt", "abs", "floor", "sign"):
        with np.errstate(all="ignore"):
            want = getattr(np, name)(x)
        assert_close(call(getattr(tessera, name), x), want)


@pytest.mark.parametrize("source", dtypes.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("target", dtypes.ALL, ids=lambda d: d.name)
def test_cast(source: Any, target: Any) -> None:
    x = data((37,), source, -6, 6)
    got = call(lambda a: a.cast(target), x)
    want = x != 0 if target.is_bool else x.astype(np.float64).astype(target.numpy)
    np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))
    assert got.dtype == target.numpy


def test_cast_saturates_at_the_integers_range() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e10, -1e10, 3e9, 2.9, -2.9], np.float32)
    assert call(lambda a: a.cast(tessera.int32), x).tolist() == [
        0, 2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 2**31 - 1, 2, -2,
    ]  # fmt: skip


def test_integers_divided_by_zero() -> None:
    x, zero = np.array([5, -5, 0], np.int32), np.zeros(3, np.int32)
    assert call(lambda a, b: a // b, x, zero).tolist() == [0, 0, 0]
    assert call(lambda a, b: a % b, x, zero).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda d: d.name)
def test_bits(dtype: Any) -> None:
    x, y = data((41,), dtype, -100, 100), data((41,), dtype, 0, 6, seed=1)
    for function in (
        lambda a, b: a & b,
        lambda a, b: a | b,
        lambda a, b: a ^ b,
        lambda a, b: ~a + b,
        lambda a, b: a << b,
        lambda a, b: a >> b,
    ):
        np.testing.assert_array_equal(call(function, x, y), function(x, y))


@pytest.mark.parametrize("power", [0, 1, 2, 3, 5, -1, -2, 0.5, -0.5, 2.5])
@pytest.mark.parametrize("dtype", [tessera.f64, tessera.f32, tessera.bf16], ids=lambda d: d.name)
def test_powers(power: float, dtype: Any) -> None:
    x = data((33,), dtype, 0.5, 3)
    assert_close(call(lambda a: a**power, x), x.astype(np.float64) ** power, dtype=dtype.numpy)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
def test_chain_is_rounded_once(dtype: Any) -> None:
    """A chain of operations on a narrow dtype is as exact as f32 and one rounding."""
    x, y = data((64,), dtype, 0.5, 2), data((64,), dtype, 0.5, 2, seed=1)
    a, b = x.astype(np.float64), y.astype(np.float64)
    want = np.sqrt((a * b + 1) * (a - b) ** 2 + 1) / (a + b)
    got = call(lambda a, b: tessera.sqrt((a * b + 1) * (a - b) ** 2 + 1) / (a + b), x, y)
    assert_close(got, want, operations=4, dtype=dtype.numpy)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
def test_where_and_clip(dtype: Any) -> None:
    x, y = data((3, 17), dtype, -4, 4), data((17,), dtype, -4, 4, seed=1)
    np.testing.assert_array_equal(call(lambda a, b: tessera.where(a > b, a, b), x, y), np.where(x > y, x, y))
    got = call(lambda a: tessera.clip(a, -1, 2), x).astype(np.float64)
    np.testing.assert_array_equal(got, np.clip(x.astype(np.float64), -1, 2))
