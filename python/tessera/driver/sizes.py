# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a host program computes from its sizes, read back as expressions of the entry's symbols."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tessera._mlir import ir
from tessera.frontend.dims import SizeLike, floordiv, maximum, minimum, remainder, size_of
from tessera.frontend.expressions import Symbol


def _masked(left: SizeLike, right: SizeLike) -> SizeLike | None:
    """``left & right`` where that rounds down to a multiple of a power of two."""
    if not isinstance(right, int) or right >= 0 or right & -right != -right:
        return None
    return left - remainder(left, -right)


# Sizes are not negative: rounding down, toward zero and unsigned are one.
_BINARY: dict[str, Callable[[Any, Any], SizeLike | None]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.andi": _masked,
    **dict.fromkeys(("arith.floordivsi", "arith.divsi", "arith.divui"), floordiv),
    **dict.fromkeys(("arith.ceildivsi", "arith.ceildivui"), lambda left, right: floordiv(left + right - 1, right)),
    **dict.fromkeys(("arith.remsi", "arith.remui"), remainder),
    **dict.fromkeys(("arith.maxsi", "arith.maxui"), maximum),
    **dict.fromkeys(("arith.minsi", "arith.minui"), minimum),
}
_CASTS = ("arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui")


class HostSizes:
    """The sizes of one entry's host program.

    Parameters
    ----------
    function
        The entry's function at the stage ``rt``: its arguments of type index are the symbols.
    """

    def __init__(self, function: ir.OpView) -> None:
        found = function.attributes
        names = (
            [ir.StringAttr(n).value for n in ir.ArrayAttr(found["tessera.symbols"])]
            if "tessera.symbols" in found
            else []
        )
        body = function.regions[0].blocks[0]
        symbols = [argument for argument in body.arguments if isinstance(argument.type, ir.IndexType)]
        self._known: dict[Any, SizeLike | None] = {
            argument: size_of(Symbol(name)) for argument, name in zip(symbols, names, strict=True)
        }

    def of(self, value: Any) -> SizeLike | None:
        """The size that a value is; None where it depends on data, or on how often a loop has run."""
        if value not in self._known:
            self._known[value] = None if isinstance(value.owner, ir.Block) else self._compute(value.owner)
        return self._known[value]

    def runs(self, op: ir.Operation) -> SizeLike | None:
        """How often one call runs an operation; None where that depends on data."""
        times: SizeLike = 1
        parent = op.parent
        while parent is not None and parent.name != "func.func":
            trips = self._trips(parent) if parent.name == "scf.for" else None
            if trips is None:
                return None
            times, parent = times * trips, parent.parent
        return times

    def _trips(self, loop: ir.Operation) -> SizeLike | None:
        low, high, step = map(self.of, list(loop.operands)[:3])
        if low is None or high is None or step is None:
            return None
        return maximum(floordiv(high - low + step - 1, step), 0)

    def _compute(self, op: ir.Operation) -> SizeLike | None:
        if op.name == "arith.constant":
            return int(ir.IntegerAttr(op.attributes["value"]).value)
        if op.name in _CASTS:
            return self.of(op.operands[0])
        if op.name not in _BINARY:
            return None
        left, right = map(self.of, op.operands)
        return None if left is None or right is None else _BINARY[op.name](left, right)
