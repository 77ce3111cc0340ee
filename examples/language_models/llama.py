# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A Llama-style decoder: RMSNorm, rotary embedding, grouped-query attention on a paged cache, SwiGLU."""

from collections.abc import Mapping
from typing import Any

import tessera
from layers import CausalLM, Decoder, DecoderLayer, Projection
from tessera import nn
from tessera.nn import PagedCache


class Attention(nn.Module):
    """Grouped-query attention. A token's keys and values are cached side by side, as twice as many heads."""

    def __init__(self, features: int, heads: int, key_heads: int, depth: int, rope_base: float, dtype: Any) -> None:
        self.heads, self.key_heads, self.depth, self.rope_base = heads, key_heads, depth, rope_base
        self.q_proj = Projection(features, heads * depth, dtype)
        self.k_proj = Projection(features, key_heads * depth, dtype)
        self.v_proj = Projection(features, key_heads * depth, dtype)
        self.o_proj = Projection(heads * depth, features, dtype)

    def forward(self, x: Any, cache: PagedCache, layer: int) -> Any:
        batch, count = x.shape[:2]
        positions = cache.positions(count)

        def heads(projection: Projection, number: int) -> Any:
            return projection(x).reshape(batch, count, number, self.depth)

        q = nn.rotary_embedding(heads(self.q_proj, self.heads), positions, self.rope_base)
        k = nn.rotary_embedding(heads(self.k_proj, self.key_heads), positions, self.rope_base)
        cache = cache.append(tessera.concat([k, heads(self.v_proj, self.key_heads)], dim=2), layer)
        pages = cache.pages(2 * self.key_heads, self.depth, layer=layer)
        keys, values = pages[:, :, : self.key_heads], pages[:, :, self.key_heads :]
        lengths = cache.block_tables, cache.seq_lens, cache.new_lens
        attended = tessera.paged_attention(q.permute(0, 2, 1, 3), keys, values, *lengths)
        return self.o_proj(attended.permute(0, 2, 1, 3).reshape(batch, count, self.heads * self.depth)), cache


def rope_base(config: Mapping[str, Any]) -> float:
    """The base of the rotary embedding in a ``config.json`` of Hugging Face's LlamaForCausalLM.

    Raises
    ------
    ValueError
        If it asks for something that is not here: biases, scaled positions, another activation.
    """
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default" or config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError(f"expected plain positions and no biases, got {rope} and {config.get('attention_bias')}")
    if config.get("hidden_act", "silu") != "silu":
        raise ValueError(f"expected the activation silu, got {config['hidden_act']}")
    return float(rope.get("rope_theta") or config.get("rope_theta", 10000.0))


def from_config(config: Mapping[str, Any], dtype: Any) -> CausalLM:
    """The model that a ``config.json`` describes, with weights of 0. Raises as ``rope_base`` does."""
    features, heads = config["hidden_size"], config["num_attention_heads"]
    depth = config.get("head_dim") or features // heads
    key_heads = config.get("num_key_value_heads") or heads
    base, eps = rope_base(config), config["rms_norm_eps"]
    layers: list[nn.Module] = [
        DecoderLayer(
            Attention(features, heads, key_heads, depth, base, dtype), features, config["intermediate_size"], eps, dtype
        )
        for _ in range(config["num_hidden_layers"])
    ]
    decoder = Decoder(config["vocab_size"], features, layers, eps, dtype)
    is_tied = config.get("tie_word_embeddings", False)
    return CausalLM(decoder, config["vocab_size"], features, is_tied, 2 * key_heads * depth, dtype)
