# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Call a function on arrays by compiling it, and make the arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tessera
from tessera import dtypes

FLOATS = [dtype for dtype in dtypes.ALL if dtype.is_float]
INTEGERS = [dtype for dtype in dtypes.ALL if dtype.is_int]
#: No dimension, one element, lengths around the vector widths, several dimensions, none at all.
SHAPES: list[tuple[int, ...]] = [(), (1,), (16,), (37,), (5, 33), (2, 3, 4), (0, 3)]


def data(shape: tuple[int, ...], dtype: Any, low: float, high: float, seed: int = 0) -> Any:
    """Random numbers in a range, rounded to the dtype."""
    rng = np.random.default_rng(seed)
    if dtype.is_bool:
        return np.asarray(rng.random(shape) > 0.5)
    if dtype.is_int:
        return np.asarray(rng.integers(int(low), int(high) + 1, shape)).astype(dtype.numpy)
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype.numpy)


def call(function: Callable[..., Any], *arrays: Any) -> Any:
    """Compile a function for the exact shapes of its arguments, and call it."""

    def wrapper(*args: Any) -> Any:
        return function(*args)

    kind = inspect.Parameter.POSITIONAL_ONLY
    parameters = [inspect.Parameter(f"a{i}", kind) for i in range(len(arrays))]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return tessera.function(wrapper)(*arrays)
