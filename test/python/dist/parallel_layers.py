# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers that 16 ranks divide, and what they give in one process: NumPy in f64, with the same whole weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import tessera
from mesh_programs import MESH
from tessera import MeshTensor, ShardSpec, nn
from tessera.nn import parallel

Array = np.ndarray[Any, Any]
WHOLE = ShardSpec()
BATCH = ShardSpec("data")
FEATURES = ShardSpec("data", None, "model")
TOKENS = ShardSpec("data", "model")
BOTH: Any = ("model", "pipeline")


@dataclass
class Case:
    """A function on the mesh, whose annotations say how ranks divide the whole ``inputs`` and the whole result."""

    function: Any
    inputs: list[Array]
    expected: Array


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tokens(seed: int, *shape: int, below: int) -> Array:
    return np.random.default_rng(seed).integers(0, below, shape)


def case(function: Any, x: Array, expected: Array, cut: ShardSpec = BATCH, result: ShardSpec = BATCH) -> Case:
    """A function of one tensor ``[B, S, D]``, of which D is known."""

    def f(x: Any) -> Any:
        return function(x)

    dtype = tessera.dtypes.as_dtype(x.dtype)
    f.__annotations__ = {
        "x": MeshTensor["B", "S", x.shape[-1], dtype, cut],
        "return": MeshTensor["B", "S", "?", dtype, result],
    }
    return Case(tessera.on_mesh(MESH)(f), [x], expected)


def weights(module: nn.Module) -> dict[str, Array]:
    return {name: array.astype(np.float64) for name, array in module.state_dict().items()}


# -- what layers mean --------------------------------------------------------------------------------------------------


def linear(w: dict[str, Array], x: Array, name: str = "") -> Array:
    bias = w.get(f"{name}bias")
    return x @ w[f"{name}weight"] + (0 if bias is None else bias)


def norm(x: Array, weight: Array | float = 1.0, eps: float = 1e-6) -> Array:
    wide = x.astype(np.float64)
    return wide / np.sqrt((wide**2).mean(-1, keepdims=True) + eps) * weight


def swiglu(w: dict[str, Array], x: Array, name: str = "") -> Array:
    gate = linear(w, x, f"{name}gate_proj.")
    return linear(w, gate / (1 + np.exp(-gate)) * linear(w, x, f"{name}up_proj."), f"{name}down_proj.")


def rotated(x: Array, base: float) -> Array:
    """``[B, S, H, D]`` turned by their positions."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[1])[:, None] * base ** (-np.arange(half) / half)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)[:, None]
    return np.concatenate([turned.real, turned.imag], -1)


def attention(layer: Any, w: dict[str, Array], x: Array, name: str = "") -> Array:
    q, k, v = (linear(w, x, f"{name}{part}_proj.").reshape(*x.shape[:2], -1, layer.head_dim) for part in "qkv")
    if layer.rope_base is not None:
        q, k = rotated(q, layer.rope_base), rotated(k, layer.rope_base)
    k, v = (np.repeat(y, layer.num_heads // layer.num_kv_heads, axis=2) for y in (k, v))
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(layer.head_dim)
    if layer.is_causal:
        scores = np.where(np.tri(x.shape[1], dtype=bool), scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    attended = np.einsum("bhqk,bkhd->bqhd", shares / shares.sum(-1, keepdims=True), v)
    return linear(w, attended.reshape(*x.shape[:2], -1), f"{name}o_proj.")


# -- cases -------------------------------------------------------------------------------------------------------------


def build_cases() -> dict[str, Case]:
    tessera.manual_seed(0)
    return norms() | linears() | attentions() | vocabularies() | sequences() | pipelines()


def norms() -> dict[str, Case]:
    x, weight = numbers(0, 2, 3, 16), numbers(1, 16)
    narrow = x.astype(ml_dtypes.bfloat16)

    def on(x: Any, sharding: ShardSpec, axis: Any = "model") -> Any:
        own = nn.Parameter(weight, sharding=sharding)
        # One rounding to x's dtype, of what is right in f64.
        expected, cut = norm(x, weight).astype(x.dtype), ShardSpec("data", None, axis)
        return case(lambda y: nn.distributed_rms_norm(y, own, axis), x, expected, cut, cut)

    return {
        "norm": on(x, ShardSpec("model")),
        "norm_whole_weight": on(x, WHOLE),
        "norm_two_axes": on(x, WHOLE, BOTH),
        "norm_bf16": on(narrow, ShardSpec("model")),
        "norm_without_weight": case(
            lambda y: nn.distributed_rms_norm(y, None, eps=0.5), x, norm(x, eps=0.5), FEATURES, FEATURES
        ),
    }


def linears() -> dict[str, Case]:
    x, wide = numbers(2, 4, 3, 12), numbers(3, 4, 3, 16)
    columns, gathered = (parallel.ColumnParallelLinear(12, 16, gather_output=gather) for gather in (False, True))
    rows, from_whole = (parallel.RowParallelLinear(16, 12, input_is_parallel=given) for given in (True, False))
    mlp, two_axes = parallel.ParallelSwiGLU(12, 32), parallel.ParallelSwiGLU(12, 32, axis=BOTH)
    narrow = wide.astype(ml_dtypes.bfloat16)
    narrow_rows = parallel.RowParallelLinear(16, 12, bias=False, dtype=tessera.bf16)
    rounded_once = linear(weights(narrow_rows), narrow.astype(np.float64)).astype(narrow.dtype)
    return {
        "columns": case(columns, x, linear(weights(columns), x), result=FEATURES),
        "columns_gathered": case(gathered, x, linear(weights(gathered), x)),
        "rows": case(rows, wide, linear(weights(rows), wide), FEATURES),
        "rows_bf16": case(narrow_rows, narrow, rounded_once, FEATURES),
        "rows_from_whole": case(from_whole, wide, linear(weights(from_whole), wide)),
        "swiglu": case(mlp, x, swiglu(weights(mlp), x)),
        "swiglu_two_axes": case(two_axes, x, swiglu(weights(two_axes), x)),
    }


def attentions() -> dict[str, Case]:
    x, cases = numbers(4, 2, 5, 16), {}
    options: dict[str, dict[str, Any]] = {
        "attention": {},
        "attention_grouped": dict(num_kv_heads=4, bias=True),
        "attention_repeated": dict(num_kv_heads=2, is_causal=False),
        "attention_one_key_head": dict(num_kv_heads=1, axis=BOTH, rope_base=None),
    }
    for name, option in options.items():
        layer = parallel.ParallelAttention(16, 8, head_dim=8, **option)
        cases[name] = case(layer, x, attention(layer, weights(layer), x))
    return cases


def vocabularies() -> dict[str, Case]:
    ids, cases = tokens(5, 2, 6, below=32), {}
    for name, axis in (("", "model"), ("_two_axes", BOTH)):
        table = parallel.VocabParallelEmbedding(32, 12, axis=axis)
        cases[f"embedding{name}"] = lookup(table, ids, weights(table)["weight"][ids])
        # Numbers whose exponentials overflow, were it not for the maximum over all ranks.
        cases[f"cross_entropy{name}"] = loss(axis, numbers(6, 2, 6, 32) * 30 + 100, ids)
    return cases


def lookup(layer: Any, ids: Array, expected: Array, result: ShardSpec = BATCH) -> Case:
    def f(ids: MeshTensor["B", "S", tessera.int64, BATCH]) -> Any:
        return layer(ids)

    f.__annotations__["return"] = MeshTensor["B", "S", "?", result]
    return Case(tessera.on_mesh(MESH)(f), [ids], expected)


def loss(axis: Any, logits: Array, targets: Array) -> Case:
    def f(logits: Any, targets: MeshTensor["B", "S", tessera.int64]) -> Any:
        return parallel.vocab_parallel_cross_entropy(logits, targets, axis)

    f.__annotations__["logits"] = MeshTensor["B", "S", 32, ShardSpec(None, None, axis)]
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    picked = np.take_along_axis(shifted, targets[..., None], -1)[..., 0]
    return Case(tessera.on_mesh(MESH)(f), [logits, targets], (np.log(np.exp(shifted).sum(-1)) - picked).mean())


class Block(nn.Module):
    """A decoder's layer, whose norms see a rank's own tokens if ``sequence_parallel`` is set."""

    def __init__(self, sequence_parallel: bool = False) -> None:
        self.norm = nn.RMSNorm(16)
        self.attention = parallel.ParallelAttention(16, 4, 2, sequence_parallel=sequence_parallel)
        self.mlp_norm = nn.RMSNorm(16)
        self.mlp = parallel.ParallelSwiGLU(16, 24, sequence_parallel)

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norm(x))
        return x + self.mlp(self.mlp_norm(x))

    def reference(self, x: Array) -> Array:
        w = weights(self)
        x = x + attention(self.attention, w, norm(x, w["norm.weight"]), "attention.")
        return x + swiglu(w, norm(x, w["mlp_norm.weight"]), "mlp.")


def sequences() -> dict[str, Case]:
    x, ids = numbers(7, 2, 8, 16), tokens(8, 2, 8, below=32)
    block = Block(sequence_parallel=True)
    table = parallel.VocabParallelEmbedding(32, 12, sequence_parallel=True)
    head = parallel.ColumnParallelLinear(12, 16, sequence_parallel=True)
    back = parallel.RowParallelLinear(16, 12, sequence_parallel=True)

    hidden = np.maximum(linear(weights(head), weights(table)["weight"][ids]), 0)
    return {
        "sequence_parallel_block": case(block, x, block.reference(x), TOKENS, TOKENS),
        "sequence_parallel_ends": lookup(
            lambda ids: back(nn.relu(head(table(ids)))), ids, linear(weights(back), hidden), TOKENS
        ),
    }


def pipelines() -> dict[str, Case]:
    x, cases = numbers(9, 12, 4, 16), {}
    for microbatches in (1, 3):
        blocks = [Block() for _ in range(4)]
        cases[f"pipeline_{microbatches}"] = case(
            parallel.Pipeline(blocks, microbatches), x, chained([block.reference for block in blocks], x)
        )
    four = [nn.Linear(16, 16) for _ in range(4)]
    cases["pipeline_of_four"] = case(
        parallel.Pipeline(four, 2, axis="model"),
        x,
        chained([lambda y, member=member: linear(weights(member), y) for member in four], x),
    )

    def travelling(x: MeshTensor["B", "S", "D", BATCH]) -> MeshTensor["B", "S", "D", BATCH]:
        """Each stage adds what came with the microbatch, times its place."""
        number = (tessera.axis_index("model") + 1).cast(tessera.f32)
        pair = x, tessera.sum(x, dim=-1, keepdim=True)
        return parallel.pipeline(lambda pair: (pair[0] + pair[1] * number, pair[1]), pair, 3, "model")[0]

    cases["pipeline_of_a_tree"] = Case(tessera.on_mesh(MESH)(travelling), [x], x + 10 * x.sum(-1, keepdims=True))
    return cases


def chained(functions: list[Callable[[Array], Array]], x: Array) -> Array:
    for function in functions:
        x = function(x)
    return x
