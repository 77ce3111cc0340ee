# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reductions over all choices of dimensions, and kernels whose work is a row: norms and softmax."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import tessera
import torch
from tessera import dtypes, nn

from .. import races
from ..case import FLOATS, INTEGERS, MATRICES, Check, Input, Program, program

#: Lengths of rows with all ways to share one among threads: part of a warp, warps, a block, a cluster.
ROWS = [1, 2, 3, 31, 32, 33, 127, 256, 1000, 1024, 4096, 5001, 8192, 16384, 40000, 65536, 131072, 262144]

DIMS: list[tuple[int, ...]] = [(0,), (1,), (2,), (0, 2), (0, 1, 2)]
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
    "var": partial(torch.var, correction=0),
}


def reductions() -> Iterator[Check]:
    for name, dtype in itertools.product([*REDUCTIONS, "prod"], FLOATS):
        made = program(f"{name}-{dtype}", partial(_reduced, name), (3, dtype))
        for shape in [(3, 5, 7), (2, 300, 40), (257, 4, 129)]:
            terms = math.prod(shape)
            # Products that stay within the dtype's range.
            spread = 0.4 if name != "prod" else min(0.4, 4 / terms)
            x = Input(shape, dtype, 1 - spread, 1 + spread)
            operations, scale = (terms // 8, None) if name == "prod" else (8, 1.0 if name == "var" else None)
            yield Check(made, (x,), partial(_wanted, name), terms=terms, operations=operations, scale=scale)
    for dtype in [*INTEGERS, "bool"]:
        made = program(f"sum-{dtype}", lambda x: x.sum(1), (2, dtype))
        yield Check(made, (Input((33, 1001), dtype, -3, 3),), lambda x: x.sum(1))
        made = program(f"max-{dtype}", lambda x: x.max(0), (2, dtype))
        yield Check(made, (Input((33, 1001), dtype, -3, 3),), lambda x: x.max(0).values)
        made = program(f"any-all-{dtype}", lambda x: (x.any(0), x.all(1)), (2, dtype))
        yield Check(made, (Input((33, 1001), dtype, 0, 1),), lambda x: (x.bool().any(0), x.bool().all(1)))
    for dtype in ("f64", "f32", "bf16"):
        made = program(f"long-sum-{dtype}", lambda x: (x.sum(0), x.sum(1), x.sum()), (2, dtype))
        for shape in [(1, 1 << 20), (1 << 16, 33), (7, 1001), (4096, 4096), (5, 100003), (100003, 5), (300, 40000)]:
            terms = math.prod(shape)
            wanted = lambda x: (x.sum(0), x.sum(1), x.sum())  # noqa: E731
            yield Check(made, (Input(shape, dtype),), wanted, terms=terms, scale=float(terms) / 2)
        made = program(f"long-middle-{dtype}", lambda x: (x.max(1), x.mean((0, 2)), x.sum((1, 2))), (3, dtype))
        for shape in [(2, 5000, 70), (3, 40001, 8), (1, 300, 4)]:
            terms = math.prod(shape)
            wanted = lambda x: (x.amax(1), x.mean((0, 2)), x.sum((1, 2)))  # noqa: E731
            yield Check(made, (Input(shape, dtype),), wanted, terms=terms, scale=float(terms) / 2)


def _reduced(name: str, x: Any) -> Any:
    return tuple(getattr(x, name)(dims) for dims in DIMS)


def _wanted(name: str, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    if name != "prod":
        return tuple(REDUCTIONS[name](x, dim=dims) for dims in DIMS)
    return x.prod(0), x.prod(1), x.prod(2), x.prod(2).prod(0), x.prod()


def rms_norm(x: Any, weight: Any) -> Any:
    return x / tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + 1e-6) * weight


def add_rms_norm(x: Any, residual: Any, weight: Any) -> Any:
    total = x + residual
    return rms_norm(total, weight), total


def rms_norm_quantized(x: Any, weight: Any) -> Any:
    y = rms_norm(x, weight)
    scale = tessera.maximum(tessera.max(tessera.abs(y), dim=-1, keepdim=True), 1e-6) / 127
    return tessera.clip(tessera.round(y / scale), -127, 127).cast(tessera.int8), scale[:, 0]


def scaled_softmax(x: Any, mask: Any) -> Any:
    return nn.softmax(tessera.where(mask, x * 0.125, -1e30), dim=-1)


def _torch_rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * weight


def rows() -> Iterator[Check]:
    for dtype in FLOATS:
        norm = program(f"rms-norm-{dtype}", rms_norm, (2, dtype), (1, dtype))
        softmax = program(f"softmax-{dtype}", lambda x: nn.softmax(x, dim=-1), (2, dtype))
        layer = program(f"layer-norm-{dtype}", nn.layer_norm, (2, dtype), (1, dtype), (1, dtype))
        for length in ROWS:
            for count in (1, 3, 133) if length <= 16384 else (1, 5):
                x, weight = Input((count, length), dtype, -2, 2), Input((length,), dtype, 0.5, 1.5)
                yield Check(norm, (x, weight), _torch_rms_norm, terms=length, operations=4)
                yield Check(softmax, (x,), lambda x: torch.softmax(x, -1), terms=length, operations=4)
                yield Check(layer, (x, weight, weight), _torch_layer_norm, terms=length, operations=8, scale=4.0)
    for dtype in MATRICES:
        fused = program(f"add-rms-norm-{dtype}", add_rms_norm, (2, dtype), (2, dtype), (1, dtype))
        masked = program(f"masked-softmax-{dtype}", scaled_softmax, (2, dtype), (2, "bool"))
        log = program(f"log-softmax-{dtype}", lambda x: nn.log_softmax(x, dim=-1), (2, dtype))
        for length in (33, 1000, 4096, 20000):
            x, weight = Input((37, length), dtype, -2, 2), Input((length,), dtype, 0.5, 1.5)
            yield Check(fused, (x, x, weight), _torch_add_rms_norm, terms=length, operations=6, scale=4.0)
            yield Check(masked, (x, Input((37, length), "bool")), _torch_masked_softmax, terms=length, operations=6)
            yield Check(log, (x,), lambda x: torch.log_softmax(x, -1), terms=length, operations=6, scale=8.0)
        quantized = program(f"rms-norm-int8-{dtype}", rms_norm_quantized, (2, dtype), (1, dtype))
        inputs = (Input((64, 4096), dtype, -2, 2), Input((4096,), dtype, 0.5, 1.5))
        yield Check(quantized, inputs, _torch_quantized, terms=4096, operations=8)


def long_rows() -> Iterator[Check]:
    """Rows of known lengths that a cluster of blocks shares, in vectors and by elements."""
    for dtype, length in itertools.product(("f64", "f32", "bf16"), (65537, 100003, 131072, 262144)):
        options = {"dtype": dtypes.as_dtype(dtype), "dims": {"D": length}}
        norm = Program(f"long-rms-norm-{length}-{dtype}", races.rms_norm, options)
        softmax = Program(f"long-softmax-{length}-{dtype}", races.softmax, options)
        for count in (1, 5, 40):
            x, weight = Input((count, length), dtype, -2, 2), Input((length,), dtype, 0.5, 1.5)
            yield Check(norm, (x, weight), _torch_rms_norm, terms=length, operations=4)
            yield Check(softmax, (x,), lambda x: torch.softmax(x, -1), terms=length, operations=4)


def _torch_layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, 1e-5)


def _torch_add_rms_norm(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return _torch_rms_norm(x + residual, weight), x + residual


def _torch_masked_softmax(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.softmax(torch.where(mask, x * 0.125, -1e30), -1)


def _torch_quantized(x: torch.Tensor, weight: torch.Tensor) -> Any:
    """Only the scales: a value halfway between two integers may become either."""
    return None, _torch_rms_norm(x, weight).abs().amax(-1) / 127
