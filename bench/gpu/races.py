# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is timed: bandwidth-bound computations in bf16, as Tessera and as PyTorch write them."""

from __future__ import annotations

import tessera
import torch
from tessera import Tensor, dtypes

from .case import Check, Input, Program, Race

ROWS = [(4096, 4096), (16384, 4096), (65536, 1024), (8192, 16384), (1024, 131072), (512, 262144)]


@tessera.function
def rms_norm(x: Tensor["N", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["N", "D"]:
    rms = tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight


@tessera.function
def softmax(x: Tensor["N", "D"]) -> Tensor["N", "D"]:
    e = tessera.exp(x - tessera.max(x, dim=-1, keepdim=True))
    return e / tessera.sum(e, dim=-1, keepdim=True)


@tessera.function
def gated(x: Tensor["N", "D"], y: Tensor["N", "D"]) -> Tensor["N", "D"]:
    return tessera.nn.swish(x) * y


@tessera.function
def chain(x: Tensor["N", "D"], y: Tensor["N", "D"]) -> Tensor["N", "D"]:
    return tessera.maximum(tessera.exp(x * 0.5 + y), x) * y - 0.25


@tessera.function
def rope(x: Tensor["B", "S", "H", "D"]) -> Tensor["B", "S", "H", "D"]:
    return tessera.nn.rotary_embedding(x)


@tessera.function
def sum_all(x: Tensor["N", "D"]) -> Tensor[()]:
    return tessera.sum(x)


@tessera.function
def sum_rows(x: Tensor["N", "D"]) -> Tensor["N"]:
    return tessera.sum(x, dim=1)


@tessera.function
def sum_columns(x: Tensor["N", "D"]) -> Tensor["D"]:
    return tessera.sum(x, dim=0)


@tessera.function
def turn(x: Tensor["N", "D"]) -> Tensor["D", "N"]:
    return tessera.transpose(x, (1, 0))


@tessera.function
def double(x: Tensor["N"]) -> Tensor["N"]:
    return x + x


#: Sums of few long rows, of all, and of columns.
SUMS = [
    ("sum_all", sum_all, torch.sum, (16, 1 << 23)),
    ("sum_rows", sum_rows, lambda x: torch.sum(x, 1), (16, 1 << 23)),
    ("sum_rows", sum_rows, lambda x: torch.sum(x, 1), (16384, 4096)),
    ("sum_columns", sum_columns, lambda x: torch.sum(x, 0), (65536, 1024)),
    ("sum_columns", sum_columns, lambda x: torch.sum(x, 0), (1 << 20, 64)),
]

#: One kernel that does next to nothing.
TINY = Program("tiny", double)


def torch_rms_norm(x, weight):
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    return (y * torch.rsqrt((y * y).mean(dim=-1, keepdim=True) + 1e-6) * weight).to(x.dtype)


def torch_gated(x, y):
    return torch.nn.functional.silu(x) * y


def torch_chain(x, y):
    return torch.maximum(torch.exp(x * 0.5 + y), x) * y - 0.25


def torch_rope(x):
    wide = torch.promote_types(x.dtype, torch.float32)
    half = x.shape[-1] // 2
    rates = 10000.0 ** (-torch.arange(half, device=x.device, dtype=wide) / half)
    angles = torch.arange(x.shape[1], device=x.device, dtype=wide)[:, None, None] * rates
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., :half].to(wide), x[..., half:].to(wide)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


def make_races() -> list[Race]:
    """Every race."""

    def bf16(*shape: int) -> Input:
        return Input(shape, "bf16", -2, 2)

    races = []
    for rows, columns in ROWS:
        x, weight = bf16(rows, columns), Input((columns,), "bf16", 0.5, 1.5)
        program = Program(f"rms_norm-{columns}", rms_norm, {"dtype": tessera.bf16, "dims": {"D": columns}})
        peers = {
            "inductor": torch_rms_norm,
            "eager": lambda x, weight: torch.nn.functional.rms_norm(x, weight.shape, weight, 1e-6),
        }
        check = Check(program, (x, weight), torch_rms_norm, terms=columns, operations=4)
        races.append(Race(check, peers, 2 * x.nbytes + weight.nbytes, (0.92, 1.0)))
    for rows, columns in ROWS:
        x = bf16(rows, columns)
        program = Program(f"softmax-{columns}", softmax, {"dtype": tessera.bf16, "dims": {"D": columns}})
        peers = {"inductor": lambda x: torch.softmax(x, -1), "eager": lambda x: torch.softmax(x, -1)}
        check = Check(program, (x,), lambda x: torch.softmax(x, -1), terms=columns, operations=4)
        races.append(Race(check, peers, 2 * x.nbytes, (0.92, None)))
    for name, ours, theirs in (("swish_mul", gated, torch_gated), ("chain", chain, torch_chain)):
        x = bf16(16384, 4096)
        check = Check(Program(name, ours, {"dtype": tessera.bf16}), (x, x), theirs, operations=6, scale=1.0)
        races.append(Race(check, {"inductor": theirs, "eager": theirs}, 3 * x.nbytes, (0.95, None)))
    for name, ours, theirs, shape in SUMS:
        x = bf16(*shape)
        check = Check(Program(name, ours, {"dtype": tessera.bf16}), (x,), theirs, terms=x.nbytes // 2, scale=2e4)
        races.append(Race(check, {"inductor": theirs, "eager": theirs}, x.nbytes, (0.9, 1.0)))
    for dtype, shape in [("bf16", (8192, 16384)), ("f32", (8192, 8192)), ("int8", (16384, 16384))]:
        x = Input(shape, dtype, -2, 2)
        program = Program(f"turn-{dtype}", turn, {"dtype": dtypes.as_dtype(dtype)})
        check = Check(program, (x,), torch.t)
        peers = {"inductor": lambda x: x.t().contiguous(), "eager": lambda x: x.t().contiguous()}
        races.append(Race(check, peers, 2 * x.nbytes, (0.9, None)))
    x = bf16(4, 4096, 32, 128)
    program = Program("rope", rope, {"dtype": tessera.bf16, "dims": {"H": 32, "D": 128}})
    check = Check(program, (x,), torch_rope, operations=4, scale=4.0)
    races.append(Race(check, {"inductor": torch_rope, "eager": torch_rope}, 2 * x.nbytes, (0.95, None)))
    return races
