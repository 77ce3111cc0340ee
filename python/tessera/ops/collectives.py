# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the ranks of a mesh do together. ``axis`` is a mesh axis, or a tuple of several; ``dim`` a tensor's dimension.

Every rank of a group, those that differ only in their place along ``axis``, has to come to the same operation. They are
``shard``'s operations in the IR, upstream's dialect for meshes.
"""

from __future__ import annotations

import builtins
from typing import Any, Literal

import numpy as np

from tessera import dtypes
from tessera.dtypes import DType
from tessera.frontend.dims import SizeLike
from tessera.frontend.mesh import Axes, Mesh, axis_tuple
from tessera.frontend.promotion import current_policy, float_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Shape, Traced, active_scope, cast, emit, lift, lift_to, normalize_dim
from tessera.ops._dispatch import operation
from tessera.ops.elementwise import narrow, widen
from tessera.ops.shape import reshape

ReduceOp = Literal["sum", "mean", "max", "min", "prod"]

_REDUCTIONS = {"sum": "sum", "mean": "sum", "max": "max", "min": "min", "prod": "product"}


def _mesh(what: str) -> Mesh:
    mesh = active_scope().module.mesh
    if active_scope().module.partition:
        raise diagnostic(
            "TSR1604",
            f"{what}: expected a function on parts of tensors, got one that the compiler divides",
            help="leave collectives to the compiler, or leave out partition=True",
        )
    if mesh is None:
        raise diagnostic(
            "TSR1604",
            f"{what}: expected a function on a mesh, got one without",
            help="decorate the function with @tessera.on_mesh(mesh)",
        )
    return mesh


def _group(what: str, axis: Axes) -> tuple[dict[str, Any], int]:
    """The attributes that name a group of ranks, and its size."""
    mesh, names, builder = _mesh(what), axis_tuple(axis), active_scope().module.builder
    if not names or len(set(names)) != len(names):
        raise diagnostic("TSR1602", f"{what}: expected one or more different mesh axes, got {axis!r}")
    return {"grid": builder.grid(mesh), "grid_axes": builder.axes(mesh, names)}, mesh.axis_size(names)


def _index(value: int) -> Any:
    return active_scope().module.builder.parse_attribute(f"{value} : index")


def _replace(shape: Shape, dim: int, size: SizeLike) -> Shape:
    return (*shape[:dim], size, *shape[dim + 1 :])


def _reduction(what: str, op: str) -> Any:
    if op not in _REDUCTIONS:
        raise diagnostic("TSR1504", f"{what}: expected op to be one of {', '.join(_REDUCTIONS)}, got {op!r}")
    return active_scope().module.builder.parse_attribute(f"#shard<partial {_REDUCTIONS[op]}>")


def _operand(what: str, x: Any, op: str) -> tuple[Traced, DType, DType]:
    """A reduction's operand in the dtype in which it is reduced; that dtype; and the result's."""
    x = lift(x)
    if x.dtype.is_bool and op not in ("max", "min"):
        raise diagnostic(
            "TSR1301", f"{what}: expected numbers for op={op!r}, got bool", help="cast first: x.cast(tessera.int32)"
        )
    dtype = float_dtype(x.dtype) if op == "mean" else x.dtype
    compute = current_policy().reduction(dtype) if dtype.is_float else dtype
    if dtype.is_float and compute.itemsize < 4:  # no MPI adds these
        compute = dtypes.f32
    if compute == dtypes.int16:  # nor these, on either side
        compute = dtypes.int32
    wide = widen(x, dtype, compute) if dtype.is_float else cast(x, compute)
    return wide, compute, dtype


def _finish(total: Traced, op: str, size: int, dtype: DType) -> Traced:
    if op == "mean":
        total = emit("div", [total, lift_to(float(size), total.dtype)], total.shape, total.dtype)
    return narrow(total, dtype) if dtype.is_float else cast(total, dtype)


@operation
def mesh_reduce(x: Any, axis: Axes, op: ReduceOp = "sum") -> Tensor:
    """Combine the tensors of a group of ranks, element by element; each of them has the result (an all-reduce).

    Parameters
    ----------
    x
        Of any shape, the same on all ranks of a group.
    axis
        The mesh axis, or axes, along which ranks are a group.
    op
        ``"sum"``, ``"mean"``, ``"max"``, ``"min"`` or ``"prod"``.

    Returns
    -------
    Tensor
        Of the shape and dtype of ``x``; a mean of integers is f32. Floats are combined in the numeric policy's
        accumulation dtype, at least f32, and rounded once.

    Raises
    ------
    MeshError
        Outside a function on a mesh, or if the mesh has no such axis.
    """
    attributes, size = _group("mesh_reduce", axis)
    wide, compute, dtype = _operand("mesh_reduce", x, op)
    attributes["reduction"] = _reduction("mesh_reduce", op)
    return _finish(emit("shard.all_reduce", [wide], wide.shape, compute, attributes), op, size, dtype)


@operation
def all_gather(x: Any, axis: Axes, dim: int = 0) -> Tensor:
    """Join the tensors of a group of ranks along a dimension, in the order of their places; each has the result.

    Raises
    ------
    MeshError
        Outside a function on a mesh, or if the mesh has no such axis.
    IndexingError
        If ``x`` has no such dimension.
    """
    attributes, size = _group("all_gather", axis)
    x = lift(x)
    dim = normalize_dim(dim, x.ndim, "all_gather")
    attributes["gather_axis"] = _index(dim)
    return emit("shard.all_gather", [x], _replace(x.shape, dim, x.shape[dim] * size), x.dtype, attributes)


@operation
def reduce_scatter(x: Any, axis: Axes, dim: int = 0, op: ReduceOp = "sum") -> Tensor:
    """Combine the tensors of a group of ranks, and give each its part of the result along a dimension.

    Raises
    ------
    MeshError
        Outside a function on a mesh, if the mesh has no such axis, or if the ranks don't divide the dimension.
    """
    attributes, size = _group("reduce_scatter", axis)
    wide, compute, dtype = _operand("reduce_scatter", x, op)
    dim = normalize_dim(dim, wide.ndim, "reduce_scatter")
    part = active_scope().divide(wide.shape[dim], size, f"reduce_scatter: dimension {dim}")
    attributes |= {"reduction": _reduction("reduce_scatter", op), "scatter_axis": _index(dim)}
    result = emit("shard.reduce_scatter", [wide], _replace(wide.shape, dim, part), compute, attributes)
    return _finish(result, op, size, dtype)


@operation
def all_to_all(x: Any, axis: Axes, split_dim: int, concat_dim: int) -> Tensor:
    """Give every rank of a group its part along ``split_dim``, and join what comes along ``concat_dim``.

    Raises
    ------
    MeshError
        Outside a function on a mesh, if the mesh has no such axis, or if the ranks don't divide ``split_dim``.
    """
    attributes, size = _group("all_to_all", axis)
    x = lift(x)
    split, concat = (normalize_dim(dim, x.ndim, "all_to_all") for dim in (split_dim, concat_dim))
    part = active_scope().divide(x.shape[split], size, f"all_to_all: dimension {split}")
    shape = _replace(x.shape, split, part)
    shape = _replace(shape, concat, shape[concat] * size)
    attributes |= {"split_axis": _index(split), "concat_axis": _index(concat)}
    return emit("shard.all_to_all", [x], shape, x.dtype, attributes)


@operation
def broadcast(x: Any, axis: Axes, root: int = 0) -> Tensor:
    """Give every rank of a group the tensor of the one at the place ``root``.

    Raises
    ------
    MeshError
        Outside a function on a mesh, if the mesh has no such axis, or if there is no such place.
    """
    attributes, size = _group("broadcast", axis)
    if not isinstance(root, int) or not 0 <= root < size:
        raise diagnostic("TSR1602", f"broadcast: expected a root in [0, {size}), got {root!r}")
    x = lift(x)
    shape = [_mesh("broadcast").axis_size(name) for name in axis_tuple(axis)]
    attributes["root"] = tuple(map(int, np.unravel_index(root, shape)))
    return emit("shard.broadcast", [x], x.shape, x.dtype, attributes)


@operation
def mesh_shift(x: Any, axis: str, offset: int = 1, periodic: bool = True) -> Tensor:
    """Hand the tensor on: the rank at place i gets that of place i - offset along the axis.

    Parameters
    ----------
    x
        Of any shape, the same on all ranks of a group.
    axis
        One mesh axis.
    offset
        How many places, also negative.
    periodic
        Whether the last place is followed by the first. If not, who gets nothing has zeros.

    Raises
    ------
    MeshError
        Outside a function on a mesh, or if the mesh has no such axis.
    """
    if not isinstance(axis, str):
        raise diagnostic("TSR1602", f"mesh_shift: expected one mesh axis, got {axis!r}")
    attributes, _ = _group("mesh_shift", axis)
    if isinstance(offset, builtins.bool) or not isinstance(offset, int):
        raise diagnostic("TSR1504", f"mesh_shift: expected offset to be an int, got {offset!r}")
    x = lift(x)
    flat = x if x.ndim else lift(reshape(x, 1))
    attributes |= {"shift_axis": _index(_mesh("mesh_shift").axis(axis)), "offset": offset}
    if periodic:
        attributes["rotate"] = True
    result = emit("shard.shift", [flat], flat.shape, flat.dtype, attributes)
    return result if x.ndim else reshape(result, ())


@operation
def mesh_slice(x: Any, axis: Axes, dim: int = 0) -> Tensor:
    """Take this rank's part of a tensor that the whole group has: what ``all_gather`` would join again.

    Raises
    ------
    MeshError
        Outside a function on a mesh, if the mesh has no such axis, or if the ranks don't divide the dimension.
    """
    attributes, size = _group("mesh_slice", axis)
    x = lift(x)
    dim = normalize_dim(dim, x.ndim, "mesh_slice")
    part = active_scope().divide(x.shape[dim], size, f"mesh_slice: dimension {dim}")
    attributes["slice_axis"] = _index(dim)
    return emit("shard.all_slice", [x], _replace(x.shape, dim, part), x.dtype, attributes)


@operation
def axis_index(axis: str) -> Tensor:
    """Find this rank's place along a mesh axis: int64 of rank 0.

    Raises
    ------
    MeshError
        Outside a function on a mesh, or if the mesh has no such axis.
    """
    mesh, scope = _mesh("axis_index"), active_scope()
    mesh.axis(axis)
    value = scope.builder.op("tessera.from_index", [scope.builder.axis_index(mesh, axis)], [((), dtypes.int64)])
    return Traced(value[0], (), dtypes.int64, scope)


@operation
def axis_size(axis: Axes) -> int:
    """The number of ranks along a mesh axis, or in a group over several.

    Raises
    ------
    MeshError
        Outside a function on a mesh, or if the mesh has no such axis.
    """
    return _mesh("axis_size").axis_size(axis)
