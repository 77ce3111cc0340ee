# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined,type-arg,valid-type,misc"
"""Layers with parameters."""

import math
from typing import Any

from tessera import ops
from tessera.dtypes import f32
from tessera.frontend.tensor import Tensor
from tessera.nn import functional
from tessera.nn.module import Module
from tessera.nn.parameter import Parameter


class Linear(Module):
    """x @ weight + bias.

    Parameters
    ----------
    in_features, out_features
        Sizes; ``weight`` is ``[in_features, out_features]``, initialised uniformly within ±1/√in_features.
    bias
        Whether to add one.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = f32) -> None:
        bound = 1 / math.sqrt(max(in_features, 1))
        self.weight = Parameter(_uniform((in_features, out_features), bound, dtype))
        self.bias = Parameter(_uniform((out_features,), bound, dtype)) if bias else None

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        return functional.linear(x, self.weight, self.bias)


class RMSNorm(Module):
    """Root mean square normalisation over the last dimension; see ``tessera.nn.rms_norm``."""

    def __init__(self, dim: int, eps: float = 1e-6, dtype: Any = f32) -> None:
        self.eps = eps
        self.weight = Parameter(ops.ones(dim, dtype=dtype))

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        return functional.rms_norm(x, self.weight, self.eps)


def _uniform(shape: tuple[int, ...], bound: float, dtype: Any) -> Tensor:
    numbers: Tensor = ops.rand(*shape)
    return ((numbers * 2.0 - 1.0) * bound).cast(dtype)
