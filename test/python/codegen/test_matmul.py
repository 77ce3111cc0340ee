# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The loops of `tessera-emit-matmul` against NumPy in f64: each way to read the operands, at the edges of its tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tessera
from compiled import call, data
from tessera import Tensor
from tessera.driver.targets import parse_target
from tolerance import assert_close

# Rows, columns and depth: a single element, thin products (two strips of rows or less, read in place or as dot
# products), ragged tiles in every direction, several blocks of K and of rows.
THIN = [(1, 1, 1), (1, 100, 300), (4, 67, 257), (8, 32, 16), (11, 31, 255), (16, 96, 33)]
SIZES = [*THIN, (17, 64, 31), (100, 1, 257), (130, 70, 520), (200, 33, 5)]
TARGETS = ["cpu", "cpu:avx512", "cpu:avx512-bf16"]
PRODUCTS: dict[str, Any] = {
    "nn": lambda a, b: a @ b,
    "tn": lambda a, b: a.T @ b,
    "nt": lambda a, b: a @ b.T,
    "tt": lambda a, b: a.T @ b.T,
}


DTYPES = [tessera.f32, tessera.f64, tessera.bf16, tessera.int8]


def check(run: Callable[[Any, Any], Any], product: str, dtype: Any, size: tuple[int, int, int]) -> None:
    """Compare a compiled product of one size."""
    m, n, k = size
    x = data((k, m) if product[0] == "t" else (m, k), dtype, -2, 2)
    y = data((n, k) if product[1] == "t" else (k, n), dtype, -2, 2, seed=1)
    wide = [a.astype(np.float64) for a in (x, y)]
    want, scale = PRODUCTS[product](*wide), PRODUCTS[product](*map(np.abs, wide))
    expected = np.int32 if dtype.is_int else dtype.numpy
    assert_close(run(x, y), want.astype(np.int64) if dtype.is_int else want, terms=k, scale=scale, dtype=expected)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_products(dtype: Any, product: str) -> None:
    for size in SIZES:
        check(lambda x, y: call(PRODUCTS[product], x, y, symbolic=True), product, dtype, size)


@tessera.function
def multiply(a: Tensor["M", "K"], b: Tensor["K", "N"]) -> Tensor["M", "N"]:
    return a @ b


@tessera.function
def multiply_transposed(a: Tensor["M", "K"], b: Tensor["N", "K"]) -> Tensor["M", "N"]:
    return a @ b.T


@tessera.function
def multiply_both_transposed(a: Tensor["K", "M"], b: Tensor["N", "K"]) -> Tensor["M", "N"]:
    return a.T @ b.T


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_thin_products_of_each_target(dtype: Any, target: str) -> None:
    """As many sums as a vector has elements, and more; rows of B by pairs where the processor multiplies pairs."""
    if TARGETS.index(target) > TARGETS.index(parse_target("native").name):
        pytest.skip("not for this processor")
    for product, function in (("nn", multiply), ("nt", multiply_transposed), ("tt", multiply_both_transposed)):
        run = tessera.compile(function, targets=[target], dtypes={"a": dtype, "b": dtype})
        for size in [*THIN, (17, 64, 31)]:
            check(run, product, dtype, size)


def test_a_batch_shares_its_right_operand() -> None:
    x, y = data((3, 40, 70), tessera.bf16, -2, 2), data((50, 70), tessera.bf16, -2, 2, seed=1)
    wide = x.astype(np.float64), y.astype(np.float64).T
    got = call(lambda a, b: a @ b.T, x, y)
    assert_close(got, wide[0] @ wide[1], terms=70, scale=np.abs(wide[0]) @ np.abs(wide[1]), dtype=x.dtype)
