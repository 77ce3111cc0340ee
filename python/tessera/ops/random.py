# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random numbers from a counter: element ``i`` depends on the seed and on ``i`` alone.

The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011).
Element ``i`` is made from the block with counter ``(i, stream)`` and the seed as key, so that any part of a tensor can
be computed alone, and a random tensor fuses with what uses it.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from tessera import dtypes
from tessera.dtypes import as_dtype
from tessera.frontend.dims import SizeLike
from tessera.frontend.scope import is_tracing
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Shape, Traced, active_scope, as_sizes, cast, element_count, lift
from tessera.ops._dispatch import operation
from tessera.ops.creation import iota_of
from tessera.ops.elementwise import cos, log, sqrt
from tessera.ops.shape import reshape

_WORD = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10

_eager_seeds = itertools.count()
_eager_seed = 0


def manual_seed(seed: int) -> None:
    """Restart the seeds of random tensors made outside a trace."""
    global _eager_seeds, _eager_seed
    _eager_seeds, _eager_seed = itertools.count(), seed


def _seeded(function: Any) -> Any:
    """Outside a trace, a call without a seed takes the next one of ``manual_seed``'s sequence."""
    run = operation(function)

    @functools.wraps(function)
    def call(*shape: Any, seed: Any = None, **options: Any) -> Any:
        if seed is None and not is_tracing():
            # An array, and so an argument: calls that differ only in their seed run one program.
            number = (_eager_seed << 20) + next(_eager_seeds)
            seed = np.asarray(number & (2**64 - 1), np.uint64).view(np.int64)
        return run(*shape, seed=seed, **options)

    return call


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """One block of Philox4x32-10: four words from four counter words and two key words, all held in int64."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for round_ in range(_ROUNDS):
        if round_:
            k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
        # The low 64 bits of a product of two words are right in int64, whatever its sign.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = _high(p1) ^ c1 ^ k0, p1 & _WORD, _high(p0) ^ c3 ^ k1, p0 & _WORD
    return c0, c1, c2, c3


def _high(product: Any) -> Any:
    return (product >> 32) & _WORD


def _blocks(shape: Shape, seed: Any) -> tuple[Any, Any, Any, Any]:
    """The words of every element, flat."""
    stream = next(active_scope().module.random_calls) if seed is None else 0
    if seed is None:
        seed = 0
    if isinstance(seed, Tensor):
        tensor = lift(seed)
        if not tensor.dtype.is_int or tensor.ndim:
            raise diagnostic("TSR1301", f"seed: expected an int or an integer tensor of rank 0, got {tensor!r}")
        number: Any = cast(tensor, dtypes.int64)
        key = number & _WORD, (number >> 32) & _WORD
    else:
        number = int(seed)
        key = lift(number & _WORD, dtypes.int64), lift((number >> 32) & _WORD, dtypes.int64)
    count: SizeLike = element_count(shape)
    position: Any = iota_of((count,), 0, dtypes.int64)
    zero = lift(0, dtypes.int64)
    return philox((position & _WORD, (position >> 32) & _WORD, lift(stream, dtypes.int64), zero), key)


def _uniform(words: tuple[Any, ...], dtype: dtypes.DType) -> Traced:
    """Numbers in [0, 1) with all the digits the dtype has room for."""
    if dtype == dtypes.f64:
        high, low = cast(words[0] >> 5, dtype), cast(words[1] >> 6, dtype)
        return lift((high * 2.0**26 + low) * 2.0**-53)
    return lift(cast(words[0] >> 8, dtypes.f32) * 2.0**-24)


def _finish(x: Any, shape: Shape, dtype: dtypes.DType) -> Tensor:
    return reshape(x, shape).cast(dtype)


@_seeded
def rand(*shape: Any, dtype: Any = dtypes.f32, seed: Any = None) -> Tensor:
    """Random numbers, uniform in [0, 1).

    Parameters
    ----------
    shape
        Sizes one by one, or in one tuple.
    dtype
        A float dtype.
    seed
        An int or an integer tensor of rank 0. Without one, each call in a compiled function has a fixed stream of its
        own, and each call outside takes the next seed (see ``manual_seed``).
    """
    sizes, dtype = as_sizes(shape, "rand"), _float(dtype, "rand")
    wide = dtypes.f64 if dtype == dtypes.f64 else dtypes.f32
    x: Any = _uniform(_blocks(sizes, seed), wide)
    if dtype.is_narrow:
        # Rounding up to 1 would leave the interval: keep as many bits as the dtype has.
        bits = {"bf16": 8, "f16": 11, "fp8_e4m3": 4, "fp8_e5m2": 3}[dtype.name]
        x = (x * 2.0**bits).cast(dtypes.int32).cast(dtypes.f32) * 2.0**-bits
    return _finish(x, sizes, dtype)


@_seeded
def randn(*shape: Any, dtype: Any = dtypes.f32, seed: Any = None) -> Tensor:
    """Random numbers with normal distribution, mean 0 and variance 1 (Box and Muller's transform); see ``rand``."""
    sizes, dtype = as_sizes(shape, "randn"), _float(dtype, "randn")
    wide = dtypes.f64 if dtype == dtypes.f64 else dtypes.f32
    words = _blocks(sizes, seed)
    radius = sqrt(-2.0 * log(1.0 - _uniform(words[:2], wide)))
    angle = (2.0 * math.pi) * _uniform(words[2:], wide)
    return _finish(radius * cos(angle), sizes, dtype)


@_seeded
def randint(low: int, high: int, *shape: Any, dtype: Any = dtypes.int64, seed: Any = None) -> Tensor:
    """Random integers, uniform in [low, high); ``high - low`` is at most 2**31."""
    sizes = as_sizes(shape, "randint")
    if not 0 < high - low <= 2**31:
        raise diagnostic("TSR1504", f"randint: expected a range of 1 to 2**31 integers, got [{low}, {high})")
    words = _blocks(sizes, seed)
    # Multiply and shift: uniform to within 2**-32.
    return _finish(((words[0] * (high - low)) >> 32) + low, sizes, as_dtype(dtype))


def _float(dtype: Any, where: str) -> dtypes.DType:
    chosen = as_dtype(dtype)
    if not chosen.is_float:
        raise diagnostic("TSR1301", f"{where}: expected a float dtype, got {chosen.name}", help="use tessera.randint")
    return chosen
