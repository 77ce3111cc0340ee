# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Indexing and gathering. Bounds are proven, or guarded, or checked by the gather as it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tessera import dtypes
from tessera.dtypes import array_dtype
from tessera.frontend import dims
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import (
    Traced,
    active_scope,
    cast,
    constant,
    emit,
    format_shape,
    lift,
    lift_to,
    normalize_dim,
)
from tessera.ops._dispatch import operation
from tessera.ops.creation import iota_of
from tessera.ops.elementwise import less, where
from tessera.ops.shape import permute, reshape, slice_all


@dataclass
class _Plan:
    """An index expression, sorted out: one slice, one reshape, one gather."""

    starts: list[SizeLike] = field(default_factory=list)
    sizes: list[SizeLike] = field(default_factory=list)
    strides: list[int] = field(default_factory=list)
    #: Shape after integers have dropped dimensions and None has inserted some.
    shape: list[SizeLike] = field(default_factory=list)
    #: The positions of slices with a dynamic start, and where they stand in ``shape``.
    windows: list[tuple[int, Traced]] = field(default_factory=list)
    #: Integer tensors, and where they stand in ``shape``.
    gathers: list[tuple[int, Traced]] = field(default_factory=list)
    #: Positions in the index of what NumPy counts as advanced: integers and tensors.
    advanced: list[int] = field(default_factory=list)


@operation
def index(x: Any, key: Any) -> Tensor:
    """``x[key]`` for ints, sizes, slices, ``None``, ``...`` and integer tensors, by NumPy's rules.

    A slice whose start is a tensor needs a known length, ``x[i : i + 4]``; such a start is not wrapped if negative.

    Raises
    ------
    IndexingError
        If an index is out of bounds, or of a form that has no static shape.
    """
    result = x = lift(x)
    plan = _plan(x, key)
    whole = all(
        isinstance(start, int) and start == 0 and stride == 1 and dims.same(size, old)
        for start, stride, size, old in zip(plan.starts, plan.strides, plan.sizes, x.shape, strict=True)
    )
    if not whole:
        result = slice_all(result, plan.starts, plan.sizes, plan.strides)
    if len(plan.shape) != result.ndim or not all(map(dims.same, plan.shape, result.shape)):
        result = lift(reshape(result, tuple(plan.shape)))
    for position, indices in plan.windows:
        result = _take(result, indices, position)
    if len(plan.gathers) > 1:
        result, plan.gathers = _join(result, plan.gathers)
    for position, indices in plan.gathers:
        result = _take(result, indices, position)
    if plan.gathers and any(b - a > 1 for a, b in zip(plan.advanced, plan.advanced[1:], strict=False)):
        # NumPy puts the dimensions of separated advanced indices first.
        position, indices = plan.gathers[0]
        moved = list(range(position, position + indices.ndim))
        result = lift(permute(result, moved + [i for i in range(result.ndim) if i not in moved]))
    return result


def _plan(x: Traced, key: Any) -> _Plan:
    items = list(key) if isinstance(key, tuple) else [key]
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    ellipses = sum(1 for item in items if item is Ellipsis)
    if ellipses > 1:
        raise _unsupported("at most one `...`", "two", "")
    if used > x.ndim:
        raise diagnostic(
            "TSR1502", f"too many indices: expected at most {x.ndim} for {format_shape(x.shape)}, got {used}"
        )
    rest = [slice(None)] * (x.ndim - used)
    at = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    items[at : at + ellipses] = rest
    plan, dim = _Plan(), 0
    for position, item in enumerate(items):
        if item is None:
            plan.shape.append(1)
            continue
        size, where = x.shape[dim], f"index {_show(item)} of dimension {dim}"
        dim += 1
        if isinstance(item, slice) and not _is_dynamic(item):
            _add(plan, *_slice_bounds(item, size, where))
            plan.shape.append(plan.sizes[-1])
        elif isinstance(item, (int, np.integer, Size)) and not isinstance(item, bool):
            _add(plan, _position(item, size, where), 1, 1)
            plan.advanced.append(position)
        else:
            _add(plan, 0, size, 1)
            chosen = plan.windows if isinstance(item, slice) else plan.gathers
            chosen.append((len(plan.shape), _index_tensor(item, size, where)))
            plan.shape.append(size)
            if not isinstance(item, slice):
                plan.advanced.append(position)
    return plan


def _join(x: Traced, gathers: list[tuple[int, Traced]]) -> tuple[Traced, list[tuple[int, Traced]]]:
    """Make several indexed dimensions one, indexed by one tensor: ``x[i, j]`` is ``x.reshape(-1)[i * columns + j]``."""
    first, indexed = gathers[0][0], [position for position, _ in gathers]
    kept = [i for i in range(x.ndim) if i not in indexed]
    order = [i for i in kept if i < first] + indexed + [i for i in kept if i > first]
    if order != list(range(x.ndim)):
        x = lift(permute(x, order))
    flat: Any = lift(0, dtypes.int64)
    inside: Any = True
    whole: SizeLike = 1
    for offset, (_, indices) in enumerate(gathers):
        size = x.shape[first + offset]
        chosen = cast(indices, dtypes.int64)
        flat = flat * lift_to(size, dtypes.int64) + chosen
        inside = inside & (chosen >= 0) & less(chosen, lift_to(size, dtypes.int64))
        whole = whole * size
    joined = lift(reshape(x, (*x.shape[:first], whole, *x.shape[first + len(gathers) :])))
    # An index beyond its dimension must not reach a neighbouring row: -1 is out of range for the joined one as well.
    return joined, [(first, lift(where(inside, flat, -1)))]


def _add(plan: _Plan, start: SizeLike, size: SizeLike, stride: int) -> None:
    plan.starts.append(start)
    plan.sizes.append(size)
    plan.strides.append(stride)


def _show(item: Any) -> str:
    if isinstance(item, slice):
        parts = ["" if part is None else _show(part) for part in (item.start, item.stop)]
        return ":".join(parts + ([_show(item.step)] if item.step is not None else []))
    return "tensor" if isinstance(item, (Tensor, np.ndarray)) else str(item)


def _is_dynamic(item: slice) -> bool:
    return any(isinstance(part, Tensor) for part in (item.start, item.stop, item.step))


def _unsupported(expected: str, got: str, help: str) -> Exception:
    return diagnostic("TSR1503", f"indexing: expected {expected}, got {got}", help=help)


# -- ints and slices -------------------------------------------------------------------------------------------------


def _position(item: Any, size: SizeLike, where: str) -> SizeLike:
    """An integer index counted from 0, proven or guarded to be within bounds."""
    position: SizeLike = item if isinstance(item, Size) else int(item)
    if dims.proven_le(position, -1):
        position = size + position
    elif not dims.proven_le(0, position):
        raise _unknown_sign(where, position)
    if isinstance(position, int) and isinstance(size, int) and not 0 <= position < size:
        raise diagnostic("TSR1502", f"{where}: expected an index in [-{size}, {size}), got {item}")
    _require_le(position + 1, size, where, f"an index below {size}")
    _require_le(0, position, where, f"an index of at least -{size}")
    return position


def _require_le(small: SizeLike, large: SizeLike, where: str, expected: str) -> None:
    scope = active_scope()
    small, large = scope.resolve(small), scope.resolve(large)
    if dims.proven_le(small, large):
        return
    if dims.proven_le(large + 1, small):
        raise diagnostic("TSR1502", f"{where}: expected {expected}, got one beyond")
    scope.assume_equal(dims.maximum(small, large), large, f"{where}: expected {expected}")


def _slice_bounds(item: slice, size: SizeLike, where: str) -> tuple[SizeLike, SizeLike, int]:
    """Start, length and stride of a slice, clamped to the dimension as Python does."""
    step = 1 if item.step is None else item.step
    if not isinstance(step, (int, np.integer)) or step == 0:
        raise _unsupported("a constant slice step other than 0", _show(step), "")
    step = int(step)
    lowest, highest = (0, size) if step > 0 else (-1, size - 1)
    start = (
        (lowest if step > 0 else highest) if item.start is None else _bound(item.start, size, lowest, highest, where)
    )
    stop = (highest if step > 0 else lowest) if item.stop is None else _bound(item.stop, size, lowest, highest, where)
    distance = stop - start if step > 0 else start - stop
    return start, dims.maximum(dims.floordiv(distance + (abs(step) - 1), abs(step)), 0), step


def _bound(value: Any, size: SizeLike, lowest: SizeLike, highest: SizeLike, where: str) -> SizeLike:
    if not isinstance(value, (int, np.integer, Size)):
        raise _unsupported("slice bounds that are ints or sizes", _show(value), "")
    bound: SizeLike = value if isinstance(value, Size) else int(value)
    if dims.proven_le(0, bound):
        return dims.minimum(bound, highest)
    if dims.proven_le(bound, -1):
        return dims.maximum(size + bound, lowest)
    raise _unknown_sign(where, bound)


def _unknown_sign(where: str, value: SizeLike) -> Exception:
    return diagnostic(
        "TSR1201",
        f"{where}: expected a bound whose sign is known for every value of the symbols, got {value}",
        help="give the ranges of the symbols with dims={...: tessera.Dim(min, max)}",
    )


# -- integer tensors -------------------------------------------------------------------------------------------------


def _index_tensor(item: Any, size: SizeLike, where: str) -> Traced:
    """An index that is a tensor, with negative positions wrapped; for a slice with a dynamic start, its positions."""
    if isinstance(item, slice):
        return _dynamic_slice(item)
    if isinstance(item, (bool, np.bool_)) or (dtype := _item_dtype(item)) is None:
        raise _unsupported("ints, slices, None, ... and integer tensors", f"{item!r:.60}", "")
    if dtype.is_bool:
        raise _unsupported(
            "integer tensors",
            "a bool tensor, whose number of true elements is not known while tracing",
            "keep the shape: tessera.where(mask, x, 0), or sort first with tessera.topk",
        )
    if not dtype.is_int:
        raise diagnostic(
            "TSR1301",
            f"{where}: expected integers, got {dtype.name}",
            help='annotate the index with an integer dtype, Tensor["B", tessera.int64], or give dtypes={...}',
        )
    if not isinstance(item, Tensor):
        return _constant_index(np.asarray(item), size, where)
    return wrap(lift(item), size)


def _item_dtype(item: Any) -> dtypes.DType | None:
    if isinstance(item, (list, tuple)):
        return array_dtype(np.asarray(item, dtype=None if item else np.int64))
    return array_dtype(item)


def _constant_index(array: np.ndarray[Any, Any], size: SizeLike, where: str) -> Traced:
    array = array.astype(np.int64)
    if isinstance(size, int) and array.size and not (-size <= array.min() and array.max() < size):
        worst = array.max() if array.max() >= size else array.min()
        raise diagnostic("TSR1502", f"{where}: expected indices in [-{size}, {size}), got {worst}")
    if isinstance(size, int):
        return lift(np.where(array < 0, array + size, array)) if array.ndim else constant(array % size)
    return wrap(lift(array), size)


def wrap(indices: Traced, size: SizeLike) -> Traced:
    """Count negative indices from the end."""
    if indices.dtype.itemsize < 4:
        indices = cast(indices, dtypes.int32)
    if isinstance(size, int) and size > 2**31 - 1:
        indices = cast(indices, dtypes.int64)
    return lift(where(less(indices, 0), indices + lift_to(size, indices.dtype), indices))


def _dynamic_slice(item: slice) -> Traced:
    help = "the length must be known: x[i : i + 4], where i is an integer tensor of rank 0"
    if item.step not in (None, 1) or not isinstance(item.start, Traced):
        raise _unsupported("a dynamic slice with a start and step 1", _show(item), help)
    start = item.start
    base, first = start.offset_of or (start, 0)
    stop, last = item.stop.offset_of or (item.stop, 0) if isinstance(item.stop, Traced) else (None, 0)
    if stop is not base or not start.dtype.is_int or start.ndim:
        raise _unsupported("a dynamic slice of known length", _show(item), help)
    return lift(lift(start) + iota_of((dims.maximum(last - first, 0),), 0, start.dtype))


def _take(x: Traced, indices: Traced, dim: int) -> Traced:
    shape = (*x.shape[:dim], *indices.shape, *x.shape[dim + 1 :])
    result = emit("gather", [x, indices], shape, x.dtype, {"dim": dim})
    result.pinned, result.weak = x.pinned, x.weak
    return result


@operation
def take(x: Any, indices: Any, dim: int | None = None) -> Tensor:
    """Slices of ``x`` along ``dim`` at the positions in ``indices``: ``numpy.take``.

    The result has shape ``x.shape[:dim] + indices.shape + x.shape[dim + 1:]``. ``dim=None`` takes from the flattened
    tensor. Negative indices count from the end; an index out of range is an error on the CPU.
    """
    x = lift(x)
    if dim is None:
        return take(reshape(x, -1), indices, 0)
    position = normalize_dim(dim, x.ndim, "take")
    indices = indices if isinstance(indices, Tensor) else np.asarray(indices)
    return _take(x, _index_tensor(indices, x.shape[position], f"take: dimension {position}"), position)


@operation
def gather(x: Any, indices: Any, dim: int) -> Tensor:
    """One element of ``x`` for each index: ``numpy.take_along_axis``, ``torch.gather``.

    ``result[i, j] = x[indices[i, j], j]`` for ``dim=0``. ``indices`` has the rank of ``x`` and its sizes, except at
    ``dim``. Negative indices count from the end; an index out of range is an error on the CPU.
    """
    x = lift(x)
    position = normalize_dim(dim, x.ndim, "gather")
    size = x.shape[position]
    where_ = f"gather: dimension {position}"
    chosen = _index_tensor(indices if isinstance(indices, Tensor) else np.asarray(indices), size, where_)
    if chosen.ndim != x.ndim:
        raise diagnostic("TSR1107", f"gather: expected indices of rank {x.ndim}, as x, got rank {chosen.ndim}")
    for i in range(x.ndim):
        if i != position:
            active_scope().require_equal(x.shape[i], chosen.shape[i], f"gather: dimension {i} of x and of indices")
    chosen = cast(chosen, dtypes.int64)
    flat: Any = lift(0, dtypes.int64)
    stride: SizeLike = 1
    for i in reversed(range(x.ndim)):
        where_at = chosen if i == position else iota_of(chosen.shape, i, dtypes.int64)
        flat = flat + where_at * lift_to(stride, dtypes.int64)
        stride = stride * x.shape[i]
    # An index beyond its dimension must not reach a neighbouring row: -1 is out of range for the flat tensor as well.
    inside = (chosen >= 0) & less(chosen, lift_to(size, dtypes.int64))
    return _take(lift(reshape(x, -1)), lift(where(inside, flat, -1)), 0)


@operation
def scatter(x: Any, indices: Any, updates: Any) -> Tensor:
    """``x`` with the slices at ``indices`` of its first dimension replaced: ``y[indices] = updates`` in NumPy.

    An index that is not in ``[0, len(x))`` is skipped: give -1 for updates that have no place. Of updates with one
    index, any may be the one that stays. Where ``x`` is not used afterwards, its memory is changed in place.

    Parameters
    ----------
    x
        ``[N, ...]``.
    indices
        Integers of any shape ``[I...]``.
    updates
        ``[I..., ...]``: ``indices.shape + x.shape[1:]``; cast to x's dtype.

    Raises
    ------
    ShapeError, DTypeError
        When shapes do not fit, or the indices are no integers.
    """
    x, indices, updates = lift(x), lift(indices), lift(updates)
    if x.ndim == 0:
        raise diagnostic("TSR1107", "scatter: expected x of rank 1 or more, got rank 0")
    if not indices.dtype.is_int:
        raise diagnostic("TSR1301", f"scatter: expected indices of integers, got {indices.dtype.name}")
    rest = x.shape[1:]
    if updates.ndim != indices.ndim + len(rest):
        raise diagnostic(
            "TSR1107",
            f"scatter: expected updates of shape {format_shape((*indices.shape, *rest))}, "
            f"got {format_shape(updates.shape)}",
        )
    for position, (size, wanted) in enumerate(zip(updates.shape, (*indices.shape, *rest), strict=True)):
        active_scope().require_equal(size, wanted, f"scatter: dimension {position} of updates")
    flat = lift(reshape(indices, -1))
    rows = lift(reshape(cast(updates, x.dtype), (flat.shape[0], *rest)))
    result = emit("scatter", [x, flat, rows], x.shape, x.dtype)
    result.origin = x.origin
    return result
