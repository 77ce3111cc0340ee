# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random numbers: Philox's published vectors, distributions, seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tessera
from tessera.ops.random import philox
from tracing import run

#: Counter, key and result: the known-answer vectors (kat_vectors) of Random123, the reference implementation.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    def f(c: Any, k: Any) -> Any:
        return tessera.stack(list(philox(tuple(c[i] for i in range(4)), (k[0], k[1]))))

    got = run(f, np.array(words(counter)), np.array(words(key)))
    assert got.tolist() == words(expected)


@pytest.mark.parametrize(
    "dtype", [tessera.f64, tessera.f32, tessera.f16, tessera.bf16, tessera.fp8_e4m3], ids=lambda d: d.name
)
def test_uniform(dtype: Any) -> None:
    x = run(lambda: tessera.rand(50, 40, dtype=dtype, seed=1)).astype(np.float64)
    assert x.shape == (50, 40)
    assert x.min() >= 0 and x.max() < 1
    slack = 0.05 if dtype.itemsize == 1 else 0.02
    assert abs(x.mean() - 0.5) < slack + (0.04 if dtype.itemsize == 1 else 0)
    assert abs(x.var() - 1 / 12) < 0.01


@pytest.mark.parametrize("dtype", [tessera.f64, tessera.f32, tessera.bf16], ids=lambda d: d.name)
def test_normal(dtype: Any) -> None:
    x = run(lambda: tessera.randn(100, 100, dtype=dtype, seed=7)).astype(np.float64)
    assert np.isfinite(x).all()
    assert abs(x.mean()) < 0.03
    assert abs(x.var() - 1) < 0.05
    # Kurtosis of the normal distribution.
    assert abs((x**4).mean() - 3) < 0.3


def test_integers() -> None:
    x = run(lambda: tessera.randint(-2, 4, 3000, seed=5))
    assert set(x.tolist()) == set(range(-2, 4))
    assert np.bincount(x + 2).min() > 400


def test_an_element_depends_on_its_position_only() -> None:
    long, short = run(lambda: tessera.rand(100, seed=3)), run(lambda: tessera.rand(10, seed=3))
    np.testing.assert_array_equal(long[:10], short)


def test_seeds() -> None:
    def f(seed: Any) -> Any:
        return tessera.rand(8, seed=seed)

    one, other = run(f, np.array(1)), run(f, np.array(2))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, run(lambda: tessera.rand(8, seed=1)))
    large = 2**40 + 1
    np.testing.assert_array_equal(run(f, np.array(large)), run(lambda: tessera.rand(8, seed=large)))
    assert not np.array_equal(one, run(f, np.array(large)))


def test_calls_without_seed_differ_from_each_other_and_repeat() -> None:
    def f() -> Any:
        return tessera.rand(8), tessera.rand(8)

    a, b = run(f)
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(run(f)[0], a)


def test_symbolic_shape() -> None:
    x = np.zeros((3, 4), np.float32)
    got = run(lambda a: tessera.rand(*a.shape, seed=2), x, symbolic=True)
    np.testing.assert_array_equal(got, run(lambda: tessera.rand(3, 4, seed=2)))
