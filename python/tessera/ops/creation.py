# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors made from nothing. Sizes may be symbolic inside a traced function."""

from __future__ import annotations

import math
from typing import Any

from tessera import dtypes
from tessera.dtypes import as_dtype
from tessera.frontend import dims
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.promotion import result_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import (
    Shape,
    Traced,
    as_sizes,
    cast,
    emit_sized,
    lift,
    normalize_dim,
    operand_type,
)
from tessera.ops._dispatch import operation
from tessera.ops.shape import broadcast


def _sizes(shape: Any, where: str) -> Shape:
    sizes = as_sizes(shape if isinstance(shape, tuple) else (shape,), where)
    for size in sizes:
        if isinstance(size, int) and size < 0:
            raise diagnostic("TSR1504", f"{where}: expected sizes that are not negative, got {size}")
    return sizes


def _full(shape: Shape, value: Any, dtype: Any) -> Traced:
    element = lift(value, None if dtype is None or isinstance(value, Traced) else as_dtype(dtype))
    if dtype is not None:
        element = cast(element, as_dtype(dtype))
    result = broadcast(element, shape) if shape != () or element.ndim else element
    result.weak, result.pinned = False, dtype is not None
    return result


@operation
def full(shape: Any, value: Any, dtype: Any = None) -> Tensor:
    """A tensor of this shape with ``value`` everywhere; f32, int64 or bool unless ``dtype`` is given."""
    return _full(_sizes(shape, "full"), value, dtype)


@operation
def zeros(*shape: Any, dtype: Any = dtypes.f32) -> Tensor:
    """A tensor of zeros: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return _full(_sizes(shape, "zeros"), 0, dtype)


@operation
def ones(*shape: Any, dtype: Any = dtypes.f32) -> Tensor:
    """A tensor of ones: ``ones(2, 3)`` or ``ones((2, 3))``."""
    return _full(_sizes(shape, "ones"), 1, dtype)


@operation
def full_like(x: Any, value: Any, dtype: Any = None) -> Tensor:
    """``value`` in the shape and dtype of ``x``."""
    x = lift(x)
    return _full(x.shape, value, dtype or x.dtype)


@operation
def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros in the shape and dtype of ``x``."""
    return full_like(x, 0, dtype)


@operation
def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Ones in the shape and dtype of ``x``."""
    return full_like(x, 1, dtype)


def iota_of(shape: Shape, dim: int, dtype: dtypes.DType) -> Traced:
    """Positions along ``dim``."""
    return emit_sized("iota", [], shape, dtype, {"dim": dim})


@operation
def iota(shape: Any, dim: int = 0, dtype: Any = dtypes.int64) -> Tensor:
    """Positions along ``dim``: 0, 1, 2, ..."""
    sizes = _sizes(shape, "iota")
    chosen = as_dtype(dtype)
    if chosen.is_bool:
        raise diagnostic("TSR1301", "iota: expected a number dtype, got bool")
    return iota_of(sizes, normalize_dim(dim, len(sizes), "iota"), chosen)


@operation
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """``start``, ``start + step``, ... below ``stop``; ``arange(n)`` counts from 0.

    ``start`` and ``step`` may be tensors of rank 0 if ``stop`` is ``start`` plus a known length. The dtype is int64, or
    f32 if a bound is a float.
    """
    if stop is None:
        start, stop = 0, start
    if isinstance(step, (int, float)) and step == 0:
        raise diagnostic("TSR1504", "arange: expected a step other than 0, got 0")
    length = _arange_length(start, stop, step)
    chosen = as_dtype(dtype) if dtype is not None else result_dtype(*map(operand_type, (start, stop, step)))
    compute = dtypes.f32 if chosen.is_narrow else chosen
    result = iota_of((length,), 0, compute)
    if not (isinstance(step, (int, float)) and step == 1):
        result = lift(result * (lift(step, compute)))
    if not (isinstance(start, (int, float)) and start == 0):
        result = lift(result + lift(start, compute))
    result = cast(result, chosen)
    result.pinned = dtype is not None
    return result


def _arange_length(start: Any, stop: Any, step: Any) -> SizeLike:
    if all(isinstance(v, (int, float)) for v in (start, stop, step)):
        steps: int = math.ceil((stop - start) / step)
        return max(0, steps)
    if isinstance(start, Traced):
        base, offset = start.offset_of or (start, 0)
        end = stop.offset_of if isinstance(stop, Traced) else None
        start, stop = (offset, end[1]) if end is not None and end[0] is base else (start, stop)
    if not all(isinstance(v, (int, Size)) for v in (start, stop, step)):
        raise diagnostic(
            "TSR1504",
            "arange: expected a length known from sizes, got bounds that are tensors",
            help="write arange(n) + start, where n is a size",
        )
    distance = stop - start
    if isinstance(step, int) and step < 0:
        distance, step = -distance, -step
    length: SizeLike = dims.maximum(dims.floordiv(distance + step - 1, step), 0)
    return length


@operation
def linspace(start: Any, stop: Any, count: int, dtype: Any = dtypes.f32) -> Tensor:
    """``count`` evenly spaced numbers from ``start`` to ``stop``, both included."""
    steps = iota_of((count,), 0, dtypes.f32)
    return lift(lift(start, dtypes.f32) + steps * ((stop - start) / max(count - 1, 1))).cast(dtype)


@operation
def eye(rows: SizeLike, columns: SizeLike | None = None, dtype: Any = dtypes.f32) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    shape = _sizes((rows, rows if columns is None else columns), "eye")
    return (iota_of(shape, 0, dtypes.int64) == iota_of(shape, 1, dtypes.int64)).cast(dtype)


@operation
def tril(x: Any, diagonal: int = 0) -> Tensor:
    """The last two dimensions with zeros above the given diagonal."""
    return _triangle(x, lambda row, column: column <= row + diagonal)


@operation
def triu(x: Any, diagonal: int = 0) -> Tensor:
    """The last two dimensions with zeros below the given diagonal."""
    return _triangle(x, lambda row, column: column >= row + diagonal)


def _triangle(x: Any, keep: Any) -> Tensor:
    from tessera.ops.elementwise import where

    x = lift(x)
    if x.ndim < 2:
        raise diagnostic("TSR1107", f"tril: expected a tensor of rank 2 or more, got rank {x.ndim}")
    shape = x.shape[-2:]
    return where(keep(iota_of(shape, 0, dtypes.int64), iota_of(shape, 1, dtypes.int64)), x, 0)


@operation
def asarray(x: Any, dtype: Any = None) -> Tensor:
    """Numbers, nested lists or an array as a tensor."""
    tensor = lift(x)
    tensor = tensor if dtype is None else lift(tensor.cast(dtype))
    tensor.weak = False
    return tensor
