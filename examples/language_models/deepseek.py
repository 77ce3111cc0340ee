# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A decoder in the style of DeepSeek-V2: multi-head latent attention, whose cache holds one small vector a token."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from layers import CausalLM, Decoder, DecoderLayer
from tessera import nn
from tessera.weights import read_weights

#: Hugging Face's names for what ``nn.MultiLatentAttention`` calls otherwise, and has transposed.
_NAMES = {
    "q_proj.weight": "q_proj.weight",
    "q_a_proj.weight": "q_down.weight",
    "q_a_layernorm.weight": "q_norm.weight",
    "q_b_proj.weight": "q_up.weight",
    "kv_a_proj_with_mqa.weight": "kv_down.weight",
    "kv_a_layernorm.weight": "kv_norm.weight",
    "o_proj.weight": "o_proj.weight",
}


def from_config(config: Mapping[str, Any], dtype: Any) -> CausalLM:
    """The model that a ``config.json`` of Hugging Face's DeepseekV2ForCausalLM describes, with weights of 0.

    Raises
    ------
    ValueError
        If it asks for something that is not here: mixtures of experts, scaled positions, biases.
    """
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    count = config["num_hidden_layers"]
    if config.get("first_k_dense_replace", 0) < count and config.get("n_routed_experts"):
        raise ValueError("expected dense layers (first_k_dense_replace = num_hidden_layers), got a mixture of experts")
    if rope.get("rope_type", "default") != "default" or config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError(f"expected plain positions and no biases, got {rope} and {config.get('attention_bias')}")
    features, heads, eps = config["hidden_size"], config["num_attention_heads"], config["rms_norm_eps"]
    latent, rotated = config["kv_lora_rank"], config["qk_rope_head_dim"]
    layers: list[nn.Module] = [
        DecoderLayer(
            nn.MultiLatentAttention(
                features,
                latent,
                heads,
                heads,
                config["qk_nope_head_dim"],
                rotated,
                config.get("q_lora_rank"),
                config["max_position_embeddings"],
                value_dim=config["v_head_dim"],
                rope_base=rope.get("rope_theta") or config.get("rope_theta", 10000.0),
                interleaved=True,
                dtype=dtype,
            ),
            features,
            config["intermediate_size"],
            eps,
            dtype,
        )
        for _ in range(count)
    ]
    decoder = Decoder(config["vocab_size"], features, layers, eps, dtype)
    is_tied = config.get("tie_word_embeddings", False)
    return CausalLM(decoder, config["vocab_size"], features, is_tied, latent + rotated, dtype)


def load_weights(lm: CausalLM, paths: Sequence[Path]) -> None:
    """Take a checkpoint's weights; those of the attention are laid out anew."""
    own = dict(lm.named_parameters())
    state: dict[str, Any] = {}
    for name, array in read_weights(paths).items():
        prefix, found, rest = name.partition("self_attn.")
        if not found:
            if name in own:
                state[name] = array
        elif rest in _NAMES:
            state[prefix + found + _NAMES[rest]] = np.ascontiguousarray(array.T)
        elif rest == "kv_b_proj.weight":
            k_up, v_up = prefix + found + "k_up", prefix + found + "v_up"
            heads, depth, latent = own[k_up].shape
            by_head = array.reshape(heads, -1, latent)
            state[k_up] = np.ascontiguousarray(by_head[:, :depth])
            state[v_up] = np.ascontiguousarray(np.swapaxes(by_head[:, depth:], 1, 2))
    lm.load_state_dict(state)
