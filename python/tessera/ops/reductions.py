# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reductions, running sums, and ordering. They accumulate in the numeric policy's dtype."""

from __future__ import annotations

from typing import Any

from tessera import dtypes
from tessera.dtypes import DType
from tessera.frontend import dims
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.promotion import current_policy, float_dtype, sum_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import (
    Shape,
    Traced,
    cast,
    emit,
    emit_many,
    lift,
    lift_to,
    normalize_dim,
    normalize_dims,
)
from tessera.ops._dispatch import operation
from tessera.ops.elementwise import as_mask, narrow, widen
from tessera.ops.shape import reshape, slice_dim

Dims = int | tuple[int, ...] | list[int] | None


def _reduced_shape(shape: Shape, chosen: tuple[int, ...], keepdim: bool) -> Shape:
    kept = (1 if i in chosen else size for i, size in enumerate(shape) if keepdim or i not in chosen)
    return tuple(kept)


def _reduce(name: str, x: Traced, dim: Dims, keepdim: bool, dtype: DType, compute: DType) -> Traced:
    chosen = normalize_dims(dim, x.ndim, name)
    wide = widen(x, dtype, compute)
    if chosen:
        attributes: dict[str, Any] = {"dims": chosen}
        if keepdim:
            attributes["keepdims"] = True
        wide = emit(f"reduce_{name}", [wide], _reduced_shape(x.shape, chosen, keepdim), compute, attributes)
    return narrow(wide, dtype)


@operation
def sum(x: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Add up along ``dim`` (all dimensions for None). Integers and bools add up in int64."""
    x = lift(x)
    dtype = sum_dtype(x.dtype)
    return _reduce("sum", x, dim, keepdim, dtype, current_policy().reduction(dtype))


@operation
def prod(x: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Multiply along ``dim``. Integers and bools are multiplied in int64."""
    x = lift(x)
    dtype = sum_dtype(x.dtype)
    return _reduce("prod", x, dim, keepdim, dtype, current_policy().reduction(dtype))


@operation
def max(x: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest element along ``dim``; NaN wins."""
    x = lift(x)
    if x.dtype.is_bool:
        return any(x, dim, keepdim)
    return _reduce("max", x, dim, keepdim, x.dtype, current_policy().elementwise(x.dtype))


@operation
def min(x: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest element along ``dim``; NaN wins."""
    x = lift(x)
    if x.dtype.is_bool:
        return all(x, dim, keepdim)
    return _reduce("min", x, dim, keepdim, x.dtype, current_policy().elementwise(x.dtype))


@operation
def any(x: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether any element along ``dim`` is true."""
    return _reduce("any", as_mask(x), dim, keepdim, dtypes.bool_, dtypes.bool_)


@operation
def all(x: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements along ``dim`` are true."""
    return _reduce("all", as_mask(x), dim, keepdim, dtypes.bool_, dtypes.bool_)


def _count(x: Traced, dim: Dims, where: str) -> SizeLike:
    return dims.product(x.shape[i] for i in normalize_dims(dim, x.ndim, where))


@operation
def mean(x: Any, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The arithmetic mean along ``dim``; of integers and bools, in f32."""
    x = lift(x)
    dtype = float_dtype(x.dtype)
    compute = current_policy().reduction(dtype)
    wide = widen(x, dtype, compute)
    total = _reduce("sum", wide, dim, keepdim, compute, compute)
    return narrow(_over(total, _count(x, dim, "mean")), dtype)


def _over(total: Traced, count: SizeLike) -> Traced:
    divisor = lift_to(count if isinstance(count, Size) else float(count), total.dtype)
    return emit("div", [total, divisor], total.shape, total.dtype)


@operation
def var(x: Any, dim: Dims = None, keepdim: bool = False, correction: int = 0) -> Tensor:
    """The variance along ``dim``: mean square distance from the mean, with ``correction`` taken from the count.

    Two passes (mean, then squares), so that a large mean doesn't cancel the digits.
    """
    x = lift(x)
    dtype = float_dtype(x.dtype)
    compute = current_policy().reduction(dtype)
    wide = widen(x, dtype, compute)
    center = _over(_reduce("sum", wide, dim, True, compute, compute), _count(x, dim, "var"))
    distance = emit("sub", [wide, center], x.shape, compute)
    squares = emit("mul", [distance, distance], x.shape, compute)
    total = _reduce("sum", squares, dim, keepdim, compute, compute)
    return narrow(_over(total, _count(x, dim, "var") - correction), dtype)


# -- positions -------------------------------------------------------------------------------------------------------


def _ordered(x: Any) -> Traced:
    """Bools have no order in the IR; as int8 they do."""
    x = lift(x)
    return cast(x, dtypes.int8) if x.dtype.is_bool else x


def _arg_reduce(name: str, x: Any, dim: int | None, keepdim: bool) -> Tensor:
    x = _ordered(x)
    if dim is None:
        found = _arg_reduce(name, reshape(x, -1), 0, False)
        return reshape(found, (1,) * x.ndim) if keepdim else found
    position = normalize_dim(dim, x.ndim, name)
    attributes: dict[str, Any] = {"dim": position}
    if keepdim:
        attributes["keepdims"] = True
    return emit(name, [x], _reduced_shape(x.shape, (position,), keepdim), dtypes.int64, attributes)


@operation
def argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element is, int64; the first of equals. ``dim=None`` counts over the flattened tensor."""
    return _arg_reduce("argmax", x, dim, keepdim)


@operation
def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element is, int64; the first of equals. ``dim=None`` counts over the flattened tensor."""
    return _arg_reduce("argmin", x, dim, keepdim)


@operation
def cumsum(x: Any, dim: int) -> Tensor:
    """Sums of the elements so far along ``dim``. Integers and bools add up in int64."""
    x = lift(x)
    dtype = sum_dtype(x.dtype)
    wide = widen(x, dtype, current_policy().reduction(dtype))
    position = normalize_dim(dim, x.ndim, "cumsum")
    return narrow(emit("cumsum", [wide], x.shape, wide.dtype, {"dim": position}), dtype)


@operation
def sort(x: Any, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """Sort along ``dim``, stably.

    Returns
    -------
    values, indices
        The sorted elements, and where each was (int64). NaN comes last, or first if ``descending``.
    """
    original = lift(x)
    x = _ordered(original)
    attributes: dict[str, Any] = {"dim": normalize_dim(dim, x.ndim, "sort")}
    if descending:
        attributes["descending"] = True
    values, indices = emit_many("sort", [x], [(x.shape, x.dtype), (x.shape, dtypes.int64)], attributes)
    return cast(values, original.dtype), indices


@operation
def argsort(x: Any, dim: int = -1, descending: bool = False) -> Tensor:
    """Where the elements of the sorted tensor are, int64."""
    return sort(x, dim, descending)[1]


@operation
def topk(x: Any, k: int, dim: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The ``k`` largest (or smallest) elements along ``dim``, best first, and where they were (int64)."""
    original = lift(x)
    x = _ordered(original)
    position = normalize_dim(dim, x.ndim, "topk")
    size = x.shape[position]
    if isinstance(k, bool) or not isinstance(k, int) or k < 0 or dims.proven_le(size + 1, k):
        raise diagnostic("TSR1504", f"topk: expected k to be an int in [0, {size}], got {k!r}")
    if not largest:
        ordered = sort(x, position)
        values, indices = (slice_dim(lift(part), position, 0, k) for part in ordered)
    else:
        shape = (*x.shape[:position], k, *x.shape[position + 1 :])
        results = [(shape, x.dtype), (shape, dtypes.int64)]
        values, indices = emit_many("topk", [x], results, {"k": k, "dim": position})
    return cast(values, original.dtype), indices


@operation
def std(x: Any, dim: Dims = None, keepdim: bool = False, correction: int = 0) -> Tensor:
    """The standard deviation along ``dim``: the root of ``var``."""
    return var(x, dim, keepdim, correction) ** 0.5
