# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compare a GPU's results with references in f64: the bounds of test/python/tolerance.py, on the device."""

from __future__ import annotations

import math

import torch

#: Units in the last place of f32 or f64 that an elementwise function may be off.
ULPS = 8


def tolerance(dtype: torch.dtype, terms: int = 1, operations: int = 1) -> float:
    """A relative bound for a value that is computed in f32 (f64 for f64) and rounded once to ``dtype``."""
    compute = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps
    epsilon = torch.finfo(dtype).eps
    rounding = epsilon / 2 if epsilon > compute else 0.0
    return rounding * 1.01 + compute * (ULPS * operations + 4 * math.sqrt(terms))


def difference(
    got: torch.Tensor,
    want: torch.Tensor,
    *,
    terms: int = 1,
    operations: int = 1,
    scale: torch.Tensor | float | None = None,
) -> float:
    """The largest error in units of what is allowed: at most 1 where a result is right.

    Integers and bool must be equal. Where the reference is beyond the largest number, that number, infinity and
    (fp8_e4m3) NaN are right.

    Raises
    ------
    AssertionError
        If the shapes differ.
    """
    assert got.shape == want.shape, f"expected shape {list(want.shape)}, got {list(got.shape)}"
    if got.numel() == 0:
        return 0.0
    if not got.dtype.is_floating_point:
        return 0.0 if bool((got.to(torch.int64) == want.to(torch.int64)).all()) else math.inf
    info, bound = torch.finfo(got.dtype), tolerance(got.dtype, terms, operations)
    wide, exact = got.double(), want.double()
    # Below the normal range the distance between numbers stops shrinking.
    absolute = info.tiny * info.eps + bound * (0.0 if scale is None else scale)
    error = (wide - exact).abs() / (bound * exact.abs() + absolute)
    same = (wide == exact) | (wide.isnan() & exact.isnan())
    same |= (exact.abs() > info.max * (1 - bound)) & ((wide.abs() >= info.max) | wide.isnan())
    return float(torch.where(same, 0.0, torch.where(error.isnan(), math.inf, error)).max())


def poison(tensor: torch.Tensor) -> torch.Tensor:
    """Fill memory with what no computation leaves: bytes of ones, which are NaN in every float dtype."""
    tensor.reshape(-1).view(torch.uint8).fill_(0xFF)
    return tensor
