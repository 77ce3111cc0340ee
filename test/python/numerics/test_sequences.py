# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of sequences of different lengths, packed or in pages, and updates in place."""

from typing import Annotated, Any

import hypothesis.strategies as st
import interpreter
import numpy as np
import pytest
import tessera
from compiled import call, data
from hypothesis import given, settings
from tessera import Tensor
from tolerance import assert_close

FLOATS = [tessera.f32, tessera.bf16, tessera.f16]


def close(got: Any, want: Any, like: Any, terms: int) -> None:
    assert_close(got, want, dtype=like.dtype, terms=terms, scale=max(1.0, np.abs(want).max(initial=0)), operations=2)


# -- varlen


def varlen(lengths: Any, key_lengths: Any, dtype: Any = tessera.f32, heads: int = 4, key_heads: int = 2) -> list[Any]:
    starts, key_starts = (np.cumsum([0, *x]).astype(np.int32) for x in (lengths, key_lengths))
    q = data((starts[-1], heads, 16), dtype, -2, 2)
    k = data((key_starts[-1], key_heads, 16), dtype, -2, 2, seed=1)
    v = data((key_starts[-1], key_heads, 24), dtype, -2, 2, seed=2)
    return [q, k, v, starts, key_starts]


_varlen: dict[Any, Any] = {}


def check_varlen(arrays: list[Any], **options: Any) -> None:
    def f(*arrays: Any) -> Any:
        return tessera.flash_attention_varlen(*arrays, return_lse=True, **options)

    f = _varlen.setdefault(repr(options), f)  # compiled once for any sizes
    out, lse = call(f, *arrays, symbolic=True)
    want, want_lse = interpreter.varlen_attention(*arrays, **options)
    close(out, want, arrays[0], max(arrays[1].shape[0], 16))
    np.testing.assert_allclose(lse, want_lse, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
def test_varlen(dtype: Any) -> None:
    check_varlen(varlen([3, 0, 20], [5, 4, 20], dtype), is_causal=True)
    check_varlen(varlen([300, 7], [300, 520], dtype))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5), st.booleans())
def test_varlen_of_any_lengths(lengths: Any, causal: bool) -> None:
    # A causal query without a key of its own has none at all; the definition needs a key to take a maximum of.
    check_varlen(varlen(*zip(*lengths, strict=True)), is_causal=causal, window=(3, 1) if causal else None)


def test_varlen_is_flash_attention_for_each_sequence() -> None:
    arrays = varlen([6, 6], [8, 8])
    out = call(lambda *a: tessera.flash_attention_varlen(*a, dropout_p=0.25, seed=3), *arrays)
    q, k, v = (np.swapaxes(x.reshape(2, -1, *x.shape[1:]), 1, 2) for x in arrays[:3])
    dense = call(lambda *a: tessera.flash_attention(*a, dropout_p=0.25, seed=3), q, k, v)
    np.testing.assert_allclose(out.reshape(2, 6, 4, 24), np.swapaxes(dense, 1, 2), rtol=1e-6)


def test_rows_of_no_sequence_give_nothing_and_starts_beyond_are_cut() -> None:
    q, k, v, _, _ = varlen([8], [8])
    starts, beyond = np.array([2, 5], np.int32), np.array([0, 90], np.int32)
    out, lse = call(lambda *a: tessera.flash_attention_varlen(*a, return_lse=True), q, k, v, starts, beyond)
    assert not out[:2].any() and not out[5:].any() and np.isneginf(lse[:, :2]).all() and np.isfinite(lse[:, 2:5]).all()
    want, _ = interpreter.varlen_attention(q[2:5], k, v, [0, 3], [0, 8])
    close(out[2:5], want, q, 16)


# -- pages


def paged(
    lengths: Any, new: Any, queries: int, dtype: Any, heads: int, key_heads: int, page: int, depths: Any = (16, 8)
) -> list[Any]:
    rng = np.random.default_rng(0)
    columns = max(-(-max(lengths, default=0) // page), 1)
    tables = np.full((len(lengths), columns), -1, np.int32)
    free = list(rng.permutation(len(lengths) * columns + 1))
    for b, length in enumerate(lengths):
        for i in range(-(-length // page)):
            tables[b, i] = free.pop()
    pages = len(lengths) * columns + 1
    q = data((len(lengths), heads, queries, depths[0]), dtype, -2, 2)
    k = data((pages, page, key_heads, depths[0]), dtype, -2, 2, seed=1)
    v = data((pages, page, key_heads, depths[1]), dtype, -2, 2, seed=2)
    return [q, k, v, tables, np.array(lengths, np.int32), np.array(new, np.int32)]


_paged: dict[Any, Any] = {}


def check_paged(arrays: list[Any], symbolic: bool = True, **options: Any) -> None:
    def f(*arrays: Any) -> Any:
        return tessera.paged_attention(*arrays, **options)

    f = _paged.setdefault(repr(options), f)
    out = call(f, *arrays, symbolic=symbolic)
    want = interpreter.paged_attention(*arrays, **{k: w - 1 if k == "window" else w for k, w in options.items()})
    close(out, want, arrays[0], max(int(arrays[4].max(initial=0)), arrays[0].shape[3]))


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
@pytest.mark.parametrize("symbolic", [False, True])
def test_decode_from_pages(dtype: Any, symbolic: bool) -> None:
    lengths, new = [1, 70, 0, 33], [1, 1, 0, 1]
    for heads, key_heads in ((8, 1), (8, 2), (2, 2)):
        check_paged(paged(lengths, new, 1, dtype, heads, key_heads, 16), symbolic)


def test_chunks_of_different_lengths() -> None:
    check_paged(paged([5, 40, 9], [5, 3, 0], 5, tessera.f32, 4, 2, 8))
    check_paged(paged([5, 40, 9], [5, 3, 0], 5, tessera.f32, 4, 2, 8), window=4)
    check_paged(paged([400], [250], 250, tessera.f32, 2, 1, 64), symbolic=False)


def test_large_pages_are_walked_in_blocks() -> None:
    check_paged(paged([700], [2], 2, tessera.f32, 2, 1, 600), symbolic=False)


def test_values_may_be_a_part_of_the_keys() -> None:
    q, k, _, tables, lengths, new = paged([20, 3], [1, 1], 1, tessera.f32, 4, 1, 8, (24, 16))
    out = call(lambda q, k, *rest: tessera.paged_attention(q, k, k[..., :16], *rest), q, k, tables, lengths, new)
    close(out, interpreter.paged_attention(q, k, k[..., :16], tables, lengths, new), q, 24)


def test_page_numbers_and_lengths_stay_within_memory() -> None:
    q, k, v, tables, lengths, new = paged([8], [1], 1, tessera.f32, 2, 1, 4)
    for wrong in (-7, 10**6):
        call(lambda *a: tessera.paged_attention(*a), q, k, v, np.full_like(tables, wrong), lengths * 1000, new)


# -- updates in place


@tessera.function
def put(pool: Annotated[Tensor["N", "D"], tessera.donated], rows: Tensor["M", tessera.int64], x: Tensor["M", "D"]):
    return tessera.scatter(pool, rows, x)


@pytest.mark.parametrize("dtype", [*FLOATS, tessera.fp8_e4m3, tessera.int8, tessera.bool_], ids=lambda d: d.name)
def test_scatter(dtype: Any) -> None:
    x, updates = data((6, 3), dtype, -9, 9), data((2, 2, 3), dtype, -9, 9, seed=1)
    indices = np.array([[5, -1], [0, 6]])
    want = x.copy()
    want[5], want[0] = updates[0, 0], updates[1, 0]
    for rows in (indices, indices.astype(np.int32)):
        np.testing.assert_array_equal(call(tessera.scatter, x, rows, updates), want)
    np.testing.assert_array_equal(call(tessera.scatter, x, np.zeros(0, np.int64), updates[:0, 0]), x)


def test_a_donated_argument_is_changed_in_place() -> None:
    artifact = tessera.compile(put)
    (argument, *_), (output,) = (artifact.inspect()["signature"]["put"][key] for key in ("inputs", "outputs"))
    assert argument["donated"] and output["alias"] == 0
    assert "rt.copy" not in artifact.mlir("rt")
    pool, row = np.zeros((4, 2), np.float32), np.ones((1, 2), np.float32)
    assert artifact(pool, np.array([2]), row) is pool and pool.sum() == 2 and pool[2].all()
    assert put(pool, np.array([0]), row) is pool and pool[0].all()
    with pytest.raises(tessera.TesseraError, match=r"TSR2015.*'pool'.*changed in place"):
        artifact(np.zeros((2, 4), np.float32).T, np.array([2]), row)
    with pytest.raises(tessera.TesseraError, match=r"TSR2017.*'pool' shares memory"):
        artifact(pool, np.array([2]), pool[:1])
    with pytest.raises(tessera.TesseraError, match="TSR2017"):
        artifact(pool, np.array([2]), row, out=np.zeros_like(pool))
    pool.flags.writeable = False
    with pytest.raises(tessera.TesseraError, match=r"TSR2016.*'pool'"):
        artifact(pool, np.array([2]), row)
    assert pool.sum() == 4


def test_donation_passes_through_functions_and_reshapes() -> None:
    @tessera.function
    def outer(
        pool: Annotated[Tensor["P", 4, "D"], tessera.donated], rows: Tensor["M", tessera.int64], x: Tensor["M", "D"]
    ):
        flat = put(pool.reshape(-1, pool.shape[2]), rows, x)
        return x.sum(), put(flat, rows + 1, x).reshape(pool.shape)

    artifact = tessera.compile(outer)
    assert "rt.copy" not in artifact.mlir("rt")
    pool = np.zeros((2, 4, 3), np.float32)
    total, after = artifact(pool, np.array([6]), np.ones((1, 3), np.float32))
    assert after is pool and total == 3 and pool[1, 2:].all() and pool.sum() == 6


def test_a_copy_of_a_donated_argument_is_refused() -> None:
    @tessera.function
    def f(pool: Annotated[Tensor["N"], tessera.donated], i: Tensor[1, tessera.int64]) -> Any:
        after = tessera.scatter(pool, i, [1.0])
        return after, tessera.flip(after, 0) + pool

    with pytest.raises(
        tessera.CompileError, match="a donated argument is copied: expected result 0 to change it in place"
    ):
        tessera.compile(f)
