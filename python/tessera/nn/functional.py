# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Neural-network functions, composed of the operations in ``tessera.ops``."""

from __future__ import annotations

import math
from typing import Any, Literal

from tessera import dtypes, ops
from tessera.frontend.mesh import Axes
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import active_scope, lift
from tessera.ops._dispatch import operation


@operation
def swish(x: Any, beta: Any = 1.0) -> Tensor:
    """X · sigmoid(beta · x)."""
    z: Tensor = lift(x)
    return z * ops.sigmoid(z if isinstance(beta, (int, float)) and beta == 1 else z * beta)


silu = swish


@operation
def relu(x: Any) -> Tensor:
    """max(x, 0)."""
    return ops.maximum(x, 0)


@operation
def gelu(x: Any, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """X · Φ(x), with Φ the normal distribution function; or its approximation by tanh.

    Hendrycks and Gimpel: Gaussian error linear units, 2016.
    """
    z: Tensor = lift(x)
    if approximate == "none":
        return 0.5 * z * (1.0 + ops.erf(z * math.sqrt(0.5)))
    if approximate != "tanh":
        raise diagnostic("TSR1504", f"gelu: expected approximate to be 'none' or 'tanh', got {approximate!r}")
    return 0.5 * z * (1.0 + ops.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


@operation
def softmax(x: Any, dim: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, shifted by the maximum so that nothing overflows."""
    shifted = ops.exp(lift(x) - ops.max(x, dim, keepdim=True))
    return shifted / ops.sum(shifted, dim, keepdim=True)


@operation
def log_softmax(x: Any, dim: int = -1) -> Tensor:
    """log(softmax(x)) along ``dim``, without taking the logarithm of a small number."""
    shifted = lift(x) - ops.max(x, dim, keepdim=True)
    return shifted - ops.log(ops.sum(ops.exp(shifted), dim, keepdim=True))


@operation
def rms_norm(x: Any, weight: Any = None, eps: float = 1e-6) -> Tensor:
    """X / sqrt(mean(x²) + eps) · weight over the last dimension, computed in f32; the result has x's dtype.

    Zhang and Sennrich: Root mean square layer normalization, 2019.
    """
    x = lift(x)
    normalized = x / ops.sqrt(ops.mean(x**2, dim=-1, keepdim=True) + eps)
    return _like(normalized if weight is None else normalized * weight, x)


@operation
def stable_rms_norm(x: Any, weight: Any = None, eps: float = 1e-6) -> Tensor:
    """`rms_norm` for any finite x: where squares would overflow or vanish in f32, they are taken in f64.

    x of f64 is divided by the largest absolute value of its row first.
    """
    x = lift(x)
    if x.dtype == dtypes.f64:
        largest = ops.max(ops.abs(x), dim=-1, keepdim=True)
        largest = ops.where(largest == 0, 1.0, largest)
        scaled = x / largest
        root = ops.sqrt(ops.mean(scaled**2, dim=-1, keepdim=True) + (math.sqrt(eps) / largest) ** 2)
        normalized = scaled / root
    else:
        wide = x.cast(dtypes.f64)
        root = ops.sqrt(ops.mean(wide**2, dim=-1, keepdim=True) + eps)
        normalized = (wide / root).cast(dtypes.f32)
    return _like(normalized if weight is None else normalized * weight, x)


@operation
def distributed_rms_norm(x: Any, weight: Any, axis: Axes = "model", eps: float = 1e-6) -> Tensor:
    """`rms_norm` on a mesh, of a tensor whose last dimension is cut: ranks exchange one number a row.

    Parameters
    ----------
    x
        This rank's part, ``[..., D / n]`` for n ranks. Ranks with parts of different sizes are refused at the call.
    weight
        This rank's part ``[D / n]``, or all of it, ``[D]``; None for no weight.
    axis
        The mesh axis, or axes, that cut D.
    eps
        Added to the mean of squares of the whole row.

    Returns
    -------
    Tensor
        This rank's part, in x's dtype: computed in f32, over the ranks as well, and rounded once.

    Raises
    ------
    MeshError
        Outside a function on a mesh, or if the mesh has no such axis.
    ShapeError
        If the weight is neither.
    """
    x = lift(x)
    squares = ops.mesh_reduce(ops.mean(x**2, dim=-1, keepdim=True), axis, op="mean")
    normalized = x / ops.sqrt(squares + eps)
    if weight is None:
        return _like(normalized, x)
    part, whole = x.shape[-1], x.shape[-1] * ops.axis_size(axis)
    scale, proven_equal = lift(weight), active_scope().proven_equal
    if proven_equal(scale.shape[-1], whole) and not proven_equal(whole, part):
        scale = lift(ops.mesh_slice(scale, axis, dim=-1))
    return _like(normalized * scale, x)


@operation
def dropout(x: Any, p: float = 0.5, seed: Any = None, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and divide the others by ``1 - p``; x itself unless ``training``.

    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: Dropout, 2014. The same seed, an int or an integer tensor
    of rank 0, drops the same elements on every target.
    """
    tensor = lift(x)
    if not 0 <= p < 1:
        raise diagnostic("TSR1504", f"dropout: expected a probability of 0 or more and below 1, got {p}")
    if not training or p == 0:
        return tensor
    kept = ops.rand(*tensor.shape, seed=seed) >= p
    return _like(ops.where(kept, tensor * (1 / (1 - p)), 0.0), tensor)


@operation
def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """(x - mean(x)) / sqrt(var(x) + eps) · weight + bias over the last dimension; the result has x's dtype.

    Ba, Kiros and Hinton: Layer normalization, 2016.
    """
    x = lift(x)
    centered = x - ops.mean(x, dim=-1, keepdim=True)
    normalized: Any = centered / ops.sqrt(ops.mean(centered**2, dim=-1, keepdim=True) + eps)
    if weight is not None:
        normalized = normalized * weight
    return _like(normalized if bias is None else normalized + bias, x)


def _like(result: Tensor, x: Tensor) -> Tensor:
    """The result in x's dtype; wider weights don't widen it."""
    return result if result.dtype == x.dtype or not x.dtype.is_float else result.cast(x.dtype)


@operation
def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """X @ weight + bias, with ``weight`` as ``[in, out]``."""
    product = ops.matmul(x, weight)
    return product if bias is None else product + bias


@operation
def cross_entropy(logits: Any, targets: Any) -> Tensor:
    """The mean of -log_softmax(logits) at ``targets``: logits ``[..., C]``, integer targets ``[...]``."""
    picked = ops.gather(log_softmax(logits), ops.unsqueeze(targets, -1), -1)
    return -ops.mean(picked)
