# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Neural-network functions, layers and modules."""

from tessera.nn import parallel
from tessera.nn.cache import PagedCache, PagedKVCache
from tessera.nn.functional import (
    cross_entropy,
    distributed_rms_norm,
    dropout,
    gelu,
    layer_norm,
    linear,
    log_softmax,
    relu,
    rms_norm,
    silu,
    softmax,
    stable_rms_norm,
    swish,
)
from tessera.nn.latent import MultiLatentAttention
from tessera.nn.layers import (
    CastedEmbedding,
    Embedding,
    LayerNorm,
    Linear,
    ModuleList,
    RMSNorm,
    RotaryEmbedding,
    Sequential,
)
from tessera.nn.module import Module, module
from tessera.nn.parameter import Parameter
from tessera.nn.positional import alibi, dynamic_rope, rotary_embedding
from tessera.nn.quantized import quantize, swiglu_quantized

__all__ = [
    "CastedEmbedding",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleList",
    "MultiLatentAttention",
    "PagedCache",
    "PagedKVCache",
    "Parameter",
    "RMSNorm",
    "RotaryEmbedding",
    "Sequential",
    "alibi",
    "cross_entropy",
    "distributed_rms_norm",
    "dropout",
    "dynamic_rope",
    "gelu",
    "layer_norm",
    "linear",
    "log_softmax",
    "module",
    "parallel",
    "quantize",
    "relu",
    "rms_norm",
    "rotary_embedding",
    "silu",
    "softmax",
    "stable_rms_norm",
    "swiglu_quantized",
    "swish",
]
