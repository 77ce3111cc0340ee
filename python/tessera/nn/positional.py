# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Positions: rotary embeddings and linear biases."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np

from tessera import dtypes, ops
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Traced, active_scope, format_shape, lift
from tessera.ops._dispatch import operation


@operation
def rotary_embedding(
    x: Any, position_ids: Any = None, base: float = 10000.0, scaling_factor: float = 1.0, interleaved: bool = False
) -> Tensor:
    """Rotate each pair of features by an angle that grows with the position.

    Su, Lu, Pan, Wen, Liu: RoFormer, 2021. Angles, sines and cosines are f32; the result has x's dtype.

    Parameters
    ----------
    x
        ``[B, S, H, D]`` with D static and even.
    position_ids
        Integers ``[B, S]`` (or ``[S]``); 0, 1, 2, ... if None.
    base
        Pair ``i`` turns by ``position · base^(-2i/D)``.
    scaling_factor
        Positions are divided by it (S. Chen et al.: Extending context window by positional interpolation, 2023).
    interleaved
        Whether the pairs are neighbours; otherwise pair ``i`` is features ``i`` and ``i + D/2``.

    Raises
    ------
    ShapeError
        When x has another rank, D is odd or unknown, or position_ids do not fit.
    """
    x = lift(x)
    depth = _depth(x, "rotary_embedding")
    frequencies = _frequencies(depth, base, scaling_factor)
    return _rotate(x, _positions(x, position_ids, "rotary_embedding"), frequencies, interleaved)


@operation
def dynamic_rope(
    x: Any,
    position_ids: Any = None,
    base: float = 10000.0,
    max_position: int = 2048,
    scaling_type: Literal["ntk", "linear", "yarn"] = "ntk",
) -> Tensor:
    """Rotary embedding whose angles shrink once positions pass ``max_position``.

    The length L is the largest position + 1, found where the function runs, so that one artifact serves every length.
    Up to ``max_position`` the result is ``rotary_embedding``'s.

    Parameters
    ----------
    x, position_ids, base
        As for ``rotary_embedding``; pairs are features ``i`` and ``i + D/2``.
    max_position
        The length that a model was trained for.
    scaling_type
        ``"ntk"`` raises the base to ``base · (L / max_position)^(D / (D - 2))`` (bloc97, NTK-aware scaled RoPE, 2023).
        ``"linear"`` multiplies positions by ``max_position / L``. ``"yarn"`` does so for slow pairs only, by a ramp
        between those that turn 32 times and once within ``max_position``, and multiplies sines and cosines by
        ``0.1 ln(L / max_position) + 1`` (Peng, Quesnelle, Fan, Shippole: YaRN, 2023).

    Raises
    ------
    ShapeError
        As ``rotary_embedding``; for ``"ntk"`` also when D is 2.
    """
    x = lift(x)
    depth = _depth(x, "dynamic_rope")
    positions = _positions(x, position_ids, "dynamic_rope")
    # 1 up to max_position, and where there are no positions.
    stretch = ops.maximum((ops.max(positions) + 1).cast(dtypes.f32) / max_position, 1.0)
    exponents = np.arange(0, depth, 2, dtype=np.float64) / depth
    frequencies = _frequencies(depth, base)
    if scaling_type == "linear":
        return _rotate(x, positions, frequencies / stretch)
    if scaling_type == "ntk":
        if depth == 2:
            raise diagnostic("TSR1504", "dynamic_rope: expected more than 2 features for scaling_type 'ntk', got 2")
        # (base · stretch^(D / (D - 2)))^(-2i/D)
        growth = (exponents * depth / (depth - 2)).astype(np.float32)
        return _rotate(x, positions, frequencies * ops.exp(-growth * ops.log(stretch)))
    if scaling_type != "yarn":
        raise diagnostic(
            "TSR1504", f"dynamic_rope: expected scaling_type 'ntk', 'linear' or 'yarn', got {scaling_type!r}"
        )

    def pair_that_turns(times: float) -> float:
        return depth * math.log(max_position / (times * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(pair_that_turns(32)), 0), min(math.ceil(pair_that_turns(1)), depth - 1)
    ramp = np.clip((np.arange(depth // 2) - low) / max(high - low, 0.001), 0, 1).astype(np.float32)
    scaled = frequencies * (1 - ramp) + (frequencies * ramp) / stretch
    return _rotate(x, positions, scaled, magnitude=0.1 * ops.log(stretch) + 1.0)


@operation
def alibi(heads: int, queries: Any, keys: Any) -> Tensor:
    """Attention with linear biases: a mask ``[heads, queries, keys]`` of -slope · distance for ``flash_attention``.

    Press, Smith, Lewis: Train short, test long, 2022. Head ``h`` of ``n``, a power of two, has the slope 2^(-8(h+1)/n);
    for other counts, those of the power of two below come first and then every second one of the power above. Query
    ``i`` stands at key ``i + keys - queries``.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (h + 1) / power) for h in range(power)]
    slopes += [2 ** (-4 * (2 * h + 1) / power) for h in range(heads - power)]
    position = ops.arange(queries).cast(dtypes.f32) + _as_number(keys - queries)
    distance = ops.abs(ops.arange(keys).cast(dtypes.f32) - ops.unsqueeze(position, -1))
    return -distance * np.asarray(slopes, np.float32)[:, None, None]


@functools.cache
def _frequencies(depth: int, base: float, scaling_factor: float = 1.0) -> np.ndarray[Any, Any]:
    """One array for all calls: equal tables of sines and cosines are then one, whatever layer they are for."""
    exponents = np.arange(0, depth, 2, dtype=np.float64) / depth
    return np.asarray(base**-exponents / scaling_factor, np.float32)


def _as_number(size: Any) -> Any:
    return lift(size, dtypes.f32)


def _depth(x: Traced, where: str) -> int:
    if x.ndim != 4:
        raise diagnostic("TSR1107", f"{where}: expected x to be [B, S, H, D], got {format_shape(x.shape)}")
    depth = x.shape[3]
    if not isinstance(depth, int) or depth % 2 or depth == 0:
        raise diagnostic(
            "TSR1106",
            f"{where}: expected an even number of features, known when compiling, got {depth}",
            help="give it in the annotation or by dims={...}",
        )
    return depth


def _positions(x: Traced, position_ids: Any, where: str) -> Traced:
    """Positions ``[B, S]`` or ``[1, S]``."""
    if position_ids is None:
        return lift(ops.unsqueeze(ops.arange(x.shape[1]), 0))
    positions = lift(position_ids)
    if not positions.dtype.is_int:
        raise diagnostic("TSR1301", f"{where}: expected position_ids of integers, got {positions.dtype.name}")
    if positions.ndim not in (1, 2):
        raise diagnostic("TSR1107", f"{where}: expected position_ids to be [B, S], got {format_shape(positions.shape)}")
    if positions.ndim == 1:
        positions = lift(ops.unsqueeze(positions, 0))
    scope = active_scope()
    scope.require_equal(positions.shape[1], x.shape[1], f"{where}: positions and x's second size")
    if not (isinstance(positions.shape[0], int) and positions.shape[0] == 1):
        scope.require_equal(positions.shape[0], x.shape[0], f"{where}: positions and x's first size")
    return positions


def _rotate(x: Traced, positions: Traced, frequencies: Any, interleaved: bool = False, magnitude: Any = None) -> Tensor:
    """X ``[B, S, H, D]`` turned by positions ``[B or 1, S]`` times frequencies ``[D/2]``."""
    angles = ops.unsqueeze(positions.cast(dtypes.f32), -1) * frequencies
    cosine, sine = (ops.unsqueeze(f(angles), 2) for f in (ops.cos, ops.sin))
    if magnitude is not None:
        cosine, sine = cosine * magnitude, sine * magnitude
    half = x.shape[3] // 2
    if interleaved:
        pairs = ops.reshape(x, (*x.shape[:3], half, 2))
        first, second = pairs[..., 0], pairs[..., 1]
        turned = ops.stack([first * cosine - second * sine, second * cosine + first * sine], -1)
        return ops.reshape(turned, x.shape).cast(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return ops.concat([first * cosine - second * sine, second * cosine + first * sine], -1).cast(x.dtype)
