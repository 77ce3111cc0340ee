# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The language models in ``examples/`` against ``transformers``, from checkpoints that it writes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera

EXAMPLES = Path(__file__).parents[2] / "examples" / "language_models"
PROMPTS = [[1, 5, 9, 20, 33], [2, 3]]
TOKENS = 32

SMALL = dict(vocab_size=128, hidden_size=64, intermediate_size=96, max_position_embeddings=256, num_attention_heads=4)


def llama(transformers: Any) -> Any:
    config = transformers.LlamaConfig(**SMALL, num_hidden_layers=3, num_key_value_heads=2, tie_word_embeddings=True)
    return transformers.LlamaForCausalLM(config)


def deepseek(transformers: Any) -> Any:
    config = transformers.DeepseekV2Config(
        **SMALL,
        num_hidden_layers=2,
        num_key_value_heads=4,
        kv_lora_rank=32,
        q_lora_rank=24,
        qk_nope_head_dim=16,
        qk_rope_head_dim=8,
        v_head_dim=12,
        first_k_dense_replace=2,
    )
    return transformers.DeepseekV2ForCausalLM(config)


@pytest.mark.parametrize("make", [llama, deepseek])
def test_logits_and_greedy_tokens(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import generate
    from layers import compile_model

    torch.manual_seed(0)
    theirs = make(transformers).eval()
    for parameter in theirs.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
        else:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    theirs.save_pretrained(tmp_path)

    lm = generate.load_model(tmp_path)
    artifact = compile_model(lm)
    assert set(artifact.inspect()["signature"]) == {"prefill", "decode"}
    artifact.save(tmp_path / "model.tsr")
    # Pages of 4 tokens, so that each sequence crosses several.
    cache = lm.new_cache(len(PROMPTS), 64, page_size=4)
    steps = generate.generate(tessera.load(tmp_path / "model.tsr"), cache, PROMPTS)
    ours = [next(steps) for _ in range(TOKENS)]
    for row, prompt in enumerate(PROMPTS):
        ids = list(prompt)
        for tokens, logits in ours:
            with torch.no_grad():
                want = theirs(torch.tensor([ids])).logits[0, -1].numpy()
            np.testing.assert_allclose(logits[row], want, rtol=0, atol=2e-5 * np.abs(want).max())
            assert tokens[row] == want.argmax()
            ids.append(int(tokens[row]))

    command = [sys.executable, EXAMPLES / "generate.py", tmp_path, "--tokens", str(TOKENS), "--target", "cpu"]
    command += ["--artifact", tmp_path / "model.tsr", "--prompt", ",".join(map(str, PROMPTS[1]))]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "2,3 -> " + ",".join(str(tokens[1]) for tokens, _ in ours) in result.stdout


def test_sampling_follows_the_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import generate

    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))

    class Entry:
        def __call__(self, ids: Any, cache: Any) -> Any:
            return logits, cache

    class Artifact:
        def entry(self, name: str) -> Entry:
            return Entry()

    class Cache:
        def extend(self, counts: Any) -> None: ...

    steps = generate.generate(Artifact(), Cache(), [[0]], temperature=1.0, seed=1)
    counts = np.bincount([next(steps)[0][0] for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(counts, [0.7, 0.2, 0.1], atol=0.03)
