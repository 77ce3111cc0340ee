# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined,type-arg,valid-type,misc"
"""Layers whose weights the ranks of a mesh divide, for functions on a mesh.

Their parameters are whole in the module, with the names and shapes of the layers for one process; each rank has its
part. ``axis`` is the mesh axis that divides them, or several that count as one.

Linear layers in pairs, by columns and then by rows, with one all-reduce, and the cross-entropy of divided logits:
Shoeybi, Patwary, Puri, LeGresley, Casper, Catanzaro: Megatron-LM, 2019 (arXiv 1909.08053).

Where ``sequence_parallel`` is set, ranks divide the tokens (the last dimension but one) between such pairs: a pair
begins by gathering them and ends by a reduce-scatter in place of the all-reduce, so that norms, dropout and residual
connections in between, which need nothing else, run on a rank's own tokens. Korthikanti et al.: Reducing activation
recomputation in large transformer models, 2022 (arXiv 2205.05198).
"""

import math
from typing import Any

from tessera import ops
from tessera.dtypes import f32, int64
from tessera.frontend.mesh import Axes, ShardSpec, axis_tuple
from tessera.frontend.promotion import result_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import active_scope, cast, lift, operand_type
from tessera.nn import functional, positional
from tessera.nn.layers import uniform
from tessera.nn.module import Module
from tessera.nn.parameter import Parameter
from tessera.nn.pipelining import Pipeline, pipeline
from tessera.ops._dispatch import operation

__all__ = [
    "ColumnParallelLinear",
    "ParallelAttention",
    "ParallelSwiGLU",
    "Pipeline",
    "RowParallelLinear",
    "VocabParallelEmbedding",
    "pipeline",
    "vocab_parallel_cross_entropy",
]


class ColumnParallelLinear(Module):
    """``nn.Linear`` of which each rank computes some of the result's features: no communication, unless asked for.

    Parameters
    ----------
    in_features, out_features
        The sizes of the whole ``weight``, ``[in_features, out_features]``. The axis must divide ``out_features``.
    bias
        Whether to add one; it is divided as the result is.
    gather_output
        Whether every rank gets all features.
    sequence_parallel
        Whether ``forward`` takes a rank's own tokens, ``[..., S / n, in_features]``, and gathers those of all.
    axis
        What divides the columns.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        gather_output: bool = False,
        sequence_parallel: bool = False,
        axis: Axes = "model",
        dtype: Any = f32,
    ) -> None:
        self.gather_output, self.sequence_parallel, self.axis = gather_output, sequence_parallel, axis
        bound = 1 / math.sqrt(max(in_features, 1))
        self.weight = Parameter(uniform((in_features, out_features), bound, dtype), sharding=ShardSpec(None, axis))
        self.bias = Parameter(uniform((out_features,), bound, dtype), sharding=ShardSpec(axis)) if bias else None

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        x = _all_tokens(x, self.axis) if self.sequence_parallel else x
        product = functional.linear(x, self.weight, self.bias)
        return ops.all_gather(product, self.axis, dim=-1) if self.gather_output else product


class RowParallelLinear(Module):
    """``nn.Linear`` of which each rank has some of the operand's features: products of all ranks are added.

    Parameters
    ----------
    in_features, out_features
        The sizes of the whole ``weight``, ``[in_features, out_features]``. The axis must divide ``in_features``.
    bias
        Whether to add one, once, to the sum.
    input_is_parallel
        Whether ``forward`` takes a rank's own features, ``[..., in_features / n]``, as ``ColumnParallelLinear`` gives
        them; if not it takes them all.
    sequence_parallel
        Whether each rank gets the result of its own tokens only, ``[..., S / n, out_features]``.
    axis
        What divides the rows.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        input_is_parallel: bool = True,
        sequence_parallel: bool = False,
        axis: Axes = "model",
        dtype: Any = f32,
    ) -> None:
        self.input_is_parallel, self.sequence_parallel, self.axis = input_is_parallel, sequence_parallel, axis
        bound = 1 / math.sqrt(max(in_features, 1))
        self.weight = Parameter(uniform((in_features, out_features), bound, dtype), sharding=ShardSpec(axis))
        self.bias = Parameter(uniform((out_features,), bound, dtype)) if bias else None

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        x = x if self.input_is_parallel else ops.mesh_slice(x, self.axis, dim=-1)
        weight = lift(self.weight)
        dtype = result_dtype(operand_type(lift(x)), weight.dtype)
        # Narrow products meet in f32, as they travel in any case, and are rounded once: as those of one process.
        product = ops.matmul(x, weight, dtype=f32 if dtype.is_narrow else None)
        total = _sum(product, self.axis, self.sequence_parallel)
        total = cast(lift(total), dtype) if dtype.is_narrow else total
        return total if self.bias is None else total + self.bias


class ParallelSwiGLU(Module):
    """``(swish(x @ gate) * (x @ up)) @ down`` with one all-reduce: gate and up by columns, down by rows.

    Parameters
    ----------
    model_dim, hidden_dim
        Sizes; the axis must divide ``hidden_dim``.
    sequence_parallel
        Whether ``forward`` takes and gives a rank's own tokens.
    axis
        What divides the hidden features.
    """

    def __init__(
        self,
        model_dim: int,
        hidden_dim: int,
        sequence_parallel: bool = False,
        axis: Axes = "model",
        dtype: Any = f32,
    ) -> None:
        self.sequence_parallel, self.axis = sequence_parallel, axis
        self.gate_proj = ColumnParallelLinear(model_dim, hidden_dim, bias=False, axis=axis, dtype=dtype)
        self.up_proj = ColumnParallelLinear(model_dim, hidden_dim, bias=False, axis=axis, dtype=dtype)
        self.down_proj = RowParallelLinear(
            hidden_dim, model_dim, bias=False, sequence_parallel=sequence_parallel, axis=axis, dtype=dtype
        )

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        x = _all_tokens(x, self.axis) if self.sequence_parallel else x  # once for both
        result: Tensor = self.down_proj(functional.swish(self.gate_proj(x)) * self.up_proj(x))
        return result


class ParallelAttention(Module):
    """Self-attention of which each rank has some of the heads, with one all-reduce.

    Fewer key heads than ranks repeat (Ainslie et al.: GQA, 2023): ranks then compute parts of them, exchange these, and
    keep the one that their query heads read.

    Parameters
    ----------
    model_dim, num_heads
        Sizes; the axis must divide ``num_heads``.
    num_kv_heads
        Heads of keys and values, ``num_heads`` if None: a multiple or a divisor of the number of ranks.
    head_dim
        ``model_dim // num_heads`` if None.
    bias
        Whether the projections have one.
    is_causal
        Whether tokens see only those up to their own.
    rope_base
        The base of the rotary embedding of queries and keys; None for no positions.
    sequence_parallel
        Whether ``forward`` takes and gives a rank's own tokens.
    axis
        What divides the heads.
    """

    def __init__(
        self,
        model_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = False,
        is_causal: bool = True,
        rope_base: float | None = 10000.0,
        sequence_parallel: bool = False,
        axis: Axes = "model",
        dtype: Any = f32,
    ) -> None:
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads
        self.head_dim = head_dim or model_dim // num_heads
        self.is_causal, self.rope_base, self.sequence_parallel, self.axis = (
            is_causal,
            rope_base,
            sequence_parallel,
            axis,
        )
        features, key_features = num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        self.q_proj = ColumnParallelLinear(model_dim, features, bias=bias, axis=axis, dtype=dtype)
        self.k_proj = ColumnParallelLinear(model_dim, key_features, bias=bias, axis=axis, dtype=dtype)
        self.v_proj = ColumnParallelLinear(model_dim, key_features, bias=bias, axis=axis, dtype=dtype)
        self.o_proj = RowParallelLinear(
            features, model_dim, bias=bias, sequence_parallel=sequence_parallel, axis=axis, dtype=dtype
        )

    def forward(
        self, x: Tensor["B", "S", "?"], position_ids: Tensor["B", "S", int64] | None = None
    ) -> Tensor["B", "?", "?"]:
        """``[B, S, model_dim]``; ``position_ids`` are arange(S) if None, and of all tokens if ranks divide them."""
        x = _all_tokens(x, self.axis) if self.sequence_parallel else x
        ranks = ops.axis_size(self.axis)
        heads = active_scope().divide(self.num_heads, ranks, "ParallelAttention: num_heads")
        q = ops.reshape(self.q_proj(x), (*x.shape[:2], heads, self.head_dim))
        k, v = self._keys_and_values(x, ranks)
        if self.rope_base is not None:
            q, k = (positional.rotary_embedding(y, position_ids, self.rope_base) for y in (q, k))
        q, k, v = (ops.transpose(y, 1, 2) for y in (q, k, v))
        attended = ops.transpose(ops.flash_attention(q, k, v, is_causal=self.is_causal), 1, 2)
        result: Tensor = self.o_proj(ops.reshape(attended, (*x.shape[:2], heads * self.head_dim)))
        return result

    def _keys_and_values(self, x: Tensor, ranks: int) -> list[Tensor]:
        """``[B, S, heads, head_dim]`` each, of the heads that this rank's queries read."""
        parts = self.k_proj(x), self.v_proj(x)
        if self.num_kv_heads % ranks == 0:
            return [ops.reshape(y, (*x.shape[:2], self.num_kv_heads // ranks, self.head_dim)) for y in parts]
        if ranks % self.num_kv_heads:
            raise diagnostic(
                "TSR1603",
                f"ParallelAttention: num_kv_heads: expected a multiple or a divisor of {ranks}, "
                f"got {self.num_kv_heads}",
            )
        both = ops.all_gather(ops.stack(parts, 2), self.axis, dim=-1)
        heads = ops.reshape(both, (*x.shape[:2], 2, self.num_kv_heads, self.head_dim))
        own = _place(self.axis) // (ranks // self.num_kv_heads)
        return ops.unbind(ops.take(heads, ops.unsqueeze(own, 0), dim=3), 2)


class VocabParallelEmbedding(Module):
    """``nn.Embedding`` of which each rank has some of the rows; an all-reduce gives every rank those of all.

    An id out of range is an error on the CPU, raised on every rank before anything is sent.

    Parameters
    ----------
    vocab_size, embedding_dim
        The whole table's sizes; the axis must divide ``vocab_size``.
    sequence_parallel
        Whether each rank gets the rows of its own tokens only, ``[..., S / n, embedding_dim]``.
    axis
        What divides the rows.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        sequence_parallel: bool = False,
        axis: Axes = "model",
        dtype: Any = f32,
    ) -> None:
        self.sequence_parallel, self.axis = sequence_parallel, axis
        self.weight = Parameter(ops.randn(vocab_size, embedding_dim, dtype=dtype), sharding=ShardSpec(axis))

    def forward(self, ids: Tensor["...", int64]) -> Tensor["...", "?"]:
        table = lift(self.weight)
        row, is_own = _own_rows("VocabParallelEmbedding: ids", ids, table.shape[0], self.axis)
        rows = ops.where(ops.unsqueeze(is_own, -1), ops.take(table, row, 0), 0)
        return _sum(rows, self.axis, self.sequence_parallel)


@operation
def vocab_parallel_cross_entropy(logits: Any, targets: Any, axis: Axes = "model") -> Tensor:
    """``nn.cross_entropy`` of logits that ranks divide: two all-reduces of a few numbers for each token.

    Parameters
    ----------
    logits
        A rank's part ``[..., C / n]``, as a head that is a ``ColumnParallelLinear`` gives it.
    targets
        Integers ``[...]`` in ``[0, C)``, the same on all ranks of a group. One out of range is an error on the CPU.
    axis
        What divides the classes.

    Returns
    -------
    Tensor
        The mean of -log_softmax(logits) at the targets, of rank 0, the same on all ranks of a group.

    Raises
    ------
    MeshError
        Outside a function on a mesh, or if the mesh has no such axis.
    DTypeError
        If the targets are no integers.
    """
    logits = lift(logits)
    shifted = logits - ops.mesh_reduce(ops.max(logits, dim=-1), axis, op="max")[..., None]
    row, is_own = _own_rows("vocab_parallel_cross_entropy: targets", targets, logits.shape[-1], axis)
    picked = ops.where(is_own, ops.gather(shifted, row[..., None], -1)[..., 0], 0)
    sums, at_target = ops.unbind(ops.mesh_reduce(ops.stack([ops.sum(ops.exp(shifted), -1), picked], -1), axis), -1)
    return ops.mean(ops.log(sums) - at_target)


def _own_rows(what: str, ids: Any, count: Any, axis: Axes) -> tuple[Tensor, Tensor]:
    """Where in a rank's ``count`` rows each id is, and whether it is there; 0 if another rank has it.

    An id that no rank has is ``count``, which is out of range for all of them.
    """
    ids = lift(ids)
    if not ids.dtype.is_int:
        raise diagnostic("TSR1301", f"{what}: expected integers, got {ids.dtype.name}")
    ids = ids.cast(int64)
    total = count * ops.axis_size(axis)
    local = ids - _place(axis) * count
    is_own: Tensor = (local >= 0) & ops.less(local, count)
    return ops.where(is_own, local, ops.where((ids >= 0) & ops.less(ids, total), 0, count)), is_own


def _place(axis: Axes) -> Tensor:
    """Find this rank's place in its group along one axis, or along several, the last fastest."""
    first, *others = axis_tuple(axis)
    place = ops.axis_index(first)
    for name in others:
        place = place * ops.axis_size(name) + ops.axis_index(name)
    return place


def _all_tokens(x: Any, axis: Axes) -> Tensor:
    return ops.all_gather(x, axis, dim=-2)


def _sum(x: Any, axis: Axes, sequence_parallel: bool) -> Tensor:
    """The sum over a group, for all tokens or for a rank's own."""
    return ops.reduce_scatter(x, axis, dim=-2) if sequence_parallel else ops.mesh_reduce(x, axis)
