# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled attention against its definition in f64."""

import itertools
import subprocess
import sys
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import tessera
from compiled import call, data
from hypothesis import given, settings
from interpreter import attention
from tessera import Tensor
from tolerance import assert_close


def check(q: Any, k: Any, v: Any, mask: Any = None, *, symbolic: bool = False, **options: Any) -> None:
    """Compile, call and compare; rows are as large as values."""

    def f(q: Any, k: Any, v: Any, *mask: Any) -> Any:
        return tessera.ops.flash_attention(q, k, v, *mask, return_lse=True, **options)

    arrays = [q, k, v] if mask is None else [q, k, v, mask]
    out, lse = call(_named(f, options), *arrays, symbolic=symbolic)
    want, want_lse = attention(q, k, v, mask, **options)
    assert out.dtype == q.dtype and out.shape == want.shape
    assert_close(
        out,
        want,
        dtype=q.dtype,
        terms=max(k.shape[2], q.shape[3]),
        scale=max(1.0, np.abs(want).max(initial=0)),
        operations=2,
    )
    finite = np.isfinite(want_lse)
    np.testing.assert_array_equal(np.asarray(lse)[~finite], want_lse[~finite])
    np.testing.assert_allclose(np.asarray(lse)[finite], want_lse[finite], rtol=1e-5, atol=1e-4)


_made: dict[Any, Any] = {}


def _named(f: Any, options: dict[str, Any]) -> Any:
    """One function for each set of options, so that a symbolic one is compiled once."""
    return _made.setdefault(repr(sorted(options.items())), f)


def inputs(
    batch: int, heads: int, key_heads: int, queries: int, keys: int, depth: int, value_depth: int, dtype: Any
) -> Any:
    shapes = [(batch, heads, queries, depth), (batch, key_heads, keys, depth), (batch, key_heads, keys, value_depth)]
    return [data(shape, dtype, -2, 2, seed=i) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("dtype", [tessera.f32, tessera.f64, tessera.bf16, tessera.f16], ids=lambda d: d.name)
@pytest.mark.parametrize("causal", [False, True])
def test_dtypes(dtype: Any, causal: bool) -> None:
    check(*inputs(2, 4, 2, 33, 70, 16, 24, dtype), is_causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 700), (200, 200), (700, 300), (300, 700), (193, 257)], ids=str)
def test_several_tiles(sizes: tuple[int, int], causal: bool) -> None:
    """Queries and keys by more than one tile; more queries than keys leave rows that see nothing."""
    check(*inputs(1, 2, 1, *sizes, 32, 32, tessera.f32), is_causal=causal, symbolic=True)


@pytest.mark.parametrize("window", [(0, 0), (3, 2), (-1, 5), (100, -1), (40, 0)], ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_window(window: tuple[int, int], causal: bool) -> None:
    check(*inputs(1, 2, 2, 260, 300, 8, 8, tessera.f32), window=window, is_causal=causal)


@pytest.mark.parametrize("shape", [(2, 4, 33, 70), (1, 1, 33, 70), (2, 1, 1, 70), (33, 70), (70,), (4, 33, 1)], ids=str)
@pytest.mark.parametrize("dtype", [tessera.bool_, tessera.f32, tessera.bf16], ids=lambda d: d.name)
def test_mask(shape: tuple[int, ...], dtype: Any) -> None:
    check(*inputs(2, 4, 2, 33, 70, 16, 8, tessera.f32), data(shape, dtype, -3, 3, seed=9))


@pytest.mark.parametrize("heads", [(6, 2), (4, 1), (400, 2), (3, 3)], ids=str)
def test_one_query_of_many_heads(heads: tuple[int, int]) -> None:
    """The heads that share keys are the rows of a tile."""
    check(*inputs(2, *heads, 1, 700, 16, 24, tessera.f32), is_causal=True)


@pytest.mark.parametrize("shape", [(2, 6, 1, 40), (6, 1, 1), (1, 40), (40,)], ids=str)
@pytest.mark.parametrize("dtype", [tessera.bool_, tessera.f32], ids=lambda d: d.name)
def test_one_query_with_a_mask(shape: tuple[int, ...], dtype: Any) -> None:
    arrays = inputs(2, 6, 2, 1, 40, 16, 24, tessera.f32)
    check(*arrays, data(shape, dtype, -1, 1, seed=3), window=(35, 0))


def test_masked_rows_give_nothing() -> None:
    q, k, v = inputs(1, 2, 2, 5, 300, 8, 8, tessera.f32)
    mask = np.zeros((5, 300), bool)
    mask[1, 299] = mask[2, 0] = True
    check(q, k, v, mask)
    check(q, k, v, np.where(mask, np.float32(0), np.float32(-np.inf)))


def test_scale() -> None:
    arrays = inputs(1, 1, 1, 9, 12, 8, 8, tessera.f32)
    for scale in (0.0, 1.0, -0.5):
        check(*arrays, scale=scale)


def test_large_scores_do_not_overflow() -> None:
    q, k, v = inputs(1, 1, 1, 9, 300, 8, 8, tessera.f32)
    check(q * 100, k * 100, v)


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (0, 0)], ids=str)
def test_nothing(sizes: tuple[int, int]) -> None:
    check(*inputs(1, 2, 1, *sizes, 8, 8, tessera.f32), symbolic=True)
    check(*inputs(0, 2, 1, 3, 4, 8, 8, tessera.f32), symbolic=True)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_sizes(draw: Any) -> None:
    size = st.integers(1, 40)
    group, key_heads = draw.draw(st.integers(1, 3)), draw.draw(st.integers(1, 3))
    queries, keys, depth, value_depth = (draw.draw(size) for _ in range(4))
    arrays = inputs(
        draw.draw(st.integers(1, 2)), group * key_heads, key_heads, queries, keys, depth, value_depth, tessera.f32
    )
    check(*arrays, is_causal=draw.draw(st.booleans()), symbolic=True)


ATTENTION = """
import resource, sys
import numpy as np
import tessera
length = int(sys.argv[1])
q, k, v = (np.ones((1, 1, length, 16), np.float32) for _ in range(3))
artifact = tessera.load("attention.tsr")
print(artifact.entry().workspace_size(S=length))
artifact(q, k, v)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_is_linear_in_the_length(tmp_path: Any) -> None:
    @tessera.function
    def f(q: Tensor[1, 1, "S", 16], k: Tensor[1, 1, "S", 16], v: Tensor[1, 1, "S", 16]) -> Tensor[1, 1, "S", 16]:
        return tessera.ops.flash_attention(q, k, v)

    tessera.compile(f).save(tmp_path / "attention.tsr")
    workspace, resident = [], []
    for length in (8192, 16384, 32768):
        command = [sys.executable, "-c", ATTENTION, str(length)]
        result = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        bytes_, kilobytes = map(int, result.stdout.split())
        workspace.append(bytes_)
        resident.append(kilobytes)
    for smaller, larger in itertools.pairwise(workspace):
        assert larger <= 2.1 * smaller
    for smaller, larger in itertools.pairwise(resident):
        assert larger <= 2.1 * smaller


def philox(counter: Any, seed: int) -> Any:
    """The first word of Philox4x32-10 (Salmon et al., 2011), by its definition on Python's integers."""
    words, key = [np.asarray(c, object) for c in counter], [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        first, second = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57
        words = [
            second >> 32 ^ words[1] ^ key[0],
            second & 0xFFFFFFFF,
            first >> 32 ^ words[3] ^ key[1],
            first & 0xFFFFFFFF,
        ]
        key = [key[0] + 0x9E3779B9 & 0xFFFFFFFF, key[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return words[0]


def test_philox_is_philox() -> None:
    """A known answer of the authors' test suite."""
    assert philox([0, 0, 0, 0], 0) == 0x6627E8D5


@pytest.mark.parametrize("seed", [0, 7, 2**40 + 5])
@pytest.mark.parametrize("queries", [1, 7, 200])
def test_dropout(queries: int, seed: int) -> None:
    q, k, v = inputs(2, 4, 2, queries, 300, 8, 8, tessera.f32)
    p = 0.3

    @tessera.function
    def f(q: Any, k: Any, v: Any, seed: Any) -> Any:
        return tessera.ops.flash_attention(q, k, v, dropout_p=p, seed=seed)

    b, h, i, j = np.ogrid[:2, :4, :queries, :300]
    uniform = np.asarray(philox([j, i, b * 4 + h, 0 * j], seed) >> 8, np.float64) / 2**24
    assert abs((uniform < p).mean() - p) < 4 * np.sqrt(p * (1 - p) / uniform.size)
    wide = [np.asarray(x, np.float64) for x in (q, np.repeat(k, 2, 1), np.repeat(v, 2, 1))]
    scores = wide[0] @ wide[1].swapaxes(-1, -2) / np.sqrt(8)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True) * (uniform >= p) / (1 - p)
    assert_close(f(q, k, v, np.int64(seed)), weights @ wide[2], terms=300, scale=2, operations=3)


def test_dropout_needs_a_seed() -> None:
    q, k, v = inputs(1, 1, 1, 2, 3, 4, 4, tessera.f32)
    with pytest.raises(tessera.TesseraError, match="with a seed"):
        tessera.ops.flash_attention(q, k, v, dropout_p=0.5)


def test_errors_name_what_does_not_fit() -> None:
    q, k, v = inputs(1, 3, 2, 4, 5, 8, 8, tessera.f32)
    for arrays, message in [
        ((q, k, v), "the 3 heads of q to be a multiple of the 2 of k and v"),
        ((q[:, :2], k[..., :4], v), "depths of q and k: expected equal sizes, got 8 and 4"),
        ((q[:, :2], k, v[:, :, :4]), "keys and values: expected equal sizes, got 5 and 4"),
        ((q[0], k, v), "expected q to be [B, H, Sq, D], got [3, 4, 8]"),
        ((q[:, :2], k, v, np.ones((4, 6), bool)), "mask [4, 6]: expected equal sizes, got 6 and 5"),
        ((q[:, :2], k, v, np.ones(5, np.int32)), "expected a mask of bools or floats, got int32"),
    ]:
        with pytest.raises(tessera.TesseraError) as caught:
            tessera.ops.flash_attention(*arrays)
        assert message in str(caught.value)


TEXTS: dict[str, Any] = {
    "softmax": lambda q, k, v, m: tessera.nn.softmax(q @ k.mT * 0.25) @ v,
    "scaled queries": lambda q, k, v, m: tessera.nn.softmax((q * 0.25) @ k.mT) @ v,
    "written out": lambda q, k, v, m: _weights(q @ tessera.transpose(k, -1, -2) / 4.0) @ v,
    "masked": lambda q, k, v, m: tessera.nn.softmax(q @ k.mT * 0.25 + m) @ v,
    "selected": lambda q, k, v, m: tessera.nn.softmax(tessera.where(m > 0, q @ k.mT * 0.25, -np.inf)) @ v,
}


def _weights(scores: Any) -> Any:
    powers = tessera.exp(scores - scores.max(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("dtype", [tessera.f32, tessera.bf16], ids=lambda d: d.name)
def test_plain_text_is_raised(name: str, rank: int, dtype: Any) -> None:
    leading = ["B", "H"][: rank - 2]

    @tessera.function
    def f(
        q: Tensor[(*leading, "S", 16, dtype)],
        k: Tensor[(*leading, "T", 16, dtype)],
        v: Tensor[(*leading, "T", 8, dtype)],
        m: Tensor["S", "T", dtype],
    ) -> Tensor[(*leading, "S", 8, dtype)]:
        return TEXTS[name](q, k, v, m)

    artifact = tessera.compile(f, keep_ir=True)
    kinds = [kernel["kind"] for kernel in artifact.inspect()["kernels"]]
    assert kinds.count("attention") == 1 and "matmul" not in kinds
    q, k, v = (x.reshape(x.shape[4 - rank :]) if rank < 4 else x for x in inputs(1, 1, 1, 33, 40, 16, 8, dtype))
    m = data((33, 40), dtype, -1, 1, seed=5)
    mask = {"masked": m, "selected": m > 0}.get(name)
    whole = [x.reshape((1,) * (4 - x.ndim) + x.shape) for x in (q, k, v)]
    want, _ = attention(*whole, mask, scale=0.25)
    assert_close(
        artifact(q, k, v, m),
        want.reshape(artifact(q, k, v, m).shape),
        dtype=dtype.numpy,
        terms=40,
        scale=8,
        operations=2,
    )
