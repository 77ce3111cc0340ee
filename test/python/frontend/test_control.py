# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Branches and loops that depend on values."""

from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.frontend import TraceSpec, trace
from tracing import interpret, run, text_of

F = np.float32


@pytest.mark.parametrize("symbolic", [False, True])
def test_cond(symbolic: bool) -> None:
    def f(x: Any) -> Any:
        big = x.sum() > 0
        return tessera.cond(big, lambda v: {"y": v * 2, "n": 1.0}, lambda v: {"y": -x, "n": v[0]}, x)

    for x in (np.array([1, 2], F), np.array([-1, -2], F)):
        got = run(f, x, symbolic=symbolic)
        np.testing.assert_array_equal(got["y"], x * 2 if x.sum() > 0 else -x)
        assert got["n"] == (1 if x.sum() > 0 else x[0])


def test_cond_on_a_python_bool_traces_one_branch() -> None:
    text = text_of(lambda x: tessera.cond(True, lambda: x + 1, lambda: x.nothing), args=(np.ones(2, F),))
    assert "tessera.cond" not in text


def test_nested_branches_use_outer_values() -> None:
    def f(x: Any, y: Any) -> Any:
        def then() -> Any:
            z = x + y
            return tessera.cond(z[0] > 3, lambda: z * 2, lambda: z)

        return tessera.cond(y[0] > 0, then, lambda: x)

    for x, y in (([1, 1], [5, 0]), ([1, 1], [1, 0]), ([1, 1], [-1, 0])):
        a, b = np.array(x, F), np.array(y, F)
        z = a + b
        expected = (z * 2 if z[0] > 3 else z) if b[0] > 0 else a
        np.testing.assert_array_equal(run(f, a, b), expected)


def test_while_loop() -> None:
    def f(n: Any) -> Any:
        return tessera.while_loop(
            lambda s: s["i"] < n, lambda s: {"i": s["i"] + 1, "f": s["f"] * (s["i"] + 1)}, {"i": 0, "f": 1}
        )

    for n, expected in ((0, 1), (5, 120)):
        got = run(f, np.array(n))
        assert (int(got["f"]), int(got["i"])) == (expected, n)


def test_while_loop_carries_symbolic_shapes() -> None:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        return tessera.while_loop(lambda v: v.max() < 100, lambda v: v * 2 + x, x)

    x = np.array([1, 3], F)
    want = x
    while want.max() < 100:
        want = want * 2 + x
    np.testing.assert_array_equal(interpret(trace(f), x), want)


@pytest.mark.parametrize("symbolic", [False, True])
def test_scan(symbolic: bool) -> None:
    def f(x: Any, start: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            carry = carry * 0.5 + row
            return carry, {"sum": carry.sum(), "row": carry}

        return tessera.scan(step, start, x)

    rng = np.random.default_rng(0)
    x, start = rng.standard_normal((4, 3)).astype(F), np.zeros(3, F)
    carry, ys = run(f, x, start, symbolic=symbolic)
    rows = []
    want = start
    for row in x:
        want = want * F(0.5) + row
        rows.append(want)
    np.testing.assert_allclose(carry, want, rtol=1e-6)
    np.testing.assert_allclose(ys["row"], np.stack(rows), rtol=1e-6)
    np.testing.assert_allclose(ys["sum"], np.stack(rows).sum(1), rtol=1e-5)
    carry, ys = run(f, x[:0], start, symbolic=symbolic)
    assert ys["row"].shape == (0, 3)


def test_scan_by_length() -> None:
    carry, ys = run(lambda x: tessera.scan(lambda c, _: (c + x, None), tessera.zeros(2), length=3), np.ones(2, F))
    np.testing.assert_array_equal(carry, [3, 3])
    assert ys is None


def test_scan_over_a_symbolic_length_is_one_loop() -> None:
    def f(x: Tensor["S", "D"]) -> Tensor["S", "D"]:
        return tessera.scan(lambda c, row: (c + row, c + row), tessera.zeros(x.shape[1]), x)[1]

    text = text_of(f)
    assert text.count("tessera.scan") == 1
    assert "length = %0 sizes(%1) carry = 1" in text
    x = np.ones((4, 2), F)
    np.testing.assert_array_equal(interpret(trace(f), x), np.cumsum(x, 0))


def test_weights_inside_branches_are_arguments() -> None:
    table = np.random.default_rng(0).standard_normal((4, 8)).astype(F)

    def f(x: Tensor["B", 8]) -> Tensor["B", 4]:
        return tessera.cond(x.sum() > 0, lambda: x @ table.T, lambda: (x + 1) @ table.T)

    entry = trace(f, TraceSpec())
    assert list(entry.weights) == ["table"]  # table.T is a new array each time, but one weight
    x = np.ones((2, 8), F)
    np.testing.assert_allclose(interpret(entry, x), x @ table.T, rtol=1e-5, atol=1e-6)
