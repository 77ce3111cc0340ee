# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined,type-arg,valid-type,misc"
"""Multi-head latent attention."""

import math
from typing import Any

from tessera import ops
from tessera.dtypes import f32, int64
from tessera.frontend.scope import is_tracing
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.nn import positional
from tessera.nn.cache import PagedCache, PagedKVCache
from tessera.nn.layers import Linear, RMSNorm, uniform
from tessera.nn.module import Module
from tessera.nn.parameter import Parameter


class MultiLatentAttention(Module):
    """Causal attention whose keys and values are made of one small vector a token, which alone is cached.

    DeepSeek-AI: DeepSeek-V2, a strong, economical, and efficient mixture-of-experts language model, 2024. A token is
    compressed to ``latent_dim`` numbers, which are normalised, and beside them one key of ``rope_dim``, which all heads
    share and which alone (with a part of each query) is rotated by its position. A head's score is
    (q_nope · k_nope + q_rope · k_rope) / √(head_dim + rope_dim).

    Parameters
    ----------
    model_dim
        Features of a token.
    latent_dim
        Numbers that a token's keys and values are compressed to.
    num_q_heads, num_kv_heads
        Heads; the first is a multiple of the second.
    head_dim
        Features of a head that positions don't rotate, and of its values unless ``value_dim`` is given.
    rope_dim
        Features of a head that positions rotate; even.
    q_latent_dim
        Compress queries to this size too.
    max_seq_len
        The longest sequence; how much a cache that a call without one returns could grow to.
    value_dim, rope_base, interleaved, eps, dtype
        The size of a head's values; see ``rotary_embedding`` for the next two; of the norms; of the weights.
    """

    def __init__(
        self,
        model_dim: int = 4096,
        latent_dim: int = 512,
        num_q_heads: int = 32,
        num_kv_heads: int = 32,
        head_dim: int = 128,
        rope_dim: int = 64,
        q_latent_dim: int | None = None,
        max_seq_len: int = 8192,
        *,
        value_dim: int | None = None,
        rope_base: float = 10000.0,
        interleaved: bool = False,
        eps: float = 1e-6,
        dtype: Any = f32,
    ) -> None:
        if num_kv_heads < 1 or num_q_heads % num_kv_heads:
            raise diagnostic(
                "TSR1106",
                f"MultiLatentAttention: expected num_q_heads to be a multiple of num_kv_heads, "
                f"got {num_q_heads} and {num_kv_heads}",
            )
        self.latent_dim, self.head_dim, self.rope_dim = latent_dim, head_dim, rope_dim
        self.num_q_heads, self.num_kv_heads, self.max_seq_len = num_q_heads, num_kv_heads, max_seq_len
        self.value_dim = head_dim if value_dim is None else value_dim
        self.rope_base, self.interleaved = rope_base, interleaved
        query_dim = num_q_heads * (head_dim + rope_dim)
        if q_latent_dim is None:
            self.q_proj = Linear(model_dim, query_dim, bias=False, dtype=dtype)
        else:
            self.q_down = Linear(model_dim, q_latent_dim, bias=False, dtype=dtype)
            self.q_norm = RMSNorm(q_latent_dim, eps, dtype=dtype)
            self.q_up = Linear(q_latent_dim, query_dim, bias=False, dtype=dtype)
        self.kv_down = Linear(model_dim, latent_dim + rope_dim, bias=False, dtype=dtype)
        self.kv_norm = RMSNorm(latent_dim, eps, dtype=dtype)
        # By head, as both forms of the product need them: nothing is transposed in a call.
        bound = 1 / math.sqrt(latent_dim)
        self.k_up = Parameter(uniform((num_kv_heads, head_dim, latent_dim), bound, dtype))
        self.v_up = Parameter(uniform((num_kv_heads, latent_dim, self.value_dim), bound, dtype))
        self.o_proj = Linear(num_q_heads * self.value_dim, model_dim, bias=False, dtype=dtype)

    def new_cache(self, max_batch: int, dtype: Any = None, **options: Any) -> PagedKVCache:
        """An empty cache for this layer; ``options`` as for ``PagedKVCache``."""
        width = self.latent_dim + self.rope_dim
        return PagedKVCache(max_batch, self.max_seq_len, width, dtype=dtype or self.k_up.dtype, **options)

    def __call__(
        self,
        hidden_states: Any,
        kv_cache: Any = None,
        position_ids: Any = None,
        attention_mask: Any = None,
        layer: int = 0,
    ) -> Any:
        """See ``forward``. A ``PagedKVCache`` grows by ``S`` tokens in each slot, unless the call fails."""
        if is_tracing() or not isinstance(kv_cache, PagedKVCache):
            return super().__call__(hidden_states, kv_cache, position_ids, attention_mask, layer)
        before = kv_cache.seq_lens.copy()
        cache = kv_cache.extend(int(hidden_states.shape[1]))
        try:
            output, _ = super().__call__(hidden_states, cache, position_ids, attention_mask, layer)
        except BaseException:
            for slot, length in enumerate(before):
                kv_cache.truncate(slot, int(length))
            raise
        return output, kv_cache

    def forward(
        self,
        hidden_states: Tensor["B", "S", "?"],
        kv_cache: Tensor["B", "T", "?"] | PagedCache | None = None,
        position_ids: Tensor["B", "S", int64] | None = None,
        attention_mask: Tensor["B", "?"] | None = None,
        layer: int = 0,
    ) -> Any:
        """Attend to the tokens of this call and of the cache.

        Parameters
        ----------
        hidden_states
            ``[B, S, model_dim]``.
        kv_cache
            None; the ``[B, T, latent_dim + rope_dim]`` that an earlier call returned; or a cache in pages.
        position_ids
            Integers ``[B, S]``; those after the cache's if None.
        attention_mask
            Booleans ``[B, T + S]``: which tokens may be seen. Not with pages, whose lengths say it.
        layer
            Which of the pools of a cache in pages is this layer's.

        Returns
        -------
        output
            ``[B, S, model_dim]``.
        cache
            ``[B, T + S, latent_dim + rope_dim]``, or the cache in pages, updated in place.

        Raises
        ------
        ShapeError, DTypeError
            When the arguments do not fit.
        """
        hidden: Tensor = hidden_states
        batch, count = hidden.shape[:2]
        if position_ids is None:
            if isinstance(kv_cache, PagedCache):
                position_ids = kv_cache.positions(count)
            else:
                past = 0 if kv_cache is None else kv_cache.shape[1]
                position_ids = ops.unsqueeze(ops.arange(past, past + count), 0)
        queries = self.q_proj(hidden) if hasattr(self, "q_proj") else self.q_up(self.q_norm(self.q_down(hidden)))
        queries = ops.reshape(queries, (batch, count, self.num_q_heads, self.head_dim + self.rope_dim))
        plain, rotated = queries[..., : self.head_dim], self._rotate(queries[..., self.head_dim :], position_ids)
        compressed = self.kv_down(hidden)
        key = self._rotate(ops.unsqueeze(compressed[..., self.latent_dim :], 2), position_ids)
        latents = ops.concat([self.kv_norm(compressed[..., : self.latent_dim]), ops.squeeze(key, 2)], -1)
        if isinstance(kv_cache, PagedCache):
            if attention_mask is not None:
                raise diagnostic(
                    "TSR1504",
                    "MultiLatentAttention: expected no attention_mask with a cache in pages, got one",
                    help="the cache's lengths say which tokens there are: cache.extend([3, 5])",
                )
            cache: Any = kv_cache.append(latents, layer)
            attended = self._attend_pages(plain, rotated, cache, layer)
        else:
            cache = latents if kv_cache is None else ops.concat([kv_cache.cast(latents.dtype), latents], 1)
            attended = self._attend(plain, rotated, cache, attention_mask)
        return self.o_proj(ops.reshape(attended.cast(hidden.dtype), (batch, count, -1))), cache

    def _rotate(self, x: Tensor, position_ids: Any) -> Tensor:
        return positional.rotary_embedding(x, position_ids, self.rope_base, interleaved=self.interleaved)

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.head_dim + self.rope_dim)

    def _attend(self, plain: Tensor, rotated: Tensor, latents: Tensor, mask: Any) -> Tensor:
        """Keys and values are expanded: ``[B, S, H, ·]`` in and out."""
        compressed = ops.unsqueeze(latents[..., : self.latent_dim], 1)
        shared = ops.unsqueeze(latents[..., self.latent_dim :], 1)
        shape = (latents.shape[0], self.num_kv_heads, latents.shape[1], self.rope_dim)
        keys = ops.concat([compressed @ self.k_up.mT, ops.broadcast_to(shared, shape)], -1)
        queries = ops.permute(ops.concat([plain, rotated], -1), 0, 2, 1, 3)
        if mask is not None:
            mask = ops.unsqueeze(ops.unsqueeze(mask, 1), 1)
        attended = ops.flash_attention(queries, keys, compressed @ self.v_up, mask, is_causal=True, scale=self._scale)
        result: Tensor = ops.permute(attended, 0, 2, 1, 3)
        return result

    def _attend_pages(self, plain: Tensor, rotated: Tensor, cache: PagedCache, layer: int) -> Tensor:
        """The keys' expansion goes to the queries, the values' to the result: of a token, only the cache is read."""
        dtype = cache.pools[layer].dtype
        absorbed = self._by_head(plain, self.k_up)
        queries = ops.permute(ops.concat([absorbed, rotated.cast(absorbed.dtype)], -1), 0, 2, 1, 3).cast(dtype)
        keys = cache.pages(1, self.latent_dim + self.rope_dim, layer=layer)
        attended = ops.paged_attention(
            queries,
            keys,
            keys[..., : self.latent_dim],
            cache.block_tables,
            cache.seq_lens,
            cache.new_lens,
            scale=self._scale,
        )
        return self._by_head(ops.permute(attended, 0, 2, 1, 3).cast(plain.dtype), self.v_up)

    def _by_head(self, x: Tensor, weights: Parameter) -> Tensor:
        """``[B, S, H, K]`` times ``[Hkv, K, N]``, whose rows go to all tokens at once: ``[B, S, H, N]``."""
        batch, count, heads, size = x.shape
        groups = heads // self.num_kv_heads
        split = ops.reshape(x, (batch, count, self.num_kv_heads, groups, size))
        rows = ops.reshape(ops.permute(split, 2, 0, 1, 3, 4), (self.num_kv_heads, batch * count * groups, size))
        product = ops.reshape(rows @ weights, (self.num_kv_heads, batch, count, groups, weights.shape[2]))
        return ops.reshape(ops.permute(product, 1, 2, 0, 3, 4), (batch, count, heads, weights.shape[2]))
