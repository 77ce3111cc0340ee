# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tessera import dtypes
from tessera.dtypes import DType
from tessera.frontend.promotion import result_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Traced, active_scope, cast, emit_many, format_shape, lift, operand_type
from tessera.ops._dispatch import operation

_LAYOUT = {"q": "[B, H, Sq, D]", "k": "[B, Hkv, Sk, D]", "v": "[B, Hkv, Sk, Dv]"}
_VARLEN_LAYOUT = {"q": "[T, H, D]", "k": "[Tk, Hkv, D]", "v": "[Tk, Hkv, Dv]"}
_PAGED_LAYOUT = {"q": "[B, H, S, D]", "k": "[pages, page_size, Hkv, D]", "v": "[pages, page_size, Hkv, Dv]"}


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
    query, key, value, dtype = _operands("flash_attention", _LAYOUT, q, k, v)
    batch, heads, queries, depth = query.shape
    _, key_heads, keys, value_depth = value.shape
    _require_equal(
        "flash_attention",
        ("batch sizes of q and k", batch, key.shape[0]),
        ("batch sizes of q and v", batch, value.shape[0]),
        ("heads of k and v", key.shape[1], key_heads),
        ("keys and values", key.shape[2], keys),
        ("depths of q and k", depth, key.shape[3]),
    )
    _require_heads("flash_attention", heads, key_heads)
    attributes = _attributes("flash_attention", is_causal, scale, window, dropout_p, seed)
    inputs = [query, key, value]
    if mask is not None:
        inputs.append(_mask(mask, (batch, heads, queries, keys)))
    if dropout_p:
        inputs.append(_seed(seed))
    segments = [1, 1, 1, int(mask is not None), int(dropout_p > 0)]
    results: list[Any] = [((batch, heads, queries, value_depth), dtype)]
    if return_lse:
        results.append(((batch, heads, queries), _accumulator(dtype)))
    return _emit("flash_attention", inputs, results, attributes, segments)


@operation
def flash_attention_varlen(
    q: Any,
    k: Any,
    v: Any,
    cu_seqlens_q: Any,
    cu_seqlens_k: Any,
    is_causal: bool = False,
    scale: float | None = None,
    window: int | tuple[int, int] | None = None,
    dropout_p: float = 0.0,
    seed: Any = None,
    return_lse: bool = False,
) -> Any:
    """``flash_attention`` of sequences that lie one after the other, without padding.

    Parameters
    ----------
    q, k, v
        ``[T, H, D]``, ``[Tk, Hkv, D]`` and ``[Tk, Hkv, Dv]``, floats: the tokens of all sequences.
    cu_seqlens_q, cu_seqlens_k
        Integers ``[N + 1]``: sequence ``n`` has the queries from ``cu_seqlens_q[n]`` up to before
        ``cu_seqlens_q[n + 1]``, and keys likewise. They begin with 0 and do not fall; what lies beyond
        the tensors is cut.
    is_causal, scale, window, dropout_p, seed
        As for ``flash_attention``, within each sequence.
    return_lse
        Also return the logarithm of the sum of exponentials.

    Returns
    -------
    out
        ``[T, H, Dv]`` in the dtype of the operands. A query of no sequence, or that sees no key, gives 0.
    lse
        ``[H, T]`` in f32 (f64 for f64), -inf for such a query, if asked for.

    Raises
    ------
    ShapeError, DTypeError
        When ranks, sizes, head counts or dtypes do not fit.
    """
    name = "flash_attention_varlen"
    query, key, value, dtype = _operands(name, _VARLEN_LAYOUT, q, k, v)
    queries, heads, depth = query.shape
    keys, key_heads, value_depth = value.shape
    starts = [_lengths(name, x, what) for x, what in ((cu_seqlens_q, "cu_seqlens_q"), (cu_seqlens_k, "cu_seqlens_k"))]
    _require_equal(
        name,
        ("heads of k and v", key.shape[1], key_heads),
        ("keys and values", key.shape[0], keys),
        ("depths of q and k", depth, key.shape[2]),
        ("sizes of cu_seqlens_q and cu_seqlens_k", starts[0].shape[0], starts[1].shape[0]),
    )
    _require_heads(name, heads, key_heads)
    attributes = _attributes(name, is_causal, scale, window, dropout_p, seed)
    inputs = [query, key, value, *starts, *([_seed(seed)] if dropout_p else [])]
    results: list[Any] = [((queries, heads, value_depth), dtype)]
    if return_lse:
        results.append(((heads, queries), _accumulator(dtype)))
    return _emit(name, inputs, results, attributes)


@operation
def paged_attention(
    q: Any,
    k: Any,
    v: Any,
    block_tables: Any,
    seq_lens: Any,
    new_lens: Any,
    scale: float | None = None,
    window: int | None = None,
) -> Tensor:
    """Causal attention of new tokens to a cache of keys and values in pages.

    Kwon et al.: Efficient memory management for large language model serving with PagedAttention, 2023.

    Parameters
    ----------
    q
        ``[B, H, S, D]``: the queries of each sequence's new tokens; those after ``new_lens[b]`` are padding.
    k, v
        ``[pages, page_size, Hkv, D]`` and ``[pages, page_size, Hkv, Dv]``, in q's dtype, the new tokens' among them.
    block_tables
        int32 ``[B, N]``: the pages of each sequence, in order.
    seq_lens, new_lens
        int32 ``[B]``: the tokens of each sequence, and how many of them, the last, are those of q.
    scale
        1/√D if None.
    window
        How many tokens, its own among them, a query sees; all before it if None.

    Returns
    -------
    Tensor
        ``[B, H, S, Dv]`` in q's dtype; 0 for padding.

    Raises
    ------
    ShapeError, DTypeError
        When ranks, sizes, head counts or dtypes do not fit.
    """
    name = "paged_attention"
    query, key, value, dtype = _operands(name, _PAGED_LAYOUT, q, k, v)
    batch, heads, queries, depth = query.shape
    pages, page_size, key_heads, value_depth = value.shape
    tables = lift(block_tables)
    if tables.dtype != dtypes.int32 or tables.ndim != 2:
        raise diagnostic(
            "TSR1301",
            f"{name}: expected block_tables to be int32 [B, N], got {tables.dtype.name} {format_shape(tables.shape)}",
        )
    lengths = [
        cast(_lengths(name, x, what), dtypes.int32) for x, what in ((seq_lens, "seq_lens"), (new_lens, "new_lens"))
    ]
    _require_equal(
        name,
        ("pages of k and v", key.shape[0], pages),
        ("page sizes of k and v", key.shape[1], page_size),
        ("heads of k and v", key.shape[2], key_heads),
        ("depths of q and k", depth, key.shape[3]),
        ("batch sizes of q and block_tables", batch, tables.shape[0]),
        ("batch sizes of q and seq_lens", batch, lengths[0].shape[0]),
        ("batch sizes of q and new_lens", batch, lengths[1].shape[0]),
    )
    _require_heads(name, heads, key_heads)
    attributes: dict[str, Any] = {} if scale is None else {"scale": float(scale)}
    if window is not None:
        attributes["window"] = _window(name, window)[0]
    result: Tensor = _emit(
        name, [query, key, value, tables, *lengths], [((batch, heads, queries, value_depth), dtype)], attributes
    )
    return result


def _operands(name: str, layout: Mapping[str, str], *operands: Any) -> tuple[Traced, Traced, Traced, DType]:
    """q, k and v in one dtype."""
    lifted = [lift(x) for x in operands]
    dtype = result_dtype(*(operand_type(x) for x in lifted))
    for (which, shape), x in zip(layout.items(), lifted, strict=True):
        if x.ndim != shape.count(",") + 1:
            raise diagnostic(
                "TSR1107",
                f"{name}: expected {which} to be {shape}, got {format_shape(x.shape)}",
                help="x.reshape(...) and x.permute(0, 2, 1, 3) bring [B, S, H * D] into this layout"
                if layout is _LAYOUT
                else "",
            )
    if not dtype.is_float:
        raise diagnostic("TSR1301", f"{name}: expected floats, got {dtype.name}")
    query, key, value = (cast(x, dtype) for x in lifted)
    return query, key, value, dtype


def _require_equal(name: str, *sizes: tuple[str, Any, Any]) -> None:
    for what, left, right in sizes:
        active_scope().require_equal(left, right, f"{name}: {what}")


def _require_heads(name: str, heads: Any, key_heads: Any) -> None:
    scope = active_scope()
    if isinstance(heads, int) and isinstance(key_heads, int):
        if key_heads == 0 or heads % key_heads:
            raise diagnostic(
                "TSR1106", f"{name}: expected the {heads} heads of q to be a multiple of the {key_heads} of k and v"
            )
    elif scope.proven_equal(heads, key_heads) is not True:
        scope.assume_equal(heads % key_heads, 0, f"{name}: expected q's heads to be a multiple of k's")


def _attributes(
    name: str, is_causal: bool, scale: float | None, window: Any, dropout_p: float, seed: Any
) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if scale is not None:
        attributes["scale"] = float(scale)
    if is_causal:
        attributes["is_causal"] = True
    if window is not None:
        attributes["window"] = _window(name, window)
    if not 0 <= dropout_p < 1 or (dropout_p and seed is None):
        raise diagnostic(
            "TSR1504", f"{name}: expected a dropout_p of 0 or more and below 1, with a seed, got {dropout_p} and {seed}"
        )
    if dropout_p:
        attributes["dropout"] = float(dropout_p)
    return attributes


def _accumulator(dtype: DType) -> DType:
    return dtypes.f64 if dtype == dtypes.f64 else dtypes.f32


def _emit(name: str, inputs: list[Traced], results: list[Any], attributes: Any, segments: Sequence[int] = ()) -> Any:
    made = emit_many(name, inputs, results, attributes, segments=segments)
    for result in made:
        result.weak = False
    return tuple(made) if len(made) > 1 else made[0]


def _lengths(name: str, value: Any, what: str) -> Traced:
    lengths = lift(value)
    if lengths.ndim != 1 or lengths.dtype not in (dtypes.int32, dtypes.int64):
        raise diagnostic(
            "TSR1301",
            f"{name}: expected {what} to be int32 or int64 of rank 1, got {lengths.dtype.name} "
            f"{format_shape(lengths.shape)}",
        )
    return lengths


def _seed(seed: Any) -> Traced:
    seed = lift(seed)
    if not seed.dtype.is_int or seed.ndim:
        raise diagnostic(
            "TSR1301", f"flash_attention: expected a seed of integer type and rank 0, got {seed.dtype.name}"
        )
    return cast(seed, dtypes.int64)


def _window(name: str, window: Any) -> tuple[int, int]:
    pair = (window - 1, 0) if isinstance(window, (int, np.integer)) else tuple(window)
    if len(pair) != 2 or not all(isinstance(bound, (int, np.integer)) and bound >= -1 for bound in pair):
        raise diagnostic("TSR1504", f"{name}: expected a window of two counts of keys, or -1, got {window!r}")
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
