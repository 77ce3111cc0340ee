# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined, type-arg, valid-type"
"""What the two models share: parameters have the names and shapes that Hugging Face's checkpoints give them."""

from typing import Any

import numpy as np
import tessera
from tessera import Tensor, nn
from tessera.nn import PagedCache


class Projection(nn.Module):
    """x @ weight.T, with the weight ``[out, in]``."""

    def __init__(self, inputs: int, outputs: int, dtype: Any) -> None:
        self.weight = nn.Parameter(np.zeros((outputs, inputs), dtype.numpy))

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        return x @ self.weight.mT


class Embedding(nn.Module):
    """Rows of a table."""

    def __init__(self, rows: int, columns: int, dtype: Any) -> None:
        self.weight = nn.Parameter(np.zeros((rows, columns), dtype.numpy))

    def forward(self, ids: Tensor["...", tessera.int64]) -> Tensor["...", "?"]:
        return tessera.take(self.weight, ids, 0)


class GatedMLP(nn.Module):
    """SwiGLU."""

    def __init__(self, features: int, hidden: int, dtype: Any) -> None:
        self.gate_proj = Projection(features, hidden, dtype)
        self.up_proj = Projection(features, hidden, dtype)
        self.down_proj = Projection(hidden, features, dtype)

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        return self.down_proj(nn.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    """Attention and a gated MLP, each after a norm and beside a residual connection."""

    def __init__(self, attention: nn.Module, features: int, hidden: int, eps: float, dtype: Any) -> None:
        self.input_layernorm = nn.RMSNorm(features, eps, dtype=dtype)
        self.self_attn = attention
        self.post_attention_layernorm = nn.RMSNorm(features, eps, dtype=dtype)
        self.mlp = GatedMLP(features, hidden, dtype)

    def forward(self, x: Any, cache: PagedCache, layer: int) -> Any:
        attended, cache = self.self_attn(self.input_layernorm(x), cache, layer=layer)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), cache


class Decoder(nn.Module):
    """Embedding, layers and a norm: the hidden states of all tokens."""

    def __init__(self, vocabulary: int, features: int, layers: list[nn.Module], eps: float, dtype: Any) -> None:
        self.embed_tokens = Embedding(vocabulary, features, dtype)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.RMSNorm(features, eps, dtype=dtype)

    def forward(self, ids: Any, cache: PagedCache) -> Any:
        x = self.embed_tokens(ids)
        for number, layer in enumerate(self.layers):
            x, cache = layer(x, cache, number)
        return self.norm(x), cache


class CausalLM(nn.Module):
    """A decoder and the logits of the token after each sequence's last new one.

    Parameters
    ----------
    decoder
        The model below the head.
    vocabulary, features
        Sizes of the head.
    is_tied
        Whether the head is the embedding.
    cache_width
        What each layer caches of a token.
    """

    def __init__(
        self, decoder: Decoder, vocabulary: int, features: int, is_tied: bool, cache_width: int, dtype: Any
    ) -> None:
        self.model = decoder
        self.cache_width, self.dtype, self.features = cache_width, dtype, features
        self.lm_head = decoder.embed_tokens if is_tied else Projection(features, vocabulary, dtype)

    def new_cache(self, max_batch: int, max_seq_len: int, **options: Any) -> nn.PagedKVCache:
        """An empty cache for all layers."""
        layers = len(self.model.layers)
        return nn.PagedKVCache(max_batch, max_seq_len, self.cache_width, dtype=self.dtype, layers=layers, **options)

    def forward(self, ids: Any, cache: PagedCache) -> Any:
        x, cache = self.model(ids, cache)
        batch, count = ids.shape
        last = tessera.maximum(cache.new_lens - 1, 0) + tessera.arange(batch).cast(tessera.int32) * count
        x = tessera.take(x.reshape(-1, self.features), last, 0)
        return (x @ self.lm_head.weight.mT).cast(tessera.f32), cache


class Prefill(nn.Module):
    """Any number of new tokens of each sequence, padded at the end."""

    def __init__(self, lm: CausalLM) -> None:
        self.lm = lm

    def forward(self, ids: Tensor["B", "S", tessera.int64], cache: PagedCache) -> Any:
        return self.lm(ids, cache)


class Decode(nn.Module):
    """One new token of each sequence."""

    def __init__(self, lm: CausalLM) -> None:
        self.lm = lm

    def forward(self, ids: Tensor["B", 1, tessera.int64], cache: PagedCache) -> Any:
        return self.lm(ids, cache)


def compile_model(lm: CausalLM, **options: Any) -> tessera.Artifact:
    """The entry points ``prefill`` and ``decode`` in one artifact, for any batch, lengths and number of pages."""
    example = np.zeros((1, 1), np.int64), lm.new_cache(1, 1).extend(0)
    entries = {"prefill": Prefill(lm), "decode": Decode(lm)}
    return tessera.compile(entries, args=dict.fromkeys(entries, example), **options)
