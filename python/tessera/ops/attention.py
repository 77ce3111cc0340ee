# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from tessera import dtypes
from tessera.frontend.promotion import result_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.traced import Traced, active_scope, cast, emit_many, format_shape, lift, operand_type
from tessera.ops._dispatch import operation

_LAYOUT = {"q": "[B, H, Sq, D]", "k": "[B, Hkv, Sk, D]", "v": "[B, Hkv, Sk, Dv]"}


@operation
def flash_attention(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
    window: int | tuple[int, int] | None = None,
    dropout_p: float = 0.0,
    seed: Any = None,
    return_lse: bool = False,
) -> Any:
    """softmax(q @ kᵀ · scale + mask) @ v for each head, without holding all products of queries and keys.

    Dao, Fu, Ermon, Rudra, Ré: FlashAttention, 2022. Products, the softmax and sums are computed in f32 (f64 for f64)
    and rounded once.

    Parameters
    ----------
    q, k, v
        ``[B, H, Sq, D]``, ``[B, Hkv, Sk, D]`` and ``[B, Hkv, Sk, Dv]``, floats. H is a multiple of Hkv: query head
        ``h`` reads key head ``h // (H // Hkv)`` (grouped-query attention; multi-query with Hkv = 1).
    mask
        Broadcasts to ``[B, H, Sq, Sk]``: a bool mask keeps keys where it is True, a float mask is added.
    is_causal
        The last query sees all keys, and each query before it one key less.
    scale
        1/√D if None.
    window
        ``(left, right)``: how many keys before and after its own position a query sees, -1 for all; positions are
        aligned as for ``is_causal``. A number ``n`` is ``(n - 1, 0)``: the last ``n`` keys.
    dropout_p
        Each weight becomes 0 with this probability, and the others are divided by ``1 - dropout_p``. The same seed
        drops the same weights on every target (Philox; see the dialect's reference).
    seed
        An int or an integer tensor of rank 0, needed for dropout.
    return_lse
        Also return the logarithm of the sum of exponentials.

    Returns
    -------
    out
        ``[B, H, Sq, Dv]`` in the dtype of the operands. A query that sees no key gives 0.
    lse
        ``[B, H, Sq]`` in f32 (f64 for f64), -inf for such a query, if asked for.

    Raises
    ------
    ShapeError, DTypeError
        When ranks, sizes, head counts or dtypes do not fit.
    """
    operands = {"q": lift(q), "k": lift(k), "v": lift(v)}
    dtype = result_dtype(*(operand_type(x) for x in operands.values()))
    for name, x in operands.items():
        if x.ndim != 4:
            raise diagnostic(
                "TSR1107",
                f"flash_attention: expected {name} to be {_LAYOUT[name]}, got {format_shape(x.shape)}",
                help="x.reshape(...) and x.permute(0, 2, 1, 3) bring [B, S, H * D] into this layout",
            )
    if not dtype.is_float:
        raise diagnostic("TSR1301", f"flash_attention: expected floats, got {dtype.name}")
    query, key, value = (cast(x, dtype) for x in operands.values())
    batch, heads, queries, depth = query.shape
    _, key_heads, keys, value_depth = value.shape
    scope = active_scope()
    for what, left, right in (
        ("batch sizes of q and k", batch, key.shape[0]),
        ("batch sizes of q and v", batch, value.shape[0]),
        ("heads of k and v", key.shape[1], key_heads),
        ("keys and values", key.shape[2], keys),
        ("depths of q and k", depth, key.shape[3]),
    ):
        scope.require_equal(left, right, f"flash_attention: {what}")
    if isinstance(heads, int) and isinstance(key_heads, int):
        if key_heads == 0 or heads % key_heads:
            raise diagnostic(
                "TSR1106",
                f"flash_attention: expected the {heads} heads of q to be a multiple of the {key_heads} of k and v",
            )
    elif scope.proven_equal(heads, key_heads) is not True:
        scope.assume_equal(heads % key_heads, 0, "flash_attention: expected q's heads to be a multiple of k's")

    attributes: dict[str, Any] = {}
    if scale is not None:
        attributes["scale"] = float(scale)
    if is_causal:
        attributes["is_causal"] = True
    if window is not None:
        attributes["window"] = _window(window)
    inputs = [query, key, value]
    if mask is not None:
        inputs.append(_mask(mask, (batch, heads, queries, keys)))
    if not 0 <= dropout_p < 1 or (dropout_p and seed is None):
        raise diagnostic(
            "TSR1504",
            f"flash_attention: expected a dropout_p of 0 or more and below 1, with a seed, got {dropout_p} and {seed}",
        )
    if dropout_p:
        attributes["dropout"] = float(dropout_p)
        inputs.append(_seed(seed))
    segments = [1, 1, 1, int(mask is not None), int(dropout_p > 0)]
    accumulator = dtypes.f64 if dtype == dtypes.f64 else dtypes.f32
    results: list[Any] = [((batch, heads, queries, value_depth), dtype)]
    if return_lse:
        results.append(((batch, heads, queries), accumulator))
    made = emit_many("flash_attention", inputs, results, attributes, segments=segments)
    for result in made:
        result.weak = False
    return tuple(made) if return_lse else made[0]


def _seed(seed: Any) -> Traced:
    seed = lift(seed)
    if not seed.dtype.is_int or seed.ndim:
        raise diagnostic(
            "TSR1301", f"flash_attention: expected a seed of integer type and rank 0, got {seed.dtype.name}"
        )
    return cast(seed, dtypes.int64)


def _window(window: Any) -> tuple[int, int]:
    pair = (window - 1, 0) if isinstance(window, (int, np.integer)) else tuple(window)
    if len(pair) != 2 or not all(isinstance(bound, (int, np.integer)) and bound >= -1 for bound in pair):
        raise diagnostic("TSR1504", f"flash_attention: expected a window of two counts of keys, or -1, got {window!r}")
    return int(pair[0]), int(pair[1])


def _mask(value: Any, whole: tuple[Any, ...]) -> Traced:
    mask = lift(value)
    if not (mask.dtype.is_bool or mask.dtype.is_float):
        raise diagnostic(
            "TSR1301",
            f"flash_attention: expected a mask of bools or floats, got {mask.dtype.name}",
            help="mask != 0 keeps what is not zero",
        )
    if mask.ndim > 4:
        raise diagnostic("TSR1107", f"flash_attention: expected a mask of rank 4 or less, got {mask.ndim}")
    for size, other in zip(mask.shape, whole[4 - mask.ndim :], strict=True):
        if not (isinstance(size, int) and size == 1):
            active_scope().require_equal(size, other, f"flash_attention: mask {format_shape(mask.shape)}")
    return mask
