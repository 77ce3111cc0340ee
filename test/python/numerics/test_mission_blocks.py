# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The blocks of the mission's API reference, compiled and run as they stand."""

from typing import Any

import interpreter
import mission
import numpy as np
import pytest
import tessera
from tolerance import assert_close


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_rms_norm() -> None:
    x, weight = random(2, 5, 64), random(64, seed=1)
    wide = x.astype(np.float64)
    want = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * weight
    got = mission.names("def rms_norm")["rms_norm"](x, weight)
    assert_close(got, want, dtype=np.float32, terms=64, operations=3)


def test_swiglu() -> None:
    x, gate, up, down = random(2, 3, 32), random(32, 48, seed=1), random(32, 48, seed=2), random(48, 32, seed=3)
    z = x.astype(np.float64) @ gate
    want = (z / (1 + np.exp(-z)) * (x.astype(np.float64) @ up)) @ down
    got = mission.names("def swiglu")["swiglu"](x, gate, up, down)
    assert_close(got, want, dtype=np.float32, terms=48, operations=3, scale=np.abs(want).max())


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention(is_causal: bool) -> None:
    q, k, v = (random(2, 3, 17, 16, seed=seed) for seed in range(3))
    got = mission.names("def attention")["attention"](q, k, v, is_causal=is_causal)
    want, _ = interpreter.attention(q, k, v, None, is_causal)
    assert_close(got, want, dtype=np.float32, terms=17, operations=2, scale=1.0)


def test_multi_latent_attention() -> None:
    names = mission.names("mla = MultiLatentAttention")
    mla, output, cache = names["mla"], names["output"], names["cache"]
    assert cache is names["kv_cache"] and cache.seq_lens[0] == 3
    # Without the cache in pages, whose bf16 rounds what is kept, keys and values are expanded.
    want, latents = mla(names["hidden_states"])
    assert latents.shape == (1, 3, 576)
    np.testing.assert_allclose(output, want, rtol=0, atol=0.02 * np.abs(want).max())


def test_casted_embedding() -> None:
    module = mission.names("class CastedEmbedding")["CastedEmbedding"](vocab_size=10, embedding_dim=4)
    (name, parameter), *others = module.named_parameters()
    assert (name, parameter.shape, parameter.dtype, others) == ("embeddings", (10, 4), tessera.fp8_e4m3, [])
