# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rotary embeddings and linear biases against their definitions in f64."""

from typing import Any

import numpy as np
import pytest
import tessera
from compiled import data
from tessera import Tensor
from tolerance import assert_close


def turn(x: Any, positions: Any, frequencies: Any, interleaved: bool = False, magnitude: float = 1.0) -> Any:
    """Each pair as a complex number, turned."""
    x = np.asarray(x, np.float64)
    half = x.shape[-1] // 2
    first, second = (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    angles = (np.asarray(positions)[..., None] * frequencies)[:, :, None]
    turned = (first + 1j * second) * np.exp(1j * angles) * magnitude
    if interleaved:
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    return np.concatenate([turned.real, turned.imag], -1)


def frequencies(depth: int, base: float = 10000.0) -> Any:
    return base ** (-2 * np.arange(depth // 2) / depth)


def close(got: Any, want: Any, dtype: Any, longest: int) -> None:
    """The angle is a product in f32: its error grows with the position."""
    assert_close(got, want, dtype=dtype, scale=4 * max(1, longest), operations=2)


@pytest.mark.parametrize("dtype", [tessera.f32, tessera.bf16, tessera.f16], ids=lambda d: d.name)
@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_embedding(dtype: Any, interleaved: bool) -> None:
    @tessera.function
    def f(x: Tensor["B", "S", "H", 16], ids: Tensor["B", "S", tessera.int64] | None = None) -> Any:
        return tessera.nn.rotary_embedding(x, ids, base=500.0, interleaved=interleaved)

    for shape in ((2, 5, 3, 16), (1, 1, 1, 16), (0, 4, 2, 16), (2, 33, 1, 16)):
        x = data(shape, dtype, -4, 4)
        positions = np.broadcast_to(np.arange(shape[1]), shape[:2])
        got = f(x)
        assert got.dtype == x.dtype
        close(got, turn(x, positions, frequencies(16, 500.0), interleaved), x.dtype, shape[1])
        ids = np.random.default_rng(0).integers(0, 50, shape[:2])
        close(f(x, ids), turn(x, ids, frequencies(16, 500.0), interleaved), x.dtype, 50)


def count_kernels(function: Any) -> int:
    return len(tessera.compile(tessera.function(function)).inspect()["kernels"])


@pytest.mark.parametrize("dtype", [tessera.f32, tessera.bf16], ids=lambda d: d.name)
@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_embedding_is_a_table_and_one_kernel(dtype: Any, interleaved: bool) -> None:
    def f(x: Tensor["B", "S", "H", 64, dtype], ids: Tensor["B", "S", tessera.int32]) -> Any:
        return tessera.nn.rotary_embedding(x, ids, interleaved=interleaved)

    assert count_kernels(f) == 2


def test_dynamic_rope_is_its_tables_and_one_kernel() -> None:
    """The largest position, the frequencies for it, the tables, and the turn."""

    def f(x: Tensor["B", "S", "H", 64], ids: Tensor["B", "S", tessera.int32]) -> Any:
        return tessera.nn.dynamic_rope(x, ids)

    assert count_kernels(f) == 4


def test_queries_and_keys_share_their_tables() -> None:
    def f(q: Tensor["B", "S", 8, 64], k: Tensor["B", "S", 2, 64], ids: Tensor["B", "S", tessera.int32]) -> Any:
        return tessera.nn.rotary_embedding(q, ids).permute(0, 2, 1, 3), tessera.nn.rotary_embedding(k, ids)

    assert count_kernels(f) == 3


def test_plain_text_rotations_are_one_kernel() -> None:
    """By structure: whatever the user calls them, and however they are written."""

    def halves(x: Tensor["B", "S", "H", 64], c: Tensor["S", 32], s: Tensor["S", 32]) -> Any:
        first, second = x[..., :32], x[..., 32:]
        c, s = c[:, None], s[:, None]
        return tessera.concat([first * c - second * s, second * c + first * s], -1)

    def rotated(x: Tensor["B", "H", "S", 64], c: Tensor["S", 64], s: Tensor["S", 64]) -> Any:
        return x * c + tessera.concat([-x[..., 32:], x[..., :32]], -1) * s

    def stacked(x: Tensor["B", "S", "H", 64], c: Tensor["S", 32], s: Tensor["S", 32]) -> Any:
        first, second = x[..., ::2], x[..., 1::2]
        c, s = c[:, None], s[:, None]
        return tessera.stack([first * c - second * s, second * c + first * s], -1).reshape(x.shape)

    for function in (halves, rotated, stacked):
        assert count_kernels(function) == 1


def test_scaling_divides_positions() -> None:
    x = data((1, 8, 2, 8), tessera.f32, -4, 4)
    got = tessera.nn.rotary_embedding(x, scaling_factor=4.0)
    close(got, turn(x, np.arange(8)[None] / 4, frequencies(8)), np.float32, 8)


def test_long_positions_stay_exact() -> None:
    x = data((1, 3, 1, 2), tessera.f32, -4, 4)
    ids = np.array([[100_000, 65_536, 99_999]])
    assert_close(
        tessera.nn.rotary_embedding(x, ids), turn(x, ids, frequencies(2)), dtype=np.float32, scale=8, operations=2
    )


@pytest.mark.parametrize("kind", ["ntk", "linear", "yarn"])
def test_dynamic_rope(kind: str) -> None:
    depth, trained, base = 64, 128, 10000.0

    @tessera.function
    def f(x: Tensor["B", "S", "H", 64], ids: Tensor["B", "S", tessera.int64]) -> Any:
        return tessera.nn.dynamic_rope(x, ids, base=base, max_position=trained, scaling_type=kind)

    artifact = tessera.compile(f)
    for last in (5, trained - 1, trained, 1000):
        x = data((2, 4, 3, depth), tessera.f32, -4, 4)
        ids = np.array([[0, 1, 2, 3], [last - 3, last - 2, last - 1, last]])
        length = last + 1
        stretch = max(1.0, length / trained)
        inverse, magnitude = frequencies(depth, base), 1.0
        if kind == "linear":
            inverse = inverse / stretch
        elif kind == "ntk":
            inverse = frequencies(depth, base * stretch ** (depth / (depth - 2)))
        else:
            turns = trained * inverse / (2 * np.pi)  # how often each pair turns within the trained length
            pair = np.arange(depth // 2)
            slope = np.interp(pair, *_ramp(depth, base, trained))
            inverse = inverse * (1 - slope) + inverse / stretch * slope
            magnitude = 0.1 * np.log(stretch) + 1
            assert (slope[turns > 32] == 0).all() and (slope[turns < 1] == 1).all()
        close(artifact(x, ids), turn(x, ids, inverse, magnitude=magnitude), np.float32, last)


def _ramp(depth: int, base: float, trained: int) -> Any:
    """Pairs between those that turn 32 times and once, by solving for the pair."""
    ends = [depth * np.log(trained / (times * 2 * np.pi)) / (2 * np.log(base)) for times in (32, 1)]
    return [max(np.floor(ends[0]), 0), np.ceil(ends[1])], [0.0, 1.0]


@pytest.mark.parametrize("heads", [1, 4, 6, 12])
def test_alibi(heads: int) -> None:
    mask = np.asarray(tessera.nn.alibi(heads, 3, 5))
    power = 2 ** int(np.log2(heads))
    slopes = [2 ** (-8 * (h + 1) / power) for h in range(power)]
    slopes += [2 ** (-4 * (h + 1) / power) for h in range(0, 2 * (heads - power), 2)]
    distance = np.abs(np.arange(5) - (np.arange(3)[:, None] + 2))
    np.testing.assert_allclose(mask, -distance * np.array(slopes)[:, None, None], rtol=1e-6)


def test_errors() -> None:
    for shape, message in [((1, 2, 3, 5), "an even number of features"), ((2, 3, 4), "expected x to be [B, S, H, D]")]:
        with pytest.raises(tessera.TesseraError) as caught:
            tessera.nn.rotary_embedding(np.ones(shape, np.float32))
        assert message in str(caught.value)
    with pytest.raises(tessera.TesseraError, match="position_ids of integers"):
        tessera.nn.rotary_embedding(np.ones((1, 2, 3, 4), np.float32), np.ones((1, 2), np.float32))
    with pytest.raises(tessera.TesseraError, match="positions and x's second size"):
        tessera.nn.rotary_embedding(np.ones((1, 2, 3, 4), np.float32), np.ones((1, 3), np.int64))
