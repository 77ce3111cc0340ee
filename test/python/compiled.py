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


_symbolic: dict[Any, Any] = {}


def call(function: Callable[..., Any], *arrays: Any, symbolic: bool = False) -> Any:
    """Compile a function and call it.

    Parameters
    ----------
    symbolic
        Compile for any sizes of these ranks, once for each function; otherwise for exactly these shapes.
    """
    if not symbolic:
        return _function(function, [inspect.Parameter.empty] * len(arrays))(*arrays)
    key = function, tuple((array.ndim, array.dtype) for array in arrays)
    if key not in _symbolic:
        _symbolic[key] = _function(function, [tessera.Tensor[("?",) * array.ndim] for array in arrays])
    return _symbolic[key](*arrays)


def _function(function: Callable[..., Any], annotations: list[Any]) -> Any:
    def wrapper(*args: Any) -> Any:
        return function(*args)

    kind = inspect.Parameter.POSITIONAL_ONLY
    parameters = [inspect.Parameter(f"a{i}", kind, annotation=a) for i, a in enumerate(annotations)]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return tessera.function(wrapper)
