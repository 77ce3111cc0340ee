# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights of 8 bits: how they are made, and products with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tessera import dtypes
from tessera.array import to_numpy
from tessera.dtypes import as_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Traced, active_scope, broadcast_shapes, emit, format_shape, lift
from tessera.nn.functional import swish
from tessera.nn.module import Module
from tessera.ops._dispatch import operation

_LARGEST = {"int8": 127.0, "fp8_e4m3": 448.0, "fp8_e5m2": 57344.0}
SCALES = ("input", "gate_weight", "up_weight", "hidden", "down_weight")


def quantize(values: Any, dtype: Any = dtypes.fp8_e4m3, per_channel: bool = True) -> Any:
    """Weights in 8 bits, and the scales that undo it: ``values ≈ quantized * scale``.

    The largest absolute value becomes the largest number of the dtype; int8 is used from -127 to 127.

    Parameters
    ----------
    values
        An array ``[..., K, N]``; or a module, each of whose parameters of rank 2 and of floats is taken.
    dtype
        int8, fp8_e4m3 or fp8_e5m2.
    per_channel
        Whether each of the N output channels has a scale of its own, or the whole array has one.

    Returns
    -------
    quantized, scale
        Of this dtype; and in f32, ``[N]`` or of rank 0. For a module, a dict of such pairs by the parameters' paths.

    Raises
    ------
    DTypeError
        If the dtype has not 8 bits.
    """
    chosen = as_dtype(dtype)
    if chosen.itemsize != 1 or chosen.is_bool:
        raise diagnostic("TSR1301", f"quantize: expected int8, fp8_e4m3 or fp8_e5m2, got {chosen.name}")
    if isinstance(values, Module):
        return {
            path: quantize(parameter, chosen, per_channel)
            for path, parameter in values.named_parameters()
            if len(parameter.shape) == 2 and parameter.dtype.is_float
        }
    wide = np.asarray(to_numpy(values), np.float32)
    top = _LARGEST[chosen.name]
    reduced = tuple(range(wide.ndim - 1)) if per_channel else None
    scale = np.asarray(np.abs(wide).max(axis=reduced, initial=0) / top, np.float32)
    scaled = wide / np.where(scale == 0, 1, scale)
    whole = np.rint(scaled) if chosen.is_int else scaled
    return np.clip(whole, -top, top).astype(chosen.numpy), scale


@operation
def swiglu_quantized(x: Any, W_gate: Any, W_up: Any, W_down: Any, scales: Mapping[str, Any] | None = None) -> Tensor:
    """(swish(x @ W_gate) · (x @ W_up)) @ W_down with weights of 8 bits.

    Products accumulate in f32, and no weight is held in another dtype than its own.

    Parameters
    ----------
    x
        ``[..., D]``: bf16 (or another wider float), or fp8_e4m3, which stands for ``x * input``.
    W_gate, W_up, W_down
        ``[D, F]``, ``[D, F]`` and ``[F, D]`` of int8 or fp8_e4m3; see ``quantize``.
    scales
        ``gate_weight``, ``up_weight``, ``down_weight``: numbers, or one for each output channel. ``input``: a number,
        for x of fp8. ``hidden``: a number; the hidden activations are divided by it and rounded to fp8_e4m3, beyond
        whose range they saturate. Without it they are rounded to the result's dtype. Each is 1 if missing.

    Returns
    -------
    Tensor
        ``[..., D]`` in x's dtype; bf16 for x of fp8.

    Raises
    ------
    DTypeError, ShapeError
        When dtypes or sizes do not fit.
    ArgumentError
        When a scale has an unknown name.
    """
    scales = dict(scales or {})
    unknown = [name for name in scales if name not in SCALES]
    if unknown:
        raise diagnostic(
            "TSR1504", f"swiglu_quantized: expected scales of {', '.join(SCALES)}, got '{', '.join(unknown)}'"
        )
    x = lift(x)
    if not x.dtype.is_float:
        raise diagnostic("TSR1301", f"swiglu_quantized: expected x of floats, got {x.dtype.name}")
    is_fp8 = x.dtype.itemsize == 1
    result = dtypes.bf16 if is_fp8 else x.dtype
    before = scales.get("input", 1.0) if is_fp8 else 1.0

    gate: Any = _product(x, W_gate, "W_gate") * (_number(scales, "gate_weight") * before)
    up = _product(x, W_up, "W_up") * (_number(scales, "up_weight") * before)
    hidden: Any = swish(gate) * up
    after: Any = _number(scales, "down_weight")
    if "hidden" in scales:
        hidden = (hidden / _number(scales, "hidden")).cast(dtypes.fp8_e4m3)
        after = after * _number(scales, "hidden")
    else:
        hidden = hidden.cast(result)
    down: Tensor = _product(lift(hidden), W_down, "W_down") * after
    return down.cast(result)


def _number(scales: Mapping[str, Any], name: str) -> Any:
    value = scales.get(name, 1.0)
    return value if isinstance(value, Tensor) else np.asarray(value, np.float32)


def _product(x: Traced, weight: Any, name: str) -> Traced:
    """The product in f32, each operand read as it is stored."""
    weight = lift(weight)
    if weight.dtype.itemsize != 1 or weight.dtype.is_bool:
        raise diagnostic(
            "TSR1301",
            f"swiglu_quantized: expected {name} of int8 or fp8, got {weight.dtype.name}",
            help="tessera.quantize makes such weights and their scales",
        )
    if weight.ndim != 2 or x.ndim < 2:
        raise diagnostic(
            "TSR1107",
            f"swiglu_quantized: expected x of rank 2 or more and {name} of rank 2, got {format_shape(x.shape)} and "
            f"{format_shape(weight.shape)}",
        )
    where = f"swiglu_quantized: {format_shape(x.shape)} @ {name} {format_shape(weight.shape)}"
    active_scope().require_equal(x.shape[-1], weight.shape[0], where)
    shape = (*broadcast_shapes(where, x.shape[:-2]), x.shape[-2], weight.shape[1])
    return emit("matmul", [x, weight], shape, dtypes.f32)


__all__ = ["quantize", "swiglu_quantized"]
