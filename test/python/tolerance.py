# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How far a result may be from a reference in f64: from its dtype and the length of its reductions alone."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

#: Units in the last place of f32 or f64 that an elementwise function may be off (vector polynomials; see the docs).
ULPS = 8


def epsilon(dtype: Any) -> float:
    """The distance from 1 to the next number of a float dtype."""
    return float(ml_dtypes.finfo(dtype).eps)


def tolerance(dtype: Any, terms: int = 1, operations: int = 1) -> float:
    """A relative bound for a value that is computed in f32 (f64 for f64) and rounded once to ``dtype``.

    Parameters
    ----------
    dtype
        The NumPy dtype of the result.
    terms
        How many numbers each element adds up: errors of a pairwise or blocked sum grow with its square root.
    operations
        How many elementwise steps lead there.
    """
    if np.dtype(dtype).kind in "biu":
        return 0.0
    compute = epsilon(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
    rounding = epsilon(dtype) / 2 if epsilon(dtype) > compute else 0.0
    return rounding * 1.01 + compute * (ULPS * operations + 4 * np.sqrt(terms))


def assert_close(
    got: Any, want: Any, *, terms: int = 1, operations: int = 1, scale: Any = None, dtype: Any = None
) -> None:
    """Compare a result with its reference in f64.

    Parameters
    ----------
    scale
        The size of the numbers that were added to give each element, where they cancel: an absolute error is allowed in
        proportion.
    dtype
        The dtype that the result must have.
    """
    got, want = np.asarray(got), np.asarray(want)
    if dtype is not None:
        assert got.dtype == np.dtype(dtype), f"expected {np.dtype(dtype)}, got {got.dtype}"
    assert got.shape == want.shape, f"expected shape {want.shape}, got {got.shape}"
    if got.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
        return
    bound = tolerance(got.dtype, terms, operations)
    info = ml_dtypes.finfo(got.dtype)
    # Below the normal range the distance between numbers stops shrinking.
    absolute = float(info.smallest_subnormal) + bound * np.asarray(0.0 if scale is None else scale, np.float64)
    wide, exact = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(all="ignore"):
        allowed = np.broadcast_to(bound * np.abs(exact) + absolute, exact.shape)
        limit = float(info.max)
        same = (wide == exact) | (np.isnan(wide) & np.isnan(exact)) | (np.abs(wide - exact) <= allowed)
        # Beyond the largest number, rounding may give it, infinity, or (fp8_e4m3) NaN.
        same |= (np.abs(exact) > limit * (1 - bound)) & ((np.abs(wide) >= limit) | np.isnan(wide))
    if not same.all():
        at = tuple(np.argwhere(~same)[0])
        off = abs(wide[at] - exact[at]) / max(abs(exact[at]), 1e-300)
        raise AssertionError(
            f"{np.sum(~same)} of {same.size} elements differ; at {at}: expected {exact[at]!r}, got {wide[at]!r} "
            f"(off by {off:.3g}, allowed {bound:.3g})"
        )
