# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Neural-network functions, layers and modules."""

from tessera.nn.functional import (
    cross_entropy,
    gelu,
    layer_norm,
    linear,
    log_softmax,
    relu,
    rms_norm,
    silu,
    softmax,
    swish,
)
from tessera.nn.layers import Linear, RMSNorm
from tessera.nn.module import Module, module
from tessera.nn.parameter import Parameter

__all__ = [
    "Linear",
    "Module",
    "Parameter",
    "RMSNorm",
    "cross_entropy",
    "gelu",
    "layer_norm",
    "linear",
    "log_softmax",
    "module",
    "relu",
    "rms_norm",
    "silu",
    "softmax",
    "swish",
]
