# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether two arrays are the same but for rounding."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

# Twice the spacing at 1, with room for sums over a few thousand elements.
_TOLERANCE = {"f64": 1e-12, "f32": 1e-5, "f16": 2e-3, "bf16": 1.6e-2, "fp8_e4m3": 0.13, "fp8_e5m2": 0.25}


def tolerance(dtype: str) -> float:
    """Return the default relative and absolute tolerance of a dtype; 0 for integers."""
    return _TOLERANCE.get(dtype, 0.0)


def compare(got: Array, expected: Array, rtol: float, atol: float) -> tuple[bool, str]:
    """Compare in f64, and say how far apart the two are."""
    if got.shape != expected.shape:
        return False, f"expected shape {list(expected.shape)}, got {list(got.shape)}"
    a, b = got.astype(np.float64), expected.astype(np.float64)
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        error = np.where(equal, 0.0, np.abs(a - b))
        allowed = atol + rtol * np.abs(b)
        close = equal | (error <= allowed)
    worst = float(np.max(error, initial=0.0))
    text = f"largest difference {worst:.3g} (allowed: {atol:g} + {rtol:g} * |expected|)"
    if close.all():
        return True, text
    wrong = ~close
    where = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    at = ", ".join(str(int(i)) for i in where)
    first = f"first at [{at}]: expected {b[where]}, got {a[where]}"
    return False, f"{int(wrong.sum())} of {wrong.size} elements differ, {first}; {text}"
