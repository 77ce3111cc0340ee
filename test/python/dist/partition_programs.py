# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs for whole tensors, which the compiler divides over a mesh of 16 ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tessera
from mesh_programs import MESH, Array
from tessera import MeshTensor, ShardSpec, Tensor

whole = ShardSpec()
rows = ShardSpec("model")
columns = ShardSpec(None, "model")
batch = ShardSpec("data")


@dataclass
class Divided:
    """A function, how its arguments are divided, how its result is, what collectives it takes, and inputs for it."""

    function: Any
    specs: list[ShardSpec]
    result: ShardSpec
    collectives: list[tuple[str, list[str]]]
    inputs: list[Array]


def numbers(seed: int, *shape: int) -> Array:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.3).astype(np.float32)


@tessera.on_mesh(MESH, partition=True)
def norm(x: MeshTensor["B", "S", "D", ShardSpec("data", None, "model")], weight: Tensor["D"]) -> Tensor["B", "S", "D"]:
    rms = tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + 1e-6)
    return (x / rms) * weight


@tessera.on_mesh(MESH, partition=True)
def swiglu(
    x: MeshTensor["B", "S", "D", batch],
    W_gate: MeshTensor["D", "F", columns],
    W_up: MeshTensor["D", "F", columns],
    W_down: MeshTensor["F", "D", rows],
) -> Tensor["B", "S", "D"]:
    return (tessera.nn.swish(x @ W_gate) * (x @ W_up)) @ W_down


@tessera.on_mesh(MESH, partition=True)
def attention(
    x: MeshTensor["B", "S", 64, batch],
    wq: MeshTensor[64, 64, columns],
    wk: MeshTensor[64, 64, columns],
    wv: MeshTensor[64, 64, columns],
    wo: MeshTensor[64, 64, rows],
) -> Tensor["B", "S", 64]:
    b, s, _ = x.shape
    q, k, v = ((x @ w).reshape(b, s, 8, 8).transpose(1, 2) for w in (wq, wk, wv))
    heads = tessera.ops.flash_attention(q, k, v, is_causal=True)
    return x + heads.transpose(1, 2).reshape(b, s, 64) @ wo


@tessera.on_mesh(MESH, partition=True)
def loss(
    hidden: MeshTensor["B", "D", batch], vocabulary: MeshTensor["D", 48, columns], ids: MeshTensor["B", batch]
) -> Tensor[()]:
    logits = hidden @ vocabulary
    largest = tessera.max(logits, dim=-1, keepdim=True)
    total = tessera.log(tessera.sum(tessera.exp(logits - largest), dim=-1)) + largest[:, 0]
    mine = tessera.where(tessera.arange(48) == ids[:, None], logits, 0.0)
    return tessera.mean(total - tessera.sum(mine, dim=-1))


@tessera.on_mesh(MESH, partition=True)
def gathered(x: MeshTensor["N", "D", ShardSpec("data", "model")]) -> MeshTensor["N", "D", whole]:
    return tessera.sort(x, dim=1)[0]


def build() -> dict[str, Divided]:
    """Each program with its arguments."""
    x = numbers(0, 4, 3, 16)
    return {
        "norm": Divided(
            norm,
            [ShardSpec("data", None, "model"), whole],
            ShardSpec("data", None, "model"),
            [("all_reduce", ["model"])],
            [x, numbers(1, 16)],
        ),
        "swiglu": Divided(
            swiglu,
            [batch, columns, columns, rows],
            batch,
            [("all_reduce", ["model"])],
            [x, numbers(2, 16, 32), numbers(3, 16, 32), numbers(4, 32, 16)],
        ),
        "attention": Divided(
            attention,
            [batch, columns, columns, columns, rows],
            batch,
            [("all_reduce", ["model"])],
            [numbers(5, 4, 5, 64), *(numbers(6 + i, 64, 64) for i in range(4))],
        ),
        "loss": Divided(
            loss,
            [batch, columns, batch],
            whole,
            [("all_reduce", ["model"]), ("all_reduce", ["model"]), ("all_reduce", ["model"]), ("all_reduce", ["data"])],
            [numbers(10, 6, 16), numbers(11, 16, 48), np.array([3, 47, 0, 12, 31, 8], np.int64)],
        ),
        "gathered": Divided(
            gathered,
            [ShardSpec("data", "model")],
            whole,
            [("all_gather", ["model"]), ("all_gather", ["data"])],
            [numbers(12, 4, 8)],
        ),
    }
