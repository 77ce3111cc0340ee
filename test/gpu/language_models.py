# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The example models on a GPU beside the CPU target of the same artifact: logits, and 32 greedy tokens.

``python test/gpu/language_models.py build DIR`` makes small random checkpoints with transformers and compiles them, on
a machine without a GPU; ``run DIR`` needs the runtime and torch alone. On the CPU the models equal transformers'
(test/python/test_language_models.py).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tessera
import torch
from tessera.nn.cache import PagedCache, PagedKVCache

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = [[1, 5, 9, 20, 33], [2, 3]]
TOKENS = 32
#: Layers, and elements that the cache keeps of a token in each.
MODELS = {"llama": (3, 64), "deepseek": (2, 40)}


def build(folder: Path) -> None:
    import transformers

    sys.path[:0] = [str(ROOT / "examples" / "language_models"), str(ROOT / "test" / "python")]
    import generate
    import test_language_models
    from layers import compile_model

    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        torch.manual_seed(0)
        theirs = getattr(test_language_models, name)(transformers).eval()
        for parameter in theirs.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
            else:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
        with tempfile.TemporaryDirectory() as checkpoint:
            theirs.save_pretrained(checkpoint)
            model = generate.load_model(Path(checkpoint))
            compile_model(model, targets=["sm_90a", "cpu"]).save(folder / f"{name}.tsr")


def logits(artifact: tessera.Artifact, layers: int, width: int, device: str) -> list[np.ndarray[Any, Any]]:
    """The logits of the prompts' last tokens, and of each token that is the likeliest after them."""
    cache = PagedKVCache(len(PROMPTS), 64, width, page_size=4, dtype=tessera.f32, layers=layers)

    def place(array: np.ndarray[Any, Any]) -> Any:
        return torch.from_numpy(array.copy()).to(device)

    pools = [place(pool) for pool in cache.pools]  # which calls change in place

    def call(entry: str, ids: np.ndarray[Any, Any], counts: Any) -> np.ndarray[Any, Any]:
        tables = cache.extend(counts)
        there = PagedCache(pools, place(tables.block_tables), place(tables.seq_lens), place(tables.new_lens))
        result, _ = artifact.entry(entry)(place(ids), there)
        return np.asarray(result.cpu())

    lengths = [len(prompt) for prompt in PROMPTS]
    ids = np.zeros((len(PROMPTS), max(lengths)), np.int64)
    for row, prompt in zip(ids, PROMPTS, strict=True):
        row[: len(prompt)] = prompt
    found = [call("prefill", ids, lengths)]
    while len(found) < TOKENS:
        found.append(call("decode", found[-1].argmax(-1)[:, None], 1))
    return found


def run(folder: Path) -> int:
    failed = False
    for name, shape in MODELS.items():
        artifact = tessera.load(folder / f"{name}.tsr")
        ours, wanted = logits(artifact, *shape, "cuda"), logits(artifact, *shape, "cpu")
        off = max(np.abs(x - y).max() / np.abs(y).max() for x, y in zip(ours, wanted, strict=True))
        same = all((x.argmax(-1) == y.argmax(-1)).all() for x, y in zip(ours, wanted, strict=True))
        failed |= not same or off > 2e-5
        print(f"{name}: logits within {off:.1e} of the largest, tokens {'equal' if same else 'differ'}")
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["build", "run"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    sys.exit(run(options.folder) if options.command == "run" else build(options.folder))
