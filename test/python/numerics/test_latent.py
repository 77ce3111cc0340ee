# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Multi-head latent attention and its paged cache, against the construction of DeepSeek-V2 in f64."""

from typing import Any

import numpy as np
import pytest
import tessera
from tessera import nn

B, S, DIM, LATENT, HEAD, ROPE, VALUE = 3, 13, 48, 32, 16, 8, 12


def rotate(x: Any, positions: Any, interleaved: bool) -> Any:
    """x [..., S, D] by positions [S]."""
    half = x.shape[-1] // 2
    angles = positions[:, None] * 10000.0 ** (-np.arange(half) / half)
    pairs = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    complex_ = (pairs[0] + 1j * pairs[1]) * np.exp(1j * angles)
    joined = np.stack([complex_.real, complex_.imag], -1 if interleaved else -2)
    return joined.reshape(x.shape)


def norm(x: Any, weight: Any) -> Any:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * weight


def reference(mla: Any, x: Any) -> Any:
    """Causal attention over the whole sequence, one head at a time, with expanded keys and values."""
    p = {name: np.asarray(value.numpy(), np.float64) for name, value in mla.named_parameters()}
    x = np.asarray(x, np.float64)
    positions = np.arange(x.shape[1])
    q = x @ p["q_proj.weight"] if "q_proj.weight" in p else None
    if q is None:
        q = norm(x @ p["q_down.weight"], p["q_norm.weight"]) @ p["q_up.weight"]
    q = q.reshape(*x.shape[:2], mla.num_q_heads, mla.head_dim + mla.rope_dim)
    compressed = x @ p["kv_down.weight"]
    latent = norm(compressed[..., : mla.latent_dim], p["kv_norm.weight"])
    key_rope = rotate(compressed[..., mla.latent_dim :], positions, mla.interleaved)
    heads = []
    for h in range(mla.num_q_heads):
        g = h // (mla.num_q_heads // mla.num_kv_heads)
        plain, rotated = q[:, :, h, : mla.head_dim], rotate(q[:, :, h, mla.head_dim :], positions, mla.interleaved)
        scores = plain @ np.swapaxes(latent @ p["k_up"][g].T, 1, 2) + rotated @ np.swapaxes(key_rope, 1, 2)
        scores /= np.sqrt(mla.head_dim + mla.rope_dim)
        scores = np.where(np.tri(x.shape[1], dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ (latent @ p["v_up"][g]))
    return np.concatenate(heads, -1) @ p["o_proj.weight"]


def make(num_kv_heads: int = 4, **options: Any) -> Any:
    tessera.manual_seed(0)
    return nn.MultiLatentAttention(
        DIM, LATENT, 4, num_kv_heads, HEAD, ROPE, options.pop("q_latent_dim", None), 40, **options
    )


def hidden(seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((B, S, DIM)).astype(np.float32)


def close(got: Any, want: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=0, atol=tolerance * np.abs(want).max(initial=0))


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"num_kv_heads": 2},
    "compressed queries": {"q_latent_dim": 24, "value_dim": VALUE, "interleaved": True},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_prefill_and_decode_agree_with_the_construction(name: str) -> None:
    mla, x = make(**VARIANTS[name]), hidden()
    want = reference(mla, x)
    output, latents = mla(x)
    close(output, want)
    assert latents.shape == (B, S, LATENT + ROPE)
    # In pages: a chunk, then token by token, across page boundaries.
    cache = mla.new_cache(B, page_size=4)
    first, same = mla(x[:, :5], kv_cache=cache)
    assert same is cache
    close(first, want[:, :5])
    for i in range(5, S):
        one, _ = mla(x[:, i : i + 1], kv_cache=cache)
        close(one[:, 0], want[:, i])
    assert list(cache.seq_lens) == [S] * B
    # The returned tensor of latents is a cache too.
    _, latents = mla(x[:, :5])
    rest, latents = mla(x[:, 5:], kv_cache=latents)
    close(rest, want[:, 5:])


def test_chunks_of_different_lengths_in_one_batch() -> None:
    mla, x = make(), hidden()
    want = reference(mla, x)
    cache = mla.new_cache(B, page_size=4)
    done = np.zeros(B, int)
    for counts in ([5, 2, 0], [1, 4, 4], [0, 1, 3], [4, 4, 1]):
        chunk = np.zeros((B, max(counts), DIM), np.float32)
        for b, count in enumerate(counts):
            chunk[b, :count] = x[b, done[b] : done[b] + count]
        output, _ = mla(chunk, cache.extend(counts))
        for b, count in enumerate(counts):
            close(output[b, :count], want[b, done[b] : done[b] + count])
        done += counts
    assert list(cache.seq_lens) == list(done)


def test_pages_are_given_back_and_used_again() -> None:
    mla, x = make(), hidden()
    want, other = reference(mla, x), hidden(1)
    cache = mla.new_cache(B, page_size=4, num_pages=3 * 4)
    mla(x, kv_cache=cache)
    assert cache.free_pages == 0
    with pytest.raises(tessera.TesseraError, match=r"TSR2032.*pages"):
        mla(x[:, :8], kv_cache=cache)
    assert list(cache.seq_lens) == [S] * B
    cache.free(1)
    assert cache.free_pages == 4
    chunk = np.zeros((B, S, DIM), np.float32)
    chunk[1] = other[1]
    output, _ = mla(chunk, cache.extend([0, S, 0]))
    close(output[1], reference(mla, other)[1])
    # The others are as they were: cut one back and write its last token again.
    cache.truncate(2, S - 1)
    chunk = np.zeros((B, 1, DIM), np.float32)
    chunk[2] = x[2, S - 1]
    output, _ = mla(chunk, cache.extend([0, 0, 1]))
    close(output[2, 0], want[2, S - 1])


def test_a_slot_holds_no_more_than_the_longest_sequence() -> None:
    mla = make()
    cache = mla.new_cache(1, page_size=16)
    with pytest.raises(tessera.TesseraError, match=r"TSR2033.*slot 0: expected at most 40 tokens"):
        cache.extend(41)
    assert cache.seq_lens[0] == 0 and cache.free_pages == 3


def test_a_failed_call_leaves_the_cache_as_it_was() -> None:
    mla = make()
    cache = mla.new_cache(B)
    with pytest.raises(tessera.TesseraError):
        mla(np.zeros((B, 3, DIM + 1), np.float32), kv_cache=cache)
    assert not cache.seq_lens.any()


def test_the_cache_is_updated_in_place() -> None:
    mla, x = make(), hidden()
    cache = mla.new_cache(B)
    artifact = tessera.compile(mla, args=(x, cache.extend(0)))
    assert artifact.mlir("rt").count("rt.copy") == 3  # the table and the lengths, which are returned as they came
    _, after = artifact(x, cache.extend(S))
    assert after.pools[0] is cache.pools[0] and cache.pools[0].any()


def test_attention_mask() -> None:
    mla, x = make(), hidden()
    keep = np.ones((B, S), bool)
    keep[:, 0] = False
    output, _ = mla(x, attention_mask=keep)
    # Without its first token, a sequence is one that begins at position 1; angles count only by their differences.
    want = reference(mla, x[:, 1:])
    close(output[:, 1:], want, 5e-5)
    with pytest.raises(tessera.TesseraError, match=r"TSR1504.*attention_mask"):
        mla(x, mla.new_cache(B).extend(S), attention_mask=keep)


def test_bf16() -> None:
    mla = make(dtype=tessera.bf16)
    x = hidden().astype(tessera.bf16.numpy)
    want = reference(mla, x)
    output, _ = mla(x)
    assert output.dtype == x.dtype
    close(output, want, 0.03)
    cache = mla.new_cache(B)
    for i in range(S):
        one, _ = mla(x[:, i : i + 1], kv_cache=cache)
        close(one[:, 0], want[:, i], 0.05)


def test_the_size_of_the_reference() -> None:
    """The reference's own sizes: of K and V of 32 heads of 128, 7.03 % is cached."""
    mla = nn.MultiLatentAttention(model_dim=4096, latent_dim=512, num_q_heads=32, num_kv_heads=32, dtype=tessera.bf16)
    cache = mla.new_cache(1)
    values = cache.bytes_per_token // cache.pools[0].itemsize
    assert values == cache.pools[0].nbytes // (cache.pools[0].itemsize * mla.max_seq_len) == 576
    full = 2 * 32 * 128
    assert round(100 * (1 - values / full), 2) == 92.97
    x = np.random.default_rng(0).standard_normal((1, 3, 4096)).astype(tessera.bf16.numpy)
    whole, _ = mla(x)
    output, _ = mla(x[:, :2], kv_cache=cache)
    close(output, np.asarray(whole[:, :2], np.float64), 0.05)
    output, _ = mla(x[:, 2:], kv_cache=cache)
    close(output, np.asarray(whole[:, 2:], np.float64), 0.05)
