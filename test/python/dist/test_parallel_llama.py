# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The example's Llama on 16 ranks along three axes, from one artifact, against the one that one process runs."""

import itertools
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from launching import MPIEXEC, environment, run_ranks

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "language_models"
PROMPTS = [[1, 5, 9, 20, 33], [2, 3], [7, 7, 7]]  # one less than data and microbatches divide
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,  # fewer than ranks along "model"
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64,
}


def write_checkpoint(folder: Path) -> Any:
    """A model of random weights for one process, which is a checkpoint too."""
    import llama

    lm = llama.from_config(CONFIG, tessera.f32)
    random = np.random.default_rng(0)
    for parameter in lm.parameters():
        spread = 1.0 if parameter.ndim == 1 else 0.3
        parameter.load((parameter.numpy() + random.standard_normal(parameter.shape) * spread).astype(np.float32))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    lm.save_safetensors(folder / "model.safetensors")
    return lm


def test_logits_and_greedy_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import generate
    from layers import compile_model

    lm = write_checkpoint(tmp_path)
    cache = lm.new_cache(len(PROMPTS), 64)
    expected = list(itertools.islice(generate.generate(compile_model(lm, targets="cpu"), cache, PROMPTS), 12))
    script = [sys.executable, EXAMPLES / "parallel_llama.py"]
    subprocess.run([*script, "compile", tmp_path, tmp_path / "llama.tsr"], check=True, env=environment())
    (tmp_path / "llama.pickle").write_bytes(pickle.dumps((PROMPTS, expected)))
    run_ranks("llama", tmp_path)

    prompts = [f"--prompt={','.join(map(str, prompt))}" for prompt in PROMPTS]
    command = [MPIEXEC, "-n", "16", *script, "generate", tmp_path / "llama.tsr", "--tokens", "3", *prompts]
    printed = subprocess.run(command, check=True, env=environment(), capture_output=True, text=True).stdout
    tokens = np.stack([tokens for tokens, _ in expected[:3]], 1).tolist()
    lines = [f"{','.join(map(str, p))} -> {','.join(map(str, row))}" for p, row in zip(PROMPTS, tokens, strict=True)]
    assert printed.splitlines() == lines
