# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Matrix products."""

from __future__ import annotations

from typing import Any

from tessera import dtypes
from tessera.dtypes import MathMode, as_dtype
from tessera.frontend.promotion import current_policy, matmul_dtype, result_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import (
    Traced,
    active_scope,
    broadcast_shapes,
    cast,
    emit,
    format_shape,
    lift,
    operand_type,
)
from tessera.ops._dispatch import operation
from tessera.ops.shape import reshape


@operation
def matmul(a: Any, b: Any, *, dtype: Any = None) -> Tensor:
    """Multiply matrices, ``a @ b``, by NumPy's rules.

    Parameters
    ----------
    a, b
        ``[..., M, K]`` and ``[..., K, N]``; leading dimensions broadcast. A tensor of rank 1 is a row on the left and a
        column on the right, and its dimension is missing from the result.
    dtype
        The result's dtype, if not that of the operands. Products accumulate in f32 (f64 for f64, int32 for integers,
        int64 for int64) and are rounded once; int8 and int16 give int32.

    Raises
    ------
    ShapeError
        If the inner sizes differ.
    """
    left, right = lift(a), lift(b)
    operands = result_dtype(operand_type(left), operand_type(right))
    if operands.is_bool:
        raise diagnostic("TSR1301", "matmul: expected numbers, got bool", help="cast first: x.cast(tessera.int32)")
    for side, x in (("left", left), ("right", right)):
        if x.ndim == 0:
            raise diagnostic(
                "TSR1107",
                f"matmul: expected the {side} operand to have rank 1 or more, got rank 0",
                help="use * instead",
            )
    result = _matmul(
        _row(left, operands), _column(right, operands), matmul_dtype(operands) if dtype is None else as_dtype(dtype)
    )
    result.pinned = dtype is not None or any(x.pinned and x.dtype == result.dtype for x in (left, right))
    shape = (*result.shape[:-2], *result.shape[-2:][left.ndim == 1 :])
    shape = shape[:-1] if right.ndim == 1 else shape
    return result if len(shape) == result.ndim else reshape(result, shape)


def _row(x: Traced, dtype: dtypes.DType) -> Traced:
    x = cast(x, dtype)
    return lift(reshape(x, 1, *x.shape)) if x.ndim == 1 else x


def _column(x: Traced, dtype: dtypes.DType) -> Traced:
    x = cast(x, dtype)
    return lift(reshape(x, *x.shape, 1)) if x.ndim == 1 else x


def _matmul(a: Traced, b: Traced, dtype: dtypes.DType) -> Traced:
    where = f"matmul of {format_shape(a.shape)} and {format_shape(b.shape)}"
    policy = current_policy()
    if policy.accumulate == dtypes.f64 and a.dtype.is_float:
        a, b = cast(a, dtypes.f64), cast(b, dtypes.f64)
    active_scope().require_equal(a.shape[-1], b.shape[-2], f"{where}: inner sizes")
    batch = broadcast_shapes(f"{where}: batch", a.shape[:-2], b.shape[:-2])
    accumulator = dtypes.f32 if a.dtype.is_float and a.dtype.itemsize < 8 else a.dtype
    if a.dtype.is_int and a.dtype.itemsize < 4:
        accumulator = dtypes.int32
    given = dtype if dtype in (a.dtype, accumulator) else accumulator
    attributes: dict[str, Any] = {}
    if isinstance(policy.compute, MathMode) and a.dtype == dtypes.f32:
        attributes["tessera.compute"] = policy.compute.name
    result = emit("matmul", [a, b], (*batch, a.shape[-2], b.shape[-1]), given, attributes)
    return cast(result, dtype)


@operation
def dot(a: Any, b: Any) -> Tensor:
    """The product of two vectors, or of two matrices."""
    return matmul(a, b)


@operation
def outer(a: Any, b: Any) -> Tensor:
    """All products of the elements of two vectors, ``[M, N]``."""
    left, right = lift(a), lift(b)
    return reshape(left, -1, 1) * reshape(right, 1, -1)
