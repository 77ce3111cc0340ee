# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What networks are made of: attention, positions, gated units, 8-bit weights, embeddings; and control flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tessera
import torch
from tessera import Tensor, nn, ops
from tessera.dtypes import as_dtype

from ..case import FLOATS, MATRICES, Check, Input, Program, program
from ..races import chain, gated, rope, torch_chain, torch_gated, torch_rope


def networks() -> Iterator[Check]:
    for dtype in FLOATS:
        kind = {"dtype": as_dtype(dtype)}
        x = Input((65, 1000), dtype, -2, 2)
        yield Check(Program(f"swish-mul-{dtype}", gated, kind), (x, x), torch_gated, operations=6, scale=1.0)
        yield Check(Program(f"chain-{dtype}", chain, kind), (x, x), torch_chain, operations=6, scale=4.0)
    for dtype in MATRICES[1:]:  # angles are f32, whatever is rotated
        for shape in [(1, 1, 1, 4), (2, 33, 3, 64), (1, 3000, 8, 128)]:
            x, longest = Input(shape, dtype, -2, 2), shape[1]
            options = {"dtype": as_dtype(dtype), "dims": {"D": shape[3]}}
            # An angle is a position times a rate, and as far off as that.
            bounds: dict[str, Any] = {"terms": longest**2, "operations": 8, "scale": 4.0}
            yield Check(Program(f"rope-{shape[3]}-{dtype}", rope, options), (x,), torch_rope, **bounds)
            ids = Input(shape[:2], "int64", values=[*range(longest)] * shape[0])
            yield Check(Program(f"dynamic-rope-{shape[3]}-{dtype}", dynamic_rope, options), (x, ids), None, **bounds)
    for dtype in MATRICES:
        x, up, down = (
            Input((3, 17, 96), dtype),
            Input((96, 250), dtype, -0.2, 0.2),
            Input((250, 96), dtype, -0.2, 0.2),
        )
        # Its products are rounded in between.
        block = Program(f"swiglu-{dtype}", swiglu, {"dtype": as_dtype(dtype)})
        yield Check(block, (x, up, up, down), torch_swiglu, terms=4096, operations=16, scale=2.0)
    for storage in ("fp8_e4m3", "fp8_e5m2", "int8", "bf16"):
        made = program(f"embedding-{storage}", embed, (2, "int64"), (2, storage))
        inputs = (Input((4, 33), "int64", 0, 99), Input((100, 72), storage, -2, 2))
        yield Check(made, inputs, lambda ids, table: table[ids] * 0.5)
    made = program("dropout-f32", lambda x, seed: nn.dropout(x, 0.3, seed=seed), (2, "f32"), (0, "int64"))
    yield Check(made, (Input((33, 100)), Input((), "int64", 1, 1 << 40)), None)


def embed(ids: Any, table: Any) -> Any:
    return tessera.take(table, ids, dim=0).cast(tessera.bf16) * 0.5


@tessera.function
def dynamic_rope(x: Tensor["B", "S", "H", "D"], ids: Tensor["B", "S", tessera.int64]) -> Any:
    return nn.dynamic_rope(x, ids)


@tessera.function
def swiglu(
    x: Tensor["B", "S", "D"], W_gate: Tensor["D", "F"], W_up: Tensor["D", "F"], W_down: Tensor["F", "D"]
) -> Tensor["B", "S", "D"]:
    return (nn.swish(x @ W_gate) * (x @ W_up)) @ W_down


def torch_swiglu(x, gate, up, down):
    return (torch.nn.functional.silu(x @ gate) * (x @ up)) @ down


#: Heads, heads of keys, queries, keys and depth.
SIZES = [(1, 1, 1, 1, 16), (4, 2, 1, 700, 64), (4, 4, 193, 257, 64), (8, 2, 300, 300, 128)]


def attention() -> Iterator[Check]:
    for dtype in MATRICES:
        kind = {"dtype": as_dtype(dtype)}
        for causal in (False, True):
            for heads, groups, queries, keys, depth in SIZES:
                options = {**kind, "static": {"is_causal": causal}, "dims": {"D": depth}}
                made = Program(f"attention{'-causal' * causal}-{depth}-{dtype}", flash, options)
                q = Input((2, heads, queries, depth), dtype, -2, 2)
                k = Input((2, groups, keys, depth), dtype, -2, 2)
                # Scores round to f32, and weights to the dtype before they meet the values.
                yield Check(made, (q, k, k), _Attention(causal), terms=4096, operations=32, scale=2.0)
        packed = Program(f"varlen-{dtype}", varlen, {**kind, "dims": {"D": 32}})
        starts = Input((4,), "int32", values=[0, 5, 38, 70])
        q, k = Input((70, 4, 32), dtype, -2, 2), Input((70, 2, 32), dtype, -2, 2)
        yield Check(packed, (q, k, k, starts), None, terms=4096, operations=32, scale=2.0)
        paged = Program(f"paged-{dtype}", paged_decode, kind)
        q, pool = Input((3, 8, 1, 576), dtype), Input((9, 16, 1, 576), dtype)
        tables = Input((3, 4), "int32", values=[4, 1, -1, -1, 0, 2, 8, 3, 7, -1, -1, -1])
        lengths, new = Input((3,), "int32", values=[20, 61, 1]), Input((3,), "int32", values=[1, 1, 1])
        yield Check(paged, (q, pool, tables, lengths, new), None, terms=4096, operations=32, scale=1.0)


@tessera.function
def flash(
    q: Tensor["B", "H", "Sq", "D"],
    k: Tensor["B", "G", "Sk", "D"],
    v: Tensor["B", "G", "Sk", "D"],
    is_causal: bool = False,
) -> Tensor["B", "H", "Sq", "D"]:
    return ops.flash_attention(q, k, v, is_causal=is_causal)


class _Attention:
    """The whole matrix of scores, in f64; the last query sees every key."""

    def __init__(self, causal: bool) -> None:
        self._causal = causal

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if self._causal:
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril(k.shape[2] - q.shape[2])
            scores = scores.masked_fill(~seen, -torch.inf)
        return torch.softmax(scores, -1) @ v


@tessera.function
def varlen(
    q: Tensor["T", "H", "D"], k: Tensor["T", "G", "D"], v: Tensor["T", "G", "D"], starts: Tensor["N", tessera.int32]
) -> Tensor["T", "H", "D"]:
    return ops.flash_attention_varlen(q, k, v, starts, starts, is_causal=True)


@tessera.function
def paged_decode(
    q: Tensor["B", "H", 1, 576],
    pool: Tensor["P", 16, 1, 576],
    tables: Tensor["B", "N", tessera.int32],
    seq_lens: Tensor["B", tessera.int32],
    new_lens: Tensor["B", tessera.int32],
) -> Tensor["B", "H", 1, 512]:
    return ops.paged_attention(q, pool, pool[..., :512], tables, seq_lens, new_lens, scale=1 / 192**0.5)


def control() -> Iterator[Check]:
    numbers = Input((), "int64", 6, 30)
    yield Check(program("while-loop", collatz, (0, "int64")), (numbers,), None)
    yield Check(Program("scan-f32", scanned), (Input((50, 33)),), None, terms=50, scale=2.0)
    yield Check(program("cond-f32", choose, (1, "f32"), (0, "bool")), (Input((1000,)), Input((), "bool")), None)


def collatz(n: Any) -> Any:
    def step(state: Any) -> Any:
        n, count = state
        return tessera.cond(n % 2 == 0, lambda: n // 2, lambda: 3 * n + 1), count + 1

    return tessera.while_loop(lambda state: state[0] != 1, step, (n, 0))[1]


def decay(carry: Any, row: Any) -> Any:
    carry = 0.5 * carry + row
    return carry, carry


@tessera.function
def scanned(x: Tensor["S", 33]) -> Any:
    return tessera.scan(decay, tessera.zeros(33), x)[1]


def choose(x: Any, flag: Any) -> Any:
    return tessera.cond(flag, lambda: x + 1, lambda: tessera.exp(x))
