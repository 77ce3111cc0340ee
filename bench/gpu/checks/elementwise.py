# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operations and conversions at every dtype."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import tessera
import torch
from tessera import dtypes

from ..case import EVERY, FLOATS, INTEGERS, Check, Input, program

#: Sizes around a thread's 16 bytes, a warp, a block and several blocks; none at all; offsets beyond 16 bits.
LENGTHS = [0, 1, 7, 32, 1000, 4096, 70001]

UNARY: dict[str, tuple[Callable[..., Any], float, float]] = {
    # name: (reference, lowest, highest argument)
    "exp": (torch.exp, -8, 5),
    "exp2": (torch.exp2, -8, 5),
    "expm1": (torch.expm1, -8, 5),
    "log": (torch.log, 0.1, 9),
    "log1p": (torch.log1p, -0.5, 9),
    "log2": (torch.log2, 0.1, 9),
    "sqrt": (torch.sqrt, 0, 9),
    "rsqrt": (torch.rsqrt, 0.1, 9),
    "tanh": (torch.tanh, -4, 4),
    "erf": (torch.erf, -4, 4),
    "sin": (torch.sin, -4, 4),
    "cos": (torch.cos, -4, 4),
    "sigmoid": (torch.sigmoid, -8, 8),
    "floor": (torch.floor, -9, 9),
    "ceil": (torch.ceil, -9, 9),
    "round": (torch.round, -9, 9),
    "neg": (torch.neg, -9, 9),
    "abs": (torch.abs, -9, 9),
    "sign": (torch.sign, -9, 9),
    "square": (torch.square, -4, 4),
    "reciprocal": (torch.reciprocal, 0.1, 9),
}
#: Near their zeros, the error is in proportion to 1 and not to the result.
CROSSING = ("sin", "cos", "log", "log1p", "log2", "expm1")
BINARY: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "pow": torch.pow,
    "floor_divide": torch.floor_divide,
    "remainder": torch.remainder,
}
COMPARISONS = {
    "less": torch.lt,
    "less_equal": torch.le,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "equal": torch.eq,
    "not_equal": torch.ne,
}
BITS = {"bitwise_and": torch.bitwise_and, "bitwise_or": torch.bitwise_or, "bitwise_xor": torch.bitwise_xor}


def elementwise() -> Iterator[Check]:
    for name, dtype in itertools.product(UNARY, FLOATS):
        reference, low, high = UNARY[name]
        made = program(f"{name}-{dtype}", getattr(tessera, name), (1, dtype))
        for length in LENGTHS:
            x = Input((length,), dtype, low, high)
            yield Check(made, (x,), reference, scale=1.0 if name in CROSSING else None)
    for name, dtype in itertools.product(BINARY, FLOATS + INTEGERS):
        if name in ("div", "pow") and dtype in INTEGERS:
            continue
        made = program(f"{name}-{dtype}", getattr(tessera, name), (2, dtype), (2, dtype))
        low = 0.5 if name == "pow" else -8
        reference = BINARY[name]
        if name in ("floor_divide", "remainder") and dtype not in ("f64", *INTEGERS):
            reference = _in_f32(reference)  # a quotient next to an integer may round across it
        for shape in [(1, 1), (3, 333), (128, 256)]:
            x, y = Input(shape, dtype, low, 8 if name != "pow" else 3), Input(shape, dtype, 1, 3)
            yield Check(made, (x, y), reference, operations=4, scale=8.0 if name == "remainder" else None)
    for name, dtype in itertools.product(COMPARISONS, EVERY):
        made = program(f"{name}-{dtype}", getattr(tessera, name), (1, dtype), (1, dtype))
        yield Check(made, (Input((1001,), dtype, -2, 2),) * 2, COMPARISONS[name])
    for name, dtype in itertools.product(BITS, [*INTEGERS, "bool"]):
        made = program(f"{name}-{dtype}", getattr(tessera, name), (1, dtype), (1, dtype))
        yield Check(made, (Input((1001,), dtype, -100, 100),) * 2, BITS[name])
    for dtype in EVERY:
        made = program(f"where-{dtype}", tessera.where, (2, "bool"), (2, dtype), (2, dtype))
        x = Input((37, 70), dtype, -4, 4)
        yield Check(made, (Input((37, 70), "bool"), x, x), torch.where)
    for dtype in FLOATS:
        made = program(f"broadcast-{dtype}", broadcast, (2, dtype), (1, dtype), (1, dtype))
        for n, d in [(5, 33), (300, 1024)]:
            inputs = (Input((n, d), dtype), Input((d,), dtype), Input((n,), dtype))
            yield Check(made, inputs, broadcast, operations=2, scale=2.0)


def broadcast(x: Any, row: Any, column: Any) -> Any:
    return x * row + column[:, None]


def _in_f32(reference: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: reference(*(x.float() for x in args))


def casts() -> Iterator[Check]:
    for source in EVERY:
        made = program(f"cast-{source}", lambda x: tuple(x.cast(dtype) for dtype in dtypes.ALL), (1, source))
        # The CPU's conversions are tested against ml_dtypes, number by number.
        yield Check(made, (Input((1001,), source, -6, 6),), None)
