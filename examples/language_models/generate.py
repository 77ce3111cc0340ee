# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Generate tokens from a checkpoint directory of Hugging Face: ``config.json`` and safetensors files.

    python examples/language_models/generate.py DIRECTORY --prompt 1,15,7 --prompt 1,4 --tokens 32

compiles ``prefill`` and ``decode`` ahead of time into one artifact (kept with ``--artifact``, which is loaded where it
is there already), then generates for all prompts in one batch, greedily or, with ``--temperature``, by sampling.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import deepseek
import llama
import numpy as np
import tessera
from layers import CausalLM, compile_model
from tessera import nn

MODELS = {"llama": llama.from_config, "deepseek_v2": deepseek.from_config}
DTYPES = {"float32": tessera.f32, "bfloat16": tessera.bf16, "float16": tessera.f16}


def load_model(directory: Path) -> CausalLM:
    """The model of a checkpoint, with its weights mapped from the files."""
    config = json.loads((directory / "config.json").read_text())
    kind = config["model_type"]
    if kind not in MODELS:
        raise ValueError(f"expected a model of type {' or '.join(MODELS)}, got '{kind}'")
    dtype = DTYPES[config.get("dtype") or config.get("torch_dtype") or "float32"]
    lm = MODELS[kind](config, dtype)
    paths = sorted(directory.glob("*.safetensors"))
    if kind == "deepseek_v2":
        deepseek.load_weights(lm, paths)
    else:
        # A tied head is the embedding, whether a file names it or not.
        own = {name for name, _ in lm.named_parameters()}
        lm.load_safetensors(paths, rename=lambda name: name if name in own else None)
    return lm


def generate(
    artifact: tessera.Artifact,
    cache: nn.PagedKVCache,
    prompts: Sequence[Sequence[int]],
    temperature: float = 0.0,
    seed: int = 0,
) -> Iterator[Any]:
    """Yield the next token of each prompt, ``[B]`` int64, again and again; and their logits, f32 ``[B, vocabulary]``.

    Greedy for a temperature of 0. The cache has a slot for each prompt.
    """
    random = np.random.default_rng(seed)
    lengths = [len(prompt) for prompt in prompts]
    ids = np.zeros((len(prompts), max(lengths)), np.int64)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    logits, _ = artifact.entry("prefill")(ids, cache.extend(lengths))
    while True:
        if temperature > 0:
            # The largest of logits with Gumbel noise is a sample of their softmax.
            noise = -np.log(-np.log(random.uniform(np.finfo(np.float32).tiny, 1.0, logits.shape)))
            tokens = (logits / temperature + noise).argmax(-1)
        else:
            tokens = logits.argmax(-1)
        yield tokens, logits
        logits, _ = artifact.entry("decode")(tokens[:, None], cache.extend(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--prompt", action="append", required=True, help="token ids, separated by commas")
    parser.add_argument("--tokens", type=int, default=32, help="how many to generate")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="native")
    parser.add_argument("--artifact", type=Path, help="where to keep the compiled model")
    options = parser.parse_args()

    prompts = [[int(token) for token in prompt.split(",")] for prompt in options.prompt]
    lm = load_model(options.checkpoint)
    start = time.perf_counter()
    if options.artifact is not None and options.artifact.exists():
        artifact = tessera.load(options.artifact)
    else:
        artifact = compile_model(lm, targets=options.target)
        if options.artifact is not None:
            artifact.save(options.artifact)
    print(f"ready in {time.perf_counter() - start:.1f} s")

    cache = lm.new_cache(len(prompts), max(map(len, prompts)) + options.tokens)
    steps = generate(artifact, cache, prompts, options.temperature, options.seed)
    made = [next(steps)[0]]
    start = time.perf_counter()
    made += [next(steps)[0] for _ in range(options.tokens - 1)]
    seconds = time.perf_counter() - start
    for prompt, row in zip(prompts, np.stack(made, 1).tolist(), strict=True):
        print(",".join(map(str, prompt)), "->", ",".join(map(str, row)))
    if options.tokens > 1:
        print(f"{len(prompts) * (options.tokens - 1) / seconds:.1f} tokens/s")


if __name__ == "__main__":
    main()
