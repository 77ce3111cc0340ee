# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operations that move elements without computing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tessera.frontend import dims
from tessera.frontend.dims import Compound, Size, SizeLike
from tessera.frontend.promotion import result_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import (
    Shape,
    Traced,
    active_scope,
    as_sizes,
    element_count,
    emit,
    emit_sized,
    format_shape,
    lift,
    lift_to,
    normalize_dim,
    operand_type,
)
from tessera.ops._dispatch import operation


@operation
def reshape(x: Any, *shape: Any) -> Tensor:
    """The same elements in row-major order in another shape. One size may be -1: what remains.

    Raises
    ------
    ShapeError
        If the number of elements changes. Where that depends on sizes known only at run time it is a guard.
    """
    x = lift(x)
    sizes = as_sizes(shape, "reshape")
    total = element_count(x.shape)
    if (open_dims := [i for i, size in enumerate(sizes) if isinstance(size, int) and size < 0]) != []:
        if len(open_dims) > 1 or sizes[open_dims[0]] != -1:
            raise diagnostic("TSR1504", f"reshape: expected at most one -1 and no other negative size, got {sizes}")
        others = element_count(sizes[: open_dims[0]] + sizes[open_dims[0] + 1 :])
        rest = _exact_quotient(total, others, f"reshape of {format_shape(x.shape)} to {format_shape(sizes)}")
        sizes = (*sizes[: open_dims[0]], rest, *sizes[open_dims[0] + 1 :])
    else:
        _check_count(x.shape, sizes)
    return _reshape(x, sizes)


def _reshape(x: Traced, shape: Shape) -> Traced:
    return emit_sized("reshape", [x], shape, x.dtype)


def _check_count(before: Shape, after: Shape) -> None:
    scope = active_scope()
    old, new = element_count(before), element_count(after)
    known = scope.proven_equal(old, new)
    if known:
        return
    message = f"reshape of {format_shape(before)} to {format_shape(after)}: expected {old} elements, got {new}"
    if known is False or not (_has_unknown(scope.resolve(old)) or _has_unknown(scope.resolve(new))):
        raise diagnostic("TSR1108", message, help="give sizes with the same product, or -1 for one of them")
    scope.assume_equal(old, new, message)


def _has_unknown(size: SizeLike) -> bool:
    """Whether equality is decided by values: anonymous sizes, rounded quotients, minima."""
    if not isinstance(size, Size):
        return False
    atoms = {atom for monomial in size.terms for atom, _ in monomial}
    return any(isinstance(atom, Compound) or atom.anonymous for atom in atoms)


def _exact_quotient(total: SizeLike, divisor: SizeLike, where: str) -> SizeLike:
    """``total // divisor``, which must be exact: by proof, or by a guard."""
    if isinstance(divisor, int) and divisor == 0:
        raise diagnostic("TSR1108", f"{where}: expected sizes other than 0 beside -1, got {total} elements")
    scope = active_scope()
    total, divisor = scope.resolve(total), scope.resolve(divisor)
    quotient = dims.floordiv(total, divisor)
    known = dims.proven_equal(quotient * divisor, total)
    if known is False:
        raise diagnostic("TSR1108", f"{where}: expected a multiple of {divisor}, got {total} elements")
    if known is None:
        scope.assume_equal(dims.remainder(total, divisor), 0, f"{where}: expected a multiple of {divisor} elements")
    return quotient


@operation
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the dimensions from ``start_dim`` to ``end_dim`` into one."""
    x = lift(x)
    if x.ndim == 0:
        return _reshape(x, (1,))
    first, last = (normalize_dim(d, x.ndim, "flatten") for d in (start_dim, end_dim))
    return _reshape(x, (*x.shape[:first], element_count(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@operation
def squeeze(x: Any, dim: Any = None) -> Tensor:
    """Drop dimensions that are statically 1: all of them, or those in ``dim``."""
    x = lift(x)
    if dim is None:
        chosen = {i for i, size in enumerate(x.shape) if isinstance(size, int) and size == 1}
    else:
        chosen = {normalize_dim(d, x.ndim, "squeeze") for d in (dim if isinstance(dim, (tuple, list)) else (dim,))}
    for i in chosen:
        active_scope().require_equal(x.shape[i], 1, f"squeeze: dimension {i}")
    return _reshape(x, tuple(size for i, size in enumerate(x.shape) if i not in chosen))


@operation
def unsqueeze(x: Any, dim: int) -> Tensor:
    """Insert a dimension of size 1 at ``dim``."""
    x = lift(x)
    position = normalize_dim(dim, x.ndim + 1, "unsqueeze")
    return _reshape(x, (*x.shape[:position], 1, *x.shape[position:]))


expand_dims = unsqueeze


@operation
def transpose(x: Any, *dims: Any) -> Tensor:
    """Swap two dimensions, ``transpose(x, -2, -1)``; reverse all without ``dims``; a tuple permutes, as in NumPy."""
    x = lift(x)
    if len(dims) == 1 and (isinstance(dims[0], (tuple, list)) or dims[0] is None):
        return permute(x, dims[0]) if dims[0] is not None else transpose(x)
    if not dims:
        return _permute(x, tuple(reversed(range(x.ndim))))
    if len(dims) != 2:
        raise diagnostic(
            "TSR1504",
            f"transpose: expected two dimensions to swap, got {len(dims)}",
            help="use permute(x, ...) to reorder all dimensions",
        )
    first, second = (normalize_dim(d, x.ndim, "transpose") for d in dims)
    order = list(range(x.ndim))
    order[first], order[second] = second, first
    return _permute(x, tuple(order))


@operation
def permute(x: Any, *dims: Any) -> Tensor:
    """Reorder the dimensions: dimension ``i`` of the result is dimension ``dims[i]`` of ``x``."""
    x = lift(x)
    given = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    order = tuple(normalize_dim(d, x.ndim, "permute") for d in given)
    if sorted(order) != list(range(x.ndim)):
        raise diagnostic("TSR1504", f"permute: expected each of {x.ndim} dimensions once, got {tuple(given)}")
    return _permute(x, order)


def _permute(x: Traced, order: tuple[int, ...]) -> Traced:
    return emit("transpose", [x], tuple(x.shape[i] for i in order), x.dtype, {"permutation": order})


@operation
def moveaxis(x: Any, source: int, destination: int) -> Tensor:
    """Move one dimension to another place."""
    x = lift(x)
    source, destination = (normalize_dim(d, x.ndim, "moveaxis") for d in (source, destination))
    order = [i for i in range(x.ndim) if i != source]
    order.insert(destination, source)
    return _permute(x, tuple(order))


@operation
def broadcast_to(x: Any, *shape: Any) -> Tensor:
    """Repeat dimensions that are statically 1, and new leading ones, up to ``shape``; -1 keeps a size."""
    x = lift(x)
    target = list(as_sizes(shape, "broadcast_to"))
    missing = len(target) - x.ndim
    if missing < 0:
        raise diagnostic(
            "TSR1107", f"broadcast_to: expected at least {x.ndim} sizes for {format_shape(x.shape)}, got {len(target)}"
        )
    for i, size in enumerate(x.shape):
        wanted = target[missing + i]
        if isinstance(wanted, int) and wanted == -1:
            target[missing + i] = size
        elif not (isinstance(size, int) and size == 1):
            where = f"broadcast_to of {format_shape(x.shape)}: dimension {i}"
            target[missing + i] = active_scope().require_equal(wanted, size, where)
    return broadcast(x, tuple(target))


def broadcast(x: Traced, shape: Shape) -> Traced:
    """``broadcast_to`` a shape that is known to fit."""
    return emit_sized("broadcast_to", [x], shape, x.dtype)


@operation
def concat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along ``dim``; all other sizes agree."""
    lifted = _promoted(tensors, "concat")
    rank = lifted[0].ndim
    if any(x.ndim != rank for x in lifted):
        ranks = ", ".join(str(x.ndim) for x in lifted)
        raise diagnostic("TSR1107", f"concat: expected tensors of one rank, got ranks {ranks}")
    if rank == 0:
        raise diagnostic("TSR1107", "concat: expected tensors of rank 1 or more, got rank 0", help="use tessera.stack")
    position = normalize_dim(dim, rank, "concat")
    shape = list(lifted[0].shape)
    for x in lifted[1:]:
        for i in range(rank):
            if i == position:
                shape[i] = shape[i] + x.shape[i]
            else:
                shape[i] = active_scope().require_equal(shape[i], x.shape[i], f"concat: dimension {i}")
    if any(isinstance(x.shape[position], Size) for x in lifted) and not isinstance(shape[position], Size):
        # Sizes like S + (4 - S) cancel, but the operation sees an unknown size: tell it afterwards.
        unknown = active_scope().anonymous()
        return _known_concat(lifted, shape, position, dims.size_of(unknown))
    return emit("concat", lifted, tuple(shape), lifted[0].dtype, {"dim": position})


def _known_concat(lifted: list[Traced], shape: list[SizeLike], position: int, unknown: Size) -> Traced:
    scope = active_scope()
    results = [(tuple(unknown if i == position else size for i, size in enumerate(shape)), lifted[0].dtype)]
    value = scope.builder.op("tessera.concat", [x.value for x in lifted], results, {"dim": position})[0]
    return _reshape(Traced(value, *results[0], scope), tuple(shape))


@operation
def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension."""
    lifted = _promoted(tensors, "stack")
    position = normalize_dim(dim, lifted[0].ndim + 1, "stack")
    return concat([unsqueeze(x, position) for x in lifted], position)


def _promoted(tensors: Sequence[Any], where: str) -> list[Traced]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)) or not tensors:
        raise diagnostic("TSR1504", f"{where}: expected a list or tuple of tensors, got {tensors!r}")
    dtype = result_dtype(*(operand_type(lift(x) if isinstance(x, (list, tuple)) else x) for x in tensors))
    return [lift_to(x, dtype) for x in tensors]


@operation
def split(x: Any, parts: int | Sequence[SizeLike], dim: int = 0) -> list[Tensor]:
    """Cut into parts along ``dim``: into ``parts`` equal ones, or into parts of these sizes, one of which may be -1."""
    x = lift(x)
    position = normalize_dim(dim, x.ndim, "split")
    total = x.shape[position]
    if isinstance(parts, int):
        if parts < 1:
            raise diagnostic("TSR1504", f"split: expected at least one part, got {parts}")
        sizes: list[SizeLike] = [_exact_quotient(total, parts, f"split of dimension {position}")] * parts
    else:
        sizes = list(as_sizes(tuple(parts), "split"))
        known = [size for size in sizes if not (isinstance(size, int) and size == -1)]
        rest: SizeLike = total
        for size in known:
            rest = rest - size
        sizes = [rest if isinstance(size, int) and size == -1 else size for size in sizes]
        if len(known) == len(sizes):
            active_scope().require_equal(rest, 0, f"split of dimension {position}, {total}, into {sizes}: what remains")
    result: list[Tensor] = []
    start: SizeLike = 0
    for size in sizes:
        result.append(slice_dim(x, position, start, size))
        start = start + size
    return result


@operation
def unbind(x: Any, dim: int = 0) -> list[Tensor]:
    """The slices along ``dim``, whose size must be known at compile time, without it."""
    x = lift(x)
    position = normalize_dim(dim, x.ndim, "unbind")
    count = int(x.shape[position])
    return [squeeze(slice_dim(x, position, i, 1), position) for i in range(count)]


def slice_dim(x: Traced, dim: int, start: SizeLike, size: SizeLike) -> Traced:
    """``size`` elements from ``start`` on along one dimension, known to be within bounds."""
    starts: list[SizeLike] = [0] * x.ndim
    sizes = list(x.shape)
    starts[dim], sizes[dim] = start, size
    return slice_all(x, starts, sizes, [1] * x.ndim)


def slice_all(x: Traced, starts: Sequence[SizeLike], sizes: Sequence[SizeLike], strides: Sequence[int]) -> Traced:
    """A slice known to be within bounds, in every dimension."""
    return emit_sized("slice", [x], tuple(sizes), x.dtype, {"strides": list(strides)}, offsets=starts)


@operation
def flip(x: Any, dim: Any = None) -> Tensor:
    """Reverse the order along the dimensions ``dim``, or all."""
    x = lift(x)
    chosen = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    reverse = {normalize_dim(d, x.ndim, "flip") for d in chosen}
    starts = [x.shape[i] - 1 if i in reverse else 0 for i in range(x.ndim)]
    return slice_all(x, starts, x.shape, [-1 if i in reverse else 1 for i in range(x.ndim)])


@operation
def repeat(x: Any, repeats: int, dim: int) -> Tensor:
    """Repeat each element along ``dim``: [a, b] becomes [a, a, b, b]."""
    x = lift(x)
    position = normalize_dim(dim, x.ndim, "repeat")
    if not isinstance(repeats, (int, np.integer)) or repeats < 0:
        raise diagnostic("TSR1504", f"repeat: expected a count that is not negative, got {repeats!r}")
    before, after = x.shape[: position + 1], x.shape[position + 1 :]
    wide = broadcast(_reshape(x, (*before, 1, *after)), (*before, int(repeats), *after))
    return _reshape(wide, (*before[:-1], before[-1] * int(repeats), *after))
