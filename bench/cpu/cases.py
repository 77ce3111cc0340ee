# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is measured: each computation as Tessera, PyTorch, JAX and NumPy write it, on the same inputs."""

from __future__ import annotations

import math
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
def rotate(x: Tensor["B", "H", "S", 64], cosine: Tensor["S", 64], sine: Tensor["S", 64]) -> Tensor["B", "H", "S", 64]:
    return x * cosine + tessera.concat([-x[..., 32:], x[..., :32]], -1) * sine


def rotate_in(library: Any) -> Callable[..., Any]:
    """Rotary embedding of given tables."""

    def rotate(x, cosine, sine):
        return x * cosine + library.concatenate([-x[..., 32:], x[..., :32]], -1) * sine

    return rotate


@tessera.function
def matmul(a: Tensor["M", "K"], b: Tensor["K", "N"]) -> Tensor["M", "N"]:
    return a @ b


@tessera.function
def linear(x: Tensor["M", "K"], weight: Tensor["N", "K"]) -> Tensor["M", "N"]:
    return x @ weight.T


def linear_in(x, weight):
    return x @ weight.T


@tessera.function
def attention(
    q: Tensor["B", "H", "S", "D"], k: Tensor["B", "H", "S", "D"], v: Tensor["B", "H", "S", "D"], is_causal: bool = False
) -> Tensor["B", "H", "S", "D"]:
    return tessera.flash_attention(q, k, v, is_causal=is_causal)


@tessera.function
def decode_attention(
    q: Tensor["B", "H", 1, "D"], k: Tensor["B", "G", "S", "D"], v: Tensor["B", "G", "S", "D"]
) -> Tensor["B", "H", 1, "D"]:
    return tessera.flash_attention(q, k, v)


def jax_attention(is_causal, q, k, v):
    heads_inside = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))
    return jnp.swapaxes(jax.nn.dot_product_attention(*heads_inside, is_causal=is_causal), 1, 2)


def numpy_attention(is_causal, q, k, v):
    groups = q.shape[1] // k.shape[1]
    k, v = (np.repeat(x, groups, axis=1) for x in (k, v))
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
        NumPy arrays; the first has the dtype of the result.
    reference
        Computes the result in f64.
    static
        Our function's compile-time arguments.
    operations
        Floating-point operations where they bound the time; otherwise 0, and the bytes that must move do.
    result
        The result's shape where it is not that of the first input.
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
    result: tuple[int, ...] | None = None

    @property
    def result_shape(self) -> tuple[int, ...]:
        return self.result or self.inputs[0].shape

    @property
    def moved(self) -> int:
        """Bytes of the inputs and the result."""
        return sum(array.nbytes for array in self.inputs) + math.prod(self.result_shape) * self.inputs[0].itemsize

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
    for dtype in (np.float32, ml_dtypes.bfloat16):
        for heads, length in ((32, 16), (8, 2048)):
            shapes = ((1, heads, length, 64), (length, 64), (length, 64))
            inputs = [random(*shape, dtype=dtype) for shape in shapes]
            in_numpy = rotate_in(np) if dtype == np.float32 else None
            case = Case("rotate", rotate, rotate_in(torch), rotate_in(jnp), in_numpy, inputs, rotate_in(np))
            cases.append(case)
    cases += [*product_cases(random), *attention_cases(random)]
    return [case for case in cases if select in case.title]


def product_cases(random: Callable[..., np.ndarray]) -> list[Case]:
    """Products that compute, and those of few rows, which read their weights once: stored either way."""
    cases = []
    for dtype, sizes in ((np.float32, (256, 1024)), (ml_dtypes.bfloat16, (1024,))):
        for size in sizes:
            a, b = random(size, size, dtype=dtype), random(size, size, dtype=dtype)
            in_numpy = np.matmul if dtype == np.float32 else None
            cases.append(
                Case("matmul", matmul, torch.matmul, jnp.matmul, in_numpy, (a, b), np.matmul, operations=2 * size**3)
            )
    for depth, columns in ((768, 2048), (2048, 768), (768, 32000)):
        for rows in (1, 16):
            x, weight = (random(*shape, dtype=ml_dtypes.bfloat16) for shape in ((rows, depth), (depth, columns)))
            rows_of_weights = np.ascontiguousarray(weight.T)
            result = (rows, columns)
            cases.append(
                Case(
                    f"matmul to {columns}",
                    matmul,
                    torch.matmul,
                    jnp.matmul,
                    None,
                    (x, weight),
                    np.matmul,
                    result=result,
                )
            )
            cases.append(
                Case(
                    f"linear to {columns}",
                    linear,
                    linear_in,
                    linear_in,
                    None,
                    (x, rows_of_weights),
                    linear_in,
                    result=result,
                )
            )
    return cases


def attention_cases(random: Callable[..., np.ndarray]) -> list[Case]:
    """Attention of a sequence to itself, and of one query to many keys, which several heads share."""
    cases = []
    scaled_dot_product = torch.nn.functional.scaled_dot_product_attention
    for dtype in (np.float32, ml_dtypes.bfloat16):
        is_narrow = dtype != np.float32
        for depth in (64, 128):
            qkv = [random(1, 8, 2048, depth, dtype=dtype) for _ in range(3)]
            for is_causal in (False, True):
                reference = partial(numpy_attention, is_causal)
                cases.append(
                    Case(
                        "causal attention" if is_causal else "attention",
                        attention,
                        partial(scaled_dot_product, is_causal=is_causal),
                        partial(jax_attention, is_causal),
                        None if is_narrow else reference,
                        qkv,
                        reference,
                        4 * 8 * 2048**2 * depth // (2 if is_causal else 1),
                        {"is_causal": is_causal},
                    )
                )
        q = random(1, 32, 1, 128, dtype=dtype)
        k, v = (random(1, 8, 4096, 128, dtype=dtype) for _ in range(2))
        cases.append(
            Case(
                "4096 keys, attention",
                decode_attention,
                partial(scaled_dot_product, enable_gqa=True),
                partial(jax_attention, False),
                None if is_narrow else partial(numpy_attention, False),
                (q, k, v),
                partial(numpy_attention, False),
            )
        )
    return cases
