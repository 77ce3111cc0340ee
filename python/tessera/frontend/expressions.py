# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Symbols, and sizes as manifests write them: JSON expressions of symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tessera.frontend.source import diagnostic

#: A number, a symbol's name, or ``[operator, left, right]``.
Expression: TypeAlias = int | str | list[Any]


@dataclass(frozen=True)
class Symbol:
    """A named size with what is known of it. Two traced functions never share a symbol: ``scope`` tells them apart."""

    name: str
    min: int = 0
    max: int | None = None
    multiple_of: int = 1
    scope: int = 0

    @property
    def anonymous(self) -> bool:
        return self.name.startswith("?")


@dataclass(frozen=True)
class Dim:
    """What is known of a symbolic size: ``dims={"S": tessera.Dim(1, 8192, multiple_of=16)}``.

    Attributes
    ----------
    min, max
        The range, both ends included; no upper end for None.
    multiple_of
        A number that divides the size.
    """

    min: int = 0
    max: int | None = None
    multiple_of: int = 1

    def __post_init__(self) -> None:
        if self.min < 0 or self.multiple_of < 1 or (self.max is not None and self.max < self.min):
            raise diagnostic("TSR1006", f"range of a size: expected 0 <= min <= max and multiple_of >= 1, got {self!r}")


_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "max": max,
    "min": min,
}


def evaluate(expr: Expression, env: Mapping[str, int]) -> int:
    """The value of an expression for these values of the symbols."""
    if isinstance(expr, int):
        return expr
    if isinstance(expr, str):
        return env[expr]
    operator, left, right = expr
    return _OPERATORS[operator](evaluate(left, env), evaluate(right, env))


_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2, "%": 2}


def format_expression(expr: Expression) -> str:
    """A manifest expression as a user would write it in an annotation."""
    if not isinstance(expr, list):
        return str(expr)
    operator, left, right = expr
    if operator in ("max", "min"):
        return f"{operator}({format_expression(left)}, {format_expression(right)})"

    def operand(side: Expression, loosest: int) -> str:
        text = format_expression(side)
        return f"({text})" if isinstance(side, list) and _PRECEDENCE.get(side[0], 3) < loosest else text

    precedence = _PRECEDENCE[operator]
    return f"{operand(left, precedence)} {operator} {operand(right, precedence + 1)}"
