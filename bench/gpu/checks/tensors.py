# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Movement of elements, sorting, and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tessera
import torch

from ..case import EVERY, FLOATS, INTEGERS, Check, Input, program

SHAPES = [(1, 40), (16, 16), (37, 70), (130, 15), (1000, 513)]

MOVEMENT: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    # name: (ours, PyTorch's), of a matrix
    "transpose": (lambda x: x.T, lambda x: x.T),
    "slice": (lambda x: x[1:, ::2], lambda x: x[1:, ::2]),
    "flip": (lambda x: tessera.flip(x, 1), lambda x: x.flip(1)),
    "split": (lambda x: tuple(tessera.split(x, [5, -1], 1)), lambda x: (x[:, :5], x[:, 5:])),
    "concat": (lambda x: tessera.concat([x, x[:, 1:], x], 1), lambda x: torch.cat([x, x[:, 1:], x], 1)),
    "stack": (lambda x: tessera.stack([x, x], 1), lambda x: torch.stack([x, x], 1)),
    "repeat": (lambda x: tessera.repeat(x, 3, 0), lambda x: x.repeat_interleave(3, 0)),
    "tril": (tessera.tril, torch.tril),
    "expand": (
        lambda x: tessera.broadcast_to(x[:, None], (x.shape[0], 3, x.shape[1])),
        lambda x: x[:, None].expand(-1, 3, -1),
    ),
}


def movement() -> Iterator[Check]:
    for name, (ours, theirs) in MOVEMENT.items():
        for dtype in EVERY:
            made = program(f"{name}-{dtype}", ours, (2, dtype))
            for shape in SHAPES:
                yield Check(made, (Input(shape, dtype, -4, 4),), theirs)
    for dtype in EVERY:
        made = program(f"permute-{dtype}", lambda x: (x.permute(0, 2, 3, 1), x.permute(3, 2, 1, 0)), (4, dtype))
        x = Input((3, 20, 33, 18), dtype, -4, 4)
        yield Check(made, (x,), lambda x: (x.permute(0, 2, 3, 1), x.permute(3, 2, 1, 0)))
        for index in ("int32", "int64"):
            made = program(f"take-{dtype}-{index}", lambda x, i: tessera.take(x, i, dim=0), (2, dtype), (1, index))
            rows = Input((77,), index, -50, 49)
            yield Check(made, (Input((50, 129), dtype, -4, 4), rows), lambda x, i: x[i])
        made = program(f"gather-{dtype}", lambda x, i: tessera.gather(x, i, 1), (2, dtype), (2, "int64"))
        index_ = Input((50, 9), "int64", 0, 128)
        yield Check(made, (Input((50, 129), dtype, -4, 4), index_), lambda x, i: x.gather(1, i))
        made = program(f"scatter-{dtype}", tessera.scatter, (2, dtype), (1, "int64"), (2, dtype))
        rows = Input((5,), "int64", values=[7, 0, 49, 3, 20])
        yield Check(made, (Input((50, 129), dtype, -4, 4), rows, Input((5, 129), dtype)), _scatter)


def _scatter(x: torch.Tensor, rows: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return x.index_copy(0, rows, values)


def orders() -> Iterator[Check]:
    for dtype in ("f64", "f32", "f16", "bf16", "int8", "int32", "int64"):
        extremes = program(f"argmax-{dtype}", lambda x: (tessera.argmax(x, 1), tessera.argmin(x, 0)), (2, dtype))
        sort = program(f"sort-{dtype}", lambda x: tessera.sort(x, 1), (2, dtype))
        top = program(f"topk-{dtype}", lambda x: tessera.topk(x, 3, 1), (2, dtype))
        cumsum = program(f"cumsum-{dtype}", lambda x: (x.cumsum(1), x.cumsum(0)), (2, dtype))
        for length in (3, 16, 100, 1000, 4097):
            x = Input((5, length), dtype, -50, 50)
            yield Check(extremes, (x,), None)  # of equal numbers the first, which PyTorch leaves open
            yield Check(sort, (x,), lambda x: torch.sort(x, dim=1, stable=True))
            yield Check(top, (x,), _torch_topk)
            yield Check(cumsum, (x,), lambda x: (x.cumsum(1), x.cumsum(0)), terms=length, scale=50.0 * length)


def _torch_topk(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    values, indices = torch.sort(x, dim=1, descending=True, stable=True)
    return values[:, :3], indices[:, :3]


def products() -> Iterator[Check]:
    sizes = [(3, 4, 5), (1, 1, 1), (33, 65, 17), (128, 256, 128), (513, 1000, 257)]
    for dtype in [*FLOATS, *INTEGERS]:
        made = program(f"matmul-{dtype}", lambda a, b: a @ b, (2, dtype), (2, dtype))
        transposed = program(f"linear-{dtype}", lambda a, b: a @ b.T, (2, dtype), (2, dtype))
        for m, k, n in sizes:
            a, b, c = Input((m, k), dtype, -2, 2), Input((k, n), dtype, -2, 2), Input((n, k), dtype, -2, 2)
            yield Check(made, (a, b), _matmul, terms=k, scale=_magnitude)
            yield Check(transposed, (a, c), _linear, terms=k, scale=lambda x, w: _magnitude(x, w.T))
        batched = program(f"matmul-batched-{dtype}", lambda a, b: a @ b, (4, dtype), (3, dtype))
        a, b = Input((2, 3, 33, 40), dtype, -2, 2), Input((3, 40, 50), dtype, -2, 2)
        yield Check(batched, (a, b), _matmul, terms=40, scale=_magnitude)
        vector = program(f"matvec-{dtype}", lambda a, b: a @ b, (2, dtype), (1, dtype))
        yield Check(vector, (Input((70, 1000), dtype), Input((1000,), dtype)), _matmul, terms=1000, scale=_magnitude)


def _matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.dtype.is_floating_point:
        return a @ b
    return (a.double() @ b.double()).to(torch.int64)  # which PyTorch has for no integer on a GPU


def _linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return _matmul(x, weight.T)


def _magnitude(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a.double().abs() @ b.double().abs()
