# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions of any rank: ``"..."`` without a known number of dimensions.

Such a function is compiled for one leading dimension, whose size is the product of those of a call. That is right if
the function treats leading dimensions alike, which is checked operation by operation while it is traced: once for one
leading dimension, and before that for two, where ``dim=1`` shows itself to be one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tessera.frontend import dims
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.expressions import Symbol
from tessera.frontend.source import diagnostic

Shape = tuple[SizeLike, ...]

#: Operations of one dimension, by the attribute that names it.
_ALONG = {
    **dict.fromkeys(("argmax", "argmin", "cumsum", "sort", "topk", "concat", "iota"), "dim"),
    **dict.fromkeys((f"reduce_{kind}" for kind in ("sum", "prod", "max", "min", "any", "all")), "dims"),
    **{"shard.all_gather": "gather_axis", "shard.reduce_scatter": "scatter_axis", "shard.all_slice": "slice_axis"},
}
#: Operations whose result lies as their operands do; see ElementwiseOps.td.
_ELEMENTWISE = frozenset(
    [
        *("neg", "abs", "sign", "not", "exp", "exp2", "expm1", "log", "log1p", "log2", "sqrt", "rsqrt", "tanh", "erf"),
        *("sin", "cos", "sigmoid", "floor", "ceil", "round", "add", "sub", "mul", "div", "floor_div", "rem", "pow"),
        *("maximum", "minimum", "and", "or", "xor", "shift_left", "shift_right", "compare", "select", "cast"),
        *("broadcast_to", "reshape"),
    ]
)
#: Collectives whose result lies as their operand does.
_ACROSS_RANKS = frozenset(["shard.all_reduce", "shard.broadcast", "shard.shift"])


class Leading:
    """The leading dimensions of a function whose ``"..."`` is open."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self.symbols = tuple(symbols)

    def leads(self, shape: Shape) -> bool:
        """Whether a shape begins with the leading dimensions.

        Raises
        ------
        TraceError
            If it has one of them elsewhere.
        """
        count = len(self.symbols)
        found = [position for position, size in enumerate(shape) if self._has(size)]
        if not found:
            return False
        if found != list(range(count)) or tuple(map(dims.bare_symbol, shape[:count])) != self.symbols:
            raise self.refusal("one that does not")
        return True

    def check(
        self,
        name: str,
        operands: Sequence[Shape],
        results: Sequence[Shape],
        attributes: Mapping[str, Any],
        indices: Sequence[SizeLike],
    ) -> None:
        """Refuse an operation that does not treat the leading dimensions alike."""
        count = len(self.symbols)
        leading = [self.leads(shape) for shape in operands]
        result = any([self.leads(shape) for shape in results])
        if not any(leading) and not result:
            if any(self._has(size) for size in indices):
                raise self.refusal(name)
            return
        if name in _ALONG:
            chosen = attributes[_ALONG[name]]
            along = [int(dim) for dim in (chosen if isinstance(chosen, (list, tuple)) else [chosen])]
            alike = min(along, default=count) >= count and all(leading)
        elif name == "transpose":
            alike = list(attributes["permutation"][:count]) == list(range(count))
        elif name == "slice":
            alike = result and all(isinstance(start, int) and start == 0 for start in indices[:count])
            alike = alike and list(attributes["strides"][:count]) == [1] * count
        elif name == "gather":
            table, positions = leading
            alike = result and (attributes["dim"] >= count if table and not positions else not table)
            alike = alike and (table or attributes["dim"] == 0)
        elif name == "matmul":
            # Rows of the left operand, or batches of either; a column of the right one would be the last dimension.
            alike = result and (leading[0] or len(operands[1]) >= count + 2)
            alike = alike and (not leading[1] or len(operands[1]) >= count + 2)
        else:
            alike = (name in _ELEMENTWISE or name in _ACROSS_RANKS) and result
        if not alike:
            raise self.refusal(name)

    def refusal(self, what: str) -> Exception:
        """The error for an operation of this name."""
        return diagnostic(
            "TSR1003",
            f'"...": expected operations that treat its dimensions alike, as their number is not known: got {what}',
            help='give it with dims={"...": 2}, or give example arguments with args=(...)',
        )

    def _has(self, size: SizeLike) -> bool:
        return isinstance(size, Size) and any(symbol in self.symbols for symbol in size.symbols())
