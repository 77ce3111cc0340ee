# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is measured: each computation as Tessera, PyTorch, JAX and NumPy write it, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import tessera
import torch
from tessera import Tensor


@tessera.function
def rms_norm(x: Tensor["N", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["N", "D"]:
    rms = tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight


def torch_rms_norm(x, weight):
    y = x.float()
    return (y / torch.sqrt((y * y).mean(dim=-1, keepdim=True) + 1e-6) * weight.float()).to(x.dtype)


def jax_rms_norm(x, weight):
    y = x.astype(jnp.float32)
    rms = jnp.sqrt(jnp.mean(y * y, axis=-1, keepdims=True) + 1e-6)
    return (y / rms * weight.astype(jnp.float32)).astype(x.dtype)


def numpy_rms_norm(x, weight):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(1e-6)) * weight


@tessera.function
def softmax(x: Tensor["N", "D"]) -> Tensor["N", "D"]:
    e = tessera.exp(x - tessera.max(x, dim=-1, keepdim=True))
    return e / tessera.sum(e, dim=-1, keepdim=True)


def torch_softmax(x):
    return torch.softmax(x, dim=-1)


def jax_softmax(x):
    return jax.nn.softmax(x, axis=-1)


def numpy_softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


@tessera.function
def chain(x: Tensor["N", "D"], y: Tensor["N", "D"]) -> Tensor["N", "D"]:
    return tessera.maximum(tessera.exp(x * 0.5 + y), x) * y - 0.25


def chain_in(library: Any) -> Callable[..., Any]:
    """The same six operations; the three libraries name them alike."""

    def chain(x, y):
        return library.maximum(library.exp(x * 0.5 + y), x) * y - 0.25

    return chain


@tessera.function
def matmul(a: Tensor["M", "K"], b: Tensor["K", "N"]) -> Tensor["M", "N"]:
    return a @ b


@tessera.function
def attention(
    q: Tensor["B", "H", "S", "D"], k: Tensor["B", "H", "S", "D"], v: Tensor["B", "H", "S", "D"], is_causal: bool = False
) -> Tensor["B", "H", "S", "D"]:
    return tessera.flash_attention(q, k, v, is_causal=is_causal)


def jax_attention(is_causal, q, k, v):
    heads_inside = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))
    return jnp.swapaxes(jax.nn.dot_product_attention(*heads_inside, is_causal=is_causal), 1, 2)


def numpy_attention(is_causal, q, k, v):
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if is_causal:
        scores = np.where(np.tri(q.shape[2], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights @ v / weights.sum(-1, keepdims=True)


@dataclass(frozen=True)
class Case:
    """One computation on inputs of one shape and dtype.

    Attributes
    ----------
    ours, torch, jax, numpy
        The computation; NumPy's is None where it has no such dtype.
    inputs
        NumPy arrays; the first has the shape and dtype of the result.
    reference
        Computes the result in f64.
    static
        Our function's compile-time arguments.
    operations
        Floating-point operations where they bound the time; otherwise 0, and the bytes that must move do.
    """

    name: str
    ours: Any
    torch: Callable[..., Any]
    jax: Callable[..., Any]
    numpy: Callable[..., Any] | None
    inputs: Sequence[np.ndarray]
    reference: Callable[..., np.ndarray]
    operations: int = 0
    static: Mapping[str, Any] | None = None

    @property
    def moved(self) -> int:
        """Bytes of the inputs and the result."""
        return sum(array.nbytes for array in self.inputs) + self.inputs[0].nbytes

    @property
    def title(self) -> str:
        first = self.inputs[0]
        return f"{self.name} {first.dtype} {list(first.shape)}"


def make_cases(select: str = "") -> list[Case]:
    """Every case whose title contains ``select``."""
    rng = np.random.default_rng(0)

    def random(*shape: int, dtype: Any = np.float32) -> np.ndarray:
        return rng.standard_normal(shape, np.float32).astype(dtype)

    cases = []
    for dtype in (np.float32, ml_dtypes.bfloat16):
        for rows, columns in ((64, 512), (512, 4096), (8192, 1024)):
            x, weight = random(rows, columns, dtype=dtype), random(columns, dtype=dtype)
            in_numpy = numpy_rms_norm if dtype == np.float32 else None
            cases.append(
                Case("rms_norm", rms_norm, torch_rms_norm, jax_rms_norm, in_numpy, (x, weight), numpy_rms_norm)
            )
    for rows, columns in ((64, 512), (512, 4096), (8192, 1024)):
        x, y = random(rows, columns), random(rows, columns)
        cases.append(Case("softmax", softmax, torch_softmax, jax_softmax, numpy_softmax, (x,), numpy_softmax))
        cases.append(Case("chain", chain, chain_in(torch), chain_in(jnp), chain_in(np), (x, y), chain_in(np)))
    for size in (256, 1024):
        a, b = random(size, size), random(size, size)
        cases.append(
            Case("matmul", matmul, torch.matmul, jnp.matmul, np.matmul, (a, b), np.matmul, operations=2 * size**3)
        )
    for depth in (64, 128):
        qkv = [random(1, 8, 2048, depth) for _ in range(3)]
        for is_causal in (False, True):
            cases.append(
                Case(
                    "causal attention" if is_causal else "attention",
                    attention,
                    partial(torch.nn.functional.scaled_dot_product_attention, is_causal=is_causal),
                    partial(jax_attention, is_causal),
                    partial(numpy_attention, is_causal),
                    qkv,
                    partial(numpy_attention, is_causal),
                    4 * 8 * 2048**2 * depth // (2 if is_causal else 1),
                    {"is_causal": is_causal},
                )
            )
    return [case for case in cases if select in case.title]
