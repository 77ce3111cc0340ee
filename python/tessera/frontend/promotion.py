# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which dtype an operation gives, and in which one it computes. ``docs/promotion.md`` is written from these rules."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tessera import dtypes
from tessera.dtypes import DType, MathMode, as_dtype

#: A Python number takes part by its kind only: it never widens a tensor of the same kind.
Operand = DType | type[bool] | type[int] | type[float]

_RANK = {"bool": 0, "int": 1, "float": 2}
_WEAK_KIND: dict[type, str] = {bool: "bool", int: "int", float: "float"}
_WEAK_DTYPE = {"bool": dtypes.bool_, "int": dtypes.int64, "float": dtypes.f32}


def promote(left: DType, right: DType) -> DType:
    """The dtype in which tensors of two dtypes meet."""
    if left == right:
        return left
    if left.kind != right.kind:
        return left if _RANK[left.kind] > _RANK[right.kind] else right
    if left.itemsize != right.itemsize:
        return left if left.itemsize > right.itemsize else right
    # bf16 with f16, fp8_e4m3 with fp8_e5m2: neither holds the other; the next float that holds both.
    return dtypes.f32 if left.itemsize == 2 else dtypes.bf16


def result_dtype(*operands: Operand) -> DType:
    """The dtype in which any number of tensors (by dtype) and Python numbers (by type) meet."""
    strong = [operand for operand in operands if isinstance(operand, DType)]
    weak = [_WEAK_KIND[operand] for operand in operands if not isinstance(operand, DType)]
    kind = max(weak, key=_RANK.__getitem__, default="bool")
    if not strong:
        return _WEAK_DTYPE[kind]
    dtype = functools.reduce(promote, strong)
    return _WEAK_DTYPE[kind] if _RANK[kind] > _RANK[dtype.kind] else dtype


def float_dtype(dtype: DType) -> DType:
    """The dtype of a float operation, such as ``sqrt`` or ``/``, on this dtype."""
    return dtype if dtype.is_float else dtypes.f32


def sum_dtype(dtype: DType) -> DType:
    """The dtype of ``sum``, ``prod`` and ``cumsum``: integers and bools add up in int64, as in NumPy."""
    return dtype if dtype.is_float else dtypes.int64


def matmul_dtype(dtype: DType) -> DType:
    """The dtype of a matrix product: that of its operands, except that small integers give their accumulator."""
    return dtypes.int32 if dtype.is_int and dtype.itemsize < 4 else dtype


@dataclass(frozen=True)
class Policy:
    """How numbers are computed.

    Attributes
    ----------
    compute
        The dtype in which floats narrower than it are computed: f32 unless set. ``tessera.tf32`` lets matrix products
        of f32 round their operands to tf32.
    accumulate
        The dtype in which reductions of floats narrower than it add up: that of ``compute`` unless set.
    """

    compute: DType | MathMode = dtypes.f32
    accumulate: DType | None = None

    def elementwise(self, dtype: DType) -> DType:
        """The dtype in which an elementwise operation on ``dtype`` is computed."""
        compute = dtypes.f32 if isinstance(self.compute, MathMode) else self.compute
        return _at_least(dtype, compute)

    def reduction(self, dtype: DType) -> DType:
        """The dtype in which a reduction of ``dtype`` adds up."""
        return _at_least(dtype, self.accumulate) if self.accumulate else self.elementwise(dtype)


def _at_least(dtype: DType, compute: DType) -> DType:
    return compute if dtype.is_float and dtype.itemsize < compute.itemsize else dtype


class _State(threading.local):
    def __init__(self) -> None:
        self.policy = Policy()


_state = _State()


def current_policy() -> Policy:
    return _state.policy


@contextlib.contextmanager
def precision(compute: DType | MathMode | str | None = None, accumulate: DType | str | None = None) -> Iterator[Policy]:
    """Set the numeric policy for the operations traced inside the ``with`` block.

    Parameters
    ----------
    compute
        The dtype in which narrower floats are computed, or ``tessera.tf32``.
    accumulate
        The dtype in which reductions of narrower floats add up.
    """
    before = _state.policy
    policy = before
    if compute is not None:
        policy = replace(policy, compute=compute if isinstance(compute, MathMode) else as_dtype(compute))
    if accumulate is not None:
        policy = replace(policy, accumulate=as_dtype(accumulate))
    _state.policy = policy
    try:
        yield policy
    finally:
        _state.policy = before


@contextlib.contextmanager
def use_policy(policy: Policy | None) -> Iterator[None]:
    """Trace under exactly this policy; None leaves the one in force."""
    before = _state.policy
    _state.policy = before if policy is None else policy
    try:
        yield
    finally:
        _state.policy = before


def render_docs() -> str:
    """Write the tables of ``docs/promotion.md``."""
    names = [dtype.name for dtype in dtypes.ALL]
    lines = ["| | " + " | ".join(names) + " | `True` | `1` | `1.0` |", "|---|" + "---|" * (len(names) + 3)]
    for left in dtypes.ALL:
        row = [promote(left, right).name for right in dtypes.ALL]
        row += [result_dtype(left, weak).name for weak in (bool, int, float)]
        lines.append(f"| **{left.name}** | " + " | ".join(row) + " |")
    lines += ["", "| | `/`, `sqrt`, `mean`, ... | `sum`, `prod`, `cumsum` | `@` |", "|---|---|---|---|"]
    for dtype in dtypes.ALL:
        matmul = "refused" if dtype.is_bool else matmul_dtype(dtype).name
        lines.append(f"| **{dtype.name}** | {float_dtype(dtype).name} | {sum_dtype(dtype).name} | {matmul} |")
    return "\n".join(lines)
