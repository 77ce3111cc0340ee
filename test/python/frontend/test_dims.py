# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The algebra of sizes: every simplification and proof agrees with arithmetic on integers."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import tessera
from hypothesis import assume, given, settings
from tessera.frontend import Size, Symbol, dims
from tessera.frontend.expressions import evaluate

B = Symbol("B", min=1)
S = Symbol("S", min=0, max=64, multiple_of=8)
D = Symbol("D", min=2, max=4096)
U = Symbol("?0")
SYMBOLS = (B, S, D, U)
b, s, d, u = (dims.size_of(symbol) for symbol in SYMBOLS)

environments = st.fixed_dictionaries(
    {
        "B": st.integers(1, 9),
        "S": st.integers(0, 8).map(lambda k: 8 * k),
        "D": st.integers(2, 40),
        "?0": st.integers(0, 9),
    }
)
# A pair: the size, and the same computation on plain numbers.
leaves = st.one_of(
    st.sampled_from(SYMBOLS).map(lambda x: (dims.size_of(x), lambda env: env[x.name])),
    st.integers(-3, 20).map(lambda n: (n, lambda env: n)),
)
OPERATORS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "min": min,
    "max": max,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
}


def combine(children: Any) -> Any:
    simple = st.tuples(st.sampled_from(["+", "-", "*", "min", "max"]), children, children)
    division = st.tuples(st.sampled_from(["//", "%"]), children, leaves_positive)

    def apply(parts: Any) -> Any:
        operator, (left, f), (right, g) = parts
        return dims.apply(operator, left, right), lambda env: OPERATORS[operator](f(env), g(env))

    return st.one_of(simple, division).map(apply)


leaves_positive = st.one_of(
    st.just((b, lambda env: env["B"])),
    st.just((d, lambda env: env["D"])),
    st.integers(1, 16).map(lambda n: (n, lambda env: n)),
)
sizes = st.recursive(leaves, combine, max_leaves=8)


@given(sizes, environments)
def test_a_size_is_worth_what_it_was_computed_from(size: Any, env: Any) -> None:
    value, reference = size
    assert evaluate(dims.expression(value), env) == reference(env)


@given(sizes, environments)
def test_bounds_hold(size: Any, env: Any) -> None:
    low, high = dims.bounds(size[0])
    assert low <= size[1](env) <= high


@given(sizes, sizes, environments)
def test_proofs_hold(left: Any, right: Any, env: Any) -> None:
    x, y = left[1](env), right[1](env)
    known = dims.proven_equal(left[0], right[0])
    assert known is None or known == (x == y)
    assert not dims.proven_le(left[0], right[0]) or x <= y
    if known:
        assert hash(left[0]) == hash(right[0]) or isinstance(left[0], int)


@given(sizes, environments, environments)
def test_substitution_commutes_with_evaluation(size: Any, env: Any, other: Any) -> None:
    replaced = dims.substitute(size[0], lambda symbol: other[symbol.name])
    assert replaced == size[1](other)
    renamed = dims.substitute(size[0], lambda symbol: dims.size_of(symbol))
    assert dims.same(renamed, size[0])


@given(sizes)
@settings(max_examples=50)
def test_text_reads_back(size: Any) -> None:
    assume(isinstance(size[0], Size))
    import ast

    text = str(size[0]).replace("?0", "U")
    names = {"B": b, "S": s, "D": d, "U": u, "min": dims.minimum, "max": dims.maximum}
    assert dims.same(eval(compile(ast.parse(text, mode="eval"), "", "eval"), {}, names), size[0])


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (b * d, "B * D"),
        (b + d - 1, "B + D - 1"),
        (-b + 3, "3 - B"),
        (d // 2, "D // 2"),
        (d * 3 // 2, "D + D // 2"),
        (d - d // 2, "D - D // 2"),
        ((b + 1) * (b - 1), "B * B - 1"),
        (s // 8, "S // 8"),
        (s // 16, "S // 8 // 2"),
        (dims.minimum(b, d), "min(B, D)"),
        (d % 3, "D % 3"),
        (2 * (b + d), "B * 2 + D * 2"),
    ],
)
def test_text(size: Any, text: str) -> None:
    assert str(size) == text


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (b + d, d + b),
        (b * d // d, b),
        (b * d // b, d),
        ((b + d) * (b - d), b * b - d * d),
        ((b * b - d * d) // (b + d), b - d),
        (s % 8, 0),
        (s // 8 * 8, s),
        ((s + 3) // 8, s // 8),
        ((s + 3) % 8, 3),
        (2 * d // 2, d),
        ((2 * d + 1) // 2, d),
        (d // 2 + (d - d // 2), d),
        (dims.minimum(d // 2, d), d // 2),
        (dims.maximum(d - 1, 0), d - 1),
        (dims.minimum(s, 64), s),
        (dims.maximum(b, 1), b),
        (-(-s // 8), s // 8),
        (d // 5000, 0),
        (d % 5000, d),
        (b % (b + 1), b),
        (dims.minimum(b, d), dims.minimum(d, b)),
    ],
)
def test_proven(left: Any, right: Any) -> None:
    assert dims.same(left, right)
    assert left == right


@pytest.mark.parametrize(
    ("left", "right"), [(b, b + 1), (b, 0), (d, 1), (s, 65), (s, 3), (2 * b, 2 * d + 1), (d, 5000), (b, -d)]
)
def test_refuted(left: Any, right: Any) -> None:
    assert left != right


@pytest.mark.parametrize(
    "compare", [lambda: b == d, lambda: b == 2, lambda: b < d, lambda: s >= 8, lambda: bool(s), lambda: u > 0]
)
def test_undecided(compare: Any) -> None:
    with pytest.raises(tessera.TraceError, match="TSR1201"):
        compare()


def test_decided_comparisons() -> None:
    assert b > 0
    assert b >= 1
    assert not b < 1
    assert d <= 4096
    assert b * d >= d
    assert bool(b)
    assert b != "B"
    assert b not in ("B", None)


def test_arithmetic_with_itself_gives_numbers() -> None:
    assert (b - b, b * 0, b // b, d - (d - 4)) == (0, 0, 1, 4)
    assert all(type(n) is int for n in (b - b, b * 0, b // b))


def test_sizes_are_keys() -> None:
    table = {b + d: 1, b: 2}
    assert table[d + b] == 1
    assert table[b] == 2
