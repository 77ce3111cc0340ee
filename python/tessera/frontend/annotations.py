# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Shape annotations: what ``Tensor["B", "D//2", tessera.bf16]`` means, before any size is known."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Union

from tessera.dtypes import DType, find_dtype
from tessera.frontend import dims
from tessera.frontend.dims import SizeLike
from tessera.frontend.expressions import Expression, format_expression
from tessera.frontend.mesh import ShardSpec
from tessera.frontend.source import diagnostic

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}


@dataclass(frozen=True)
class DimSpec:
    """One dimension of an annotation: an int, a symbol, ``"?"``, or an expression of symbols."""

    text: str
    expression: Expression = field(compare=False)  # a list, which has no hash; the text says the same

    @property
    def anonymous(self) -> bool:
        return self.text == "?"

    @property
    def symbol(self) -> str | None:
        """The name, if the dimension is a bare symbol."""
        return self.expression if isinstance(self.expression, str) and not self.anonymous else None

    def names(self) -> Iterator[str]:
        """All symbols in it."""
        stack = [self.expression]
        while stack:
            item = stack.pop()
            if isinstance(item, list):
                stack += item[:0:-1]
            elif isinstance(item, str) and item != "?":
                yield item

    def size(self, env: Mapping[str, SizeLike]) -> SizeLike:
        """The size, for these sizes of the symbols."""
        return _evaluate(self.expression, env)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class TensorSpec:
    """What ``Tensor[...]`` evaluates to.

    Attributes
    ----------
    dims
        The dimensions after ``"..."``, or all.
    leading
        Whether any number of dimensions may come first (``"..."``).
    dtype
        The dtype, if the annotation gives one.
    donated
        Whether the call may change the argument: ``Annotated[Tensor[...], tessera.donated]``.
    sharding
        How the tensor is divided over the mesh: ``MeshTensor[..., ShardSpec(...)]``. The dimensions are then those of
        the whole tensor.
    """

    dims: tuple[DimSpec, ...]
    leading: bool = False
    dtype: DType | None = None
    donated: bool = False
    sharding: ShardSpec | None = None

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007 - evaluated, with a value

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007

    def __str__(self) -> str:
        shown = (["..."] if self.leading else []) + [str(dim) for dim in self.dims]
        return f"[{', '.join(shown)}]"

    def __repr__(self) -> str:
        items = (["'...'"] if self.leading else []) + [d.text if d.text.isdigit() else repr(d.text) for d in self.dims]
        return f"Tensor[{', '.join(items + ([repr(self.dtype)] if self.dtype else [])) or '()'}]"

    def __call__(self, *args: Any) -> Any:  # typing's checks ask for a callable
        raise TypeError(f"{self!r} is an annotation; it cannot be called")


class Donated:
    """The type of ``tessera.donated``."""

    def __repr__(self) -> str:
        return "tessera.donated"


#: Marks an argument that a call changes in place: ``Annotated[Tensor["N", "D"], tessera.donated]``. The function
#: returns its updated value (see ``tessera.scatter``), which is the same array; a program that would need a copy of it
#: is refused.
donated = Donated()


def parse_shard(items: Any) -> TensorSpec:
    """Read the subscript of ``MeshTensor[...]``, in which a ``ShardSpec`` may come last.

    Raises
    ------
    SignatureError
        If an item is no size, no dtype and no ``ShardSpec``.
    """
    items = items if isinstance(items, tuple) else (items,)
    if not items or not isinstance(items[-1], ShardSpec):
        return parse(items)
    spec = replace(parse(items[:-1]), sharding=items[-1])
    if spec.leading:
        raise _malformed(items[-1], 'named dimensions beside a ShardSpec, and no "..."')
    return spec


def parse(items: Any) -> TensorSpec:
    """Read the subscript of ``Tensor[...]``.

    Raises
    ------
    SignatureError
        If an item is no size and no dtype.
    """
    items = items if isinstance(items, tuple) else (items,)
    dtype = None
    if items and not isinstance(items[-1], (str, int)):
        dtype = find_dtype(items[-1]) if items[-1] is not Ellipsis else None
        items = items[:-1] if dtype is not None else items
    leading = bool(items) and items[0] in ("...", Ellipsis)
    return TensorSpec(tuple(_parse_dim(item) for item in items[leading:]), leading, dtype)


def _parse_dim(item: Any) -> DimSpec:
    if isinstance(item, int) and not isinstance(item, bool):
        if item < 0:
            raise _malformed(item, "a size that is not negative")
        return DimSpec(str(item), item)
    if item in ("...", Ellipsis):
        raise _malformed("...", 'any leading dimensions to come first and once, as in Tensor["...", "D"]')
    if not isinstance(item, str):
        raise _malformed(item, "a string, an int, or a dtype as the last item")
    if item.strip() == "?":
        return DimSpec("?", "?")
    try:
        tree = ast.parse(item.strip(), mode="eval").body
    except SyntaxError:
        raise _malformed(item, 'a symbol, or an expression of symbols such as "D//2"') from None
    expression = _parse_expression(tree, item)
    return DimSpec(format_expression(expression), expression)


def _parse_expression(node: ast.expr, text: str) -> Expression:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return [_OPERATORS[type(node.op)], _parse_expression(node.left, text), _parse_expression(node.right, text)]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("min", "max")
        and len(node.args) == 2
        and not node.keywords
    ):
        return [node.func.id, *(_parse_expression(arg, text) for arg in node.args)]
    raise _malformed(text, "symbols and ints joined by + - * // % min max")


def _evaluate(expression: Expression, env: Mapping[str, SizeLike]) -> SizeLike:
    if isinstance(expression, str):
        return env[expression]
    if isinstance(expression, int):
        return expression
    operator, left, right = expression
    return dims.apply(operator, _evaluate(left, env), _evaluate(right, env))


def _malformed(item: Any, expected: str) -> Exception:
    return diagnostic(
        "TSR1001",
        f"Tensor annotation: expected {expected}, got {item!r}",
        help='write Tensor["B", 64, "D//2", tessera.bf16]: symbols, ints, "?", expressions, and a dtype last',
    )
