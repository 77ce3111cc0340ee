# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Decoding on the CPU: a Llama-style model of 110M bf16 parameters beside transformers, and latent attention from pages
beside a pass over the same bytes.

    python bench/cpu/decode.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tessera
from tessera import Tensor, nn
from timing import speed_ratio, time_side_by_side

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "language_models"))


def language_model(tokens: int = 48) -> dict[str, Any]:
    """Greedy decoding of one sequence after a prompt of 16 tokens, in turns."""
    import torch
    import transformers
    from generate import load_model
    from layers import compile_model

    config = transformers.LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=4
    )
    torch.manual_seed(0)
    theirs = transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        lm = load_model(Path(folder))
        start = time.perf_counter()
        artifact = compile_model(lm, targets="native")
        compiled = time.perf_counter() - start
    prompt = np.random.default_rng(0).integers(0, config.vocab_size, (1, 16))
    decode = artifact.entry("decode")

    def ours() -> float:
        cache = lm.new_cache(1, 16 + tokens + 1)
        logits, _ = artifact.entry("prefill")(prompt, cache.extend(16))
        start = time.perf_counter()
        for _ in range(tokens):
            logits, _ = decode(logits.argmax(-1)[:, None], cache.extend(1))
        return tokens / (time.perf_counter() - start)

    @torch.no_grad()
    def peer() -> float:
        result = theirs(torch.from_numpy(prompt), use_cache=True)
        start = time.perf_counter()
        for _ in range(tokens):
            token = result.logits[:, -1].argmax(-1)[:, None]
            result = theirs(token, past_key_values=result.past_key_values, use_cache=True)
        return tokens / (time.perf_counter() - start)

    ours(), peer()
    rates = [(ours(), peer()) for _ in range(7)]
    return {
        "parameters": sum(parameter.numel() for parameter in theirs.parameters()),
        "compile_seconds": compiled,
        "tokens_per_second": statistics.median(mine for mine, _ in rates),
        "transformers": statistics.median(other for _, other in rates),
        "ratio": statistics.median(mine / other for mine, other in rates),
    }


@tessera.function
def attend(
    q: Tensor["B", "H", 1, 576],
    pool: Tensor["P", 64, 1, 576],
    tables: Tensor["B", "N", tessera.int32],
    seq_lens: Tensor["B", tessera.int32],
    new_lens: Tensor["B", tessera.int32],
) -> Tensor["B", "H", 1, 512]:
    return tessera.paged_attention(q, pool, pool[..., :512], tables, seq_lens, new_lens, scale=1 / 192**0.5)


def latent_attention(heads: int, batch: int = 16, length: int = 4096) -> dict[str, Any]:
    """The attention of one decoding step against a sum over the cache's bytes, which reads them once."""
    import torch

    cache = nn.PagedKVCache(batch, length, 576)
    view = cache.extend(length)
    rng = np.random.default_rng(0)
    bf16 = tessera.bf16.numpy
    pool = cache.pools[0].reshape(-1, 64, 1, 576)
    pool[...] = rng.standard_normal(pool.shape, np.float32).astype(bf16)
    q = rng.standard_normal((batch, heads, 1, 576), np.float32).astype(bf16)
    new = np.ones(batch, np.int32)
    artifact = tessera.compile(attend, args=(q, pool, view.block_tables, view.seq_lens, new), targets="native")
    words = torch.from_numpy(pool.view(np.int16).reshape(-1).view(np.int64))
    times = time_side_by_side(
        {
            "ours": lambda: artifact(q, pool, view.block_tables, view.seq_lens, new),
            "stream": lambda: words.sum(),
        },
        rounds=11,
    )
    return {
        "heads": heads,
        "milliseconds": 1e3 * statistics.median(times["ours"]),
        "stream_milliseconds": 1e3 * statistics.median(times["stream"]),
        "stream_gb_per_second": pool.nbytes / 1e9 / statistics.median(times["stream"]),
        "times_the_stream": 1 / speed_ratio(times, "ours", "stream"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"latent_attention": [latent_attention(heads) for heads in (1, 4, 16, 32)]}
    for row in results["latent_attention"]:
        print({key: round(value, 2) for key, value in row.items()})
    results["language_model"] = language_model()
    print({key: round(value, 2) for key, value in results["language_model"].items()})
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
