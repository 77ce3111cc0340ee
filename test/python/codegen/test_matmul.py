# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The loops of `tessera-emit-matmul` against NumPy in f64: each way to read the operands, at the edges of its tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tessera
from compiled import call, data
from tolerance import assert_close

# Rows, columns and depth: a single element, thin products (a strip of rows or less, read in place or as dot products),
# ragged tiles in every direction, several blocks of K and of rows.
SIZES = [(1, 1, 1), (1, 100, 300), (4, 67, 257), (8, 32, 16), (9, 31, 255), (100, 1, 257), (130, 70, 520), (200, 33, 5)]
PRODUCTS: dict[str, Any] = {
    "nn": lambda a, b: a @ b,
    "tn": lambda a, b: a.T @ b,
    "nt": lambda a, b: a @ b.T,
    "tt": lambda a, b: a.T @ b.T,
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("dtype", [tessera.f32, tessera.f64, tessera.bf16, tessera.int8], ids=lambda d: d.name)
def test_products(dtype: Any, product: str) -> None:
    for m, n, k in SIZES:
        x = data((k, m) if product[0] == "t" else (m, k), dtype, -2, 2)
        y = data((n, k) if product[1] == "t" else (k, n), dtype, -2, 2, seed=1)
        got = call(PRODUCTS[product], x, y, symbolic=True)
        wide = [a.astype(np.float64) for a in (x, y)]
        want, scale = PRODUCTS[product](*wide), PRODUCTS[product](*map(np.abs, wide))
        expected = np.int32 if dtype.is_int else dtype.numpy
        assert_close(got, want.astype(np.int64) if dtype.is_int else want, terms=k, scale=scale, dtype=expected)


def test_a_batch_shares_its_right_operand() -> None:
    x, y = data((3, 40, 70), tessera.bf16, -2, 2), data((50, 70), tessera.bf16, -2, 2, seed=1)
    wide = x.astype(np.float64), y.astype(np.float64).T
    got = call(lambda a, b: a @ b.T, x, y)
    assert_close(got, wide[0] @ wide[1], terms=70, scale=np.abs(wide[0]) @ np.abs(wide[1]), dtype=x.dtype)
