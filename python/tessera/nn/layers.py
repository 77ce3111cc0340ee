# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined,type-arg,valid-type,misc"
"""Layers with parameters."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tessera import ops
from tessera.dtypes import as_dtype, bf16, f32, fp8_e4m3, int64
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import active_scope
from tessera.nn import functional, positional
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
        self.weight = Parameter(uniform((in_features, out_features), bound, dtype))
        self.bias = Parameter(uniform((out_features,), bound, dtype)) if bias else None

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        return functional.linear(x, self.weight, self.bias)


class RMSNorm(Module):
    """Root mean square normalisation over the last dimension; see ``tessera.nn.rms_norm``."""

    def __init__(self, dim: int, eps: float = 1e-6, dtype: Any = f32) -> None:
        self.eps = eps
        self.weight = Parameter(ops.ones(dim, dtype=dtype))

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        return functional.rms_norm(x, self.weight, self.eps)


class LayerNorm(Module):
    """Normalisation to mean 0 and variance 1 over the last dimension; see ``tessera.nn.layer_norm``."""

    def __init__(self, dim: int, eps: float = 1e-5, bias: bool = True, dtype: Any = f32) -> None:
        self.eps = eps
        self.weight = Parameter(ops.ones(dim, dtype=dtype))
        self.bias = Parameter(ops.zeros(dim, dtype=dtype)) if bias else None

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        return functional.layer_norm(x, self.weight, self.bias, self.eps)


class Embedding(Module):
    """Rows of a table ``[vocab_size, embedding_dim]``, also for learned positions.

    ``forward(ids)`` takes integers of any shape. An id out of range is an error on the CPU, raised before anything is
    written.
    """

    def __init__(self, vocab_size: int, embedding_dim: int, dtype: Any = f32) -> None:
        self.weight = Parameter(ops.randn(vocab_size, embedding_dim, dtype=dtype))

    def forward(self, ids: Tensor["...", int64]) -> Tensor["...", "?"]:
        return ops.take(self.weight, ids, 0)


class CastedEmbedding(Module):
    """An embedding whose table is stored in one dtype and read in another.

    Rows are gathered as they are stored, then cast and scaled: the table is never held in the compute dtype.

    Parameters
    ----------
    vocab_size, embedding_dim
        The table's sizes.
    storage_dtype
        What the table is stored in: a float dtype or int8.
    compute_dtype
        What ``forward`` returns.
    quantize_scale
        What stored values are multiplied by, in f32: a number for the table, or one for each row.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        storage_dtype: Any = fp8_e4m3,
        compute_dtype: Any = bf16,
        quantize_scale: Any = 1.0,
    ) -> None:
        storage = as_dtype(storage_dtype)
        self.compute_dtype = as_dtype(compute_dtype)
        numbers: Tensor = ops.randn(vocab_size, embedding_dim)
        self.embeddings = Parameter((numbers * 32 if storage.is_int else numbers).cast(storage))
        self.quantize_scale = Parameter(np.asarray(quantize_scale, np.float32))
        if self.quantize_scale.shape not in ((), (vocab_size,)):
            raise diagnostic(
                "TSR1105",
                f"CastedEmbedding: expected a scale, or one for each of the {vocab_size} rows, "
                f"got shape {list(self.quantize_scale.shape)}",
            )

    def forward(self, ids: Tensor["B", "S", int64]) -> Tensor["B", "S", "?"]:
        rows: Tensor = ops.take(self.embeddings, ids, 0).cast(f32)
        scale: Tensor = self.quantize_scale
        if scale.shape:
            scale = ops.unsqueeze(ops.take(scale, ids, 0), -1)
        return (rows * scale).cast(self.compute_dtype)


class RotaryEmbedding(Module):
    """Rotary embedding of ``[B, S, H, dim]``; see ``tessera.nn.rotary_embedding``."""

    def __init__(self, dim: int, max_seq_len: int = 2048, base: float = 10000.0, interleaved: bool = False) -> None:
        self.dim, self.max_seq_len, self.base, self.interleaved = dim, max_seq_len, base, interleaved

    def forward(self, x: Tensor["B", "S", "H", "?"], position_ids: Tensor["B", "S", int64] | None = None) -> Any:
        active_scope().require_equal(x.shape[3], self.dim, "RotaryEmbedding: features")
        x = ops.reshape(x, (*x.shape[:3], self.dim))
        return positional.rotary_embedding(x, position_ids, self.base, interleaved=self.interleaved)


class ModuleList(Module):
    """Modules by number, whose parameters are named ``0.weight``, ``1.weight``, ..."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for number, member in enumerate(modules):
            setattr(self, str(number), member)

    def append(self, member: Module) -> "ModuleList":
        """Add a module at the end."""
        setattr(self, str(len(self)), member)
        return self

    def __len__(self) -> int:
        return sum(1 for name in vars(self) if name.isdigit())

    def __getitem__(self, number: int) -> Any:
        if not -len(self) <= number < len(self):
            raise IndexError(f"no module {number} among {len(self)}")
        return getattr(self, str(number % len(self)))

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))


class Sequential(ModuleList):
    """Modules that each take the result of the one before."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Tensor["...", "?"]) -> Tensor["...", "?"]:
        for member in self:
            x = member(x)
        return x


def uniform(shape: tuple[int, ...], bound: float, dtype: Any) -> np.ndarray[Any, Any]:
    """Random numbers within ±bound."""
    numbers = np.asarray(ops.rand(*shape))
    return ((numbers * 2 - 1) * np.float32(bound)).astype(as_dtype(dtype).numpy)
