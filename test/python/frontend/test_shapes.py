# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Shapes against NumPy's, over generated shapes, indices and reshapes."""

from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import tessera
from hypothesis import given, settings
from tessera import Tensor
from tracing import run, text_of

few = settings(max_examples=60, deadline=None)


def numbered(shape: tuple[int, ...]) -> Any:
    return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4))
@few
def test_broadcasting(shapes: Any) -> None:
    a, b, c = (numbered(shape) for shape in shapes.input_shapes)
    got = run(lambda a, b, c: a + b * c, a, b, c)
    np.testing.assert_array_equal(got, a + b * c)
    assert got.shape == shapes.result_shape


@given(st.data())
@few
def test_indexing(data: Any) -> None:
    x = numbered(data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)))
    key = data.draw(hnp.basic_indices(x.shape, allow_newaxis=True))
    symbolic = data.draw(st.booleans())
    np.testing.assert_array_equal(run(lambda a: a[key], x, symbolic=symbolic), x[key])


@given(st.data())
@few
def test_integer_array_indexing(data: Any) -> None:
    x = numbered(data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)))
    dim = data.draw(st.integers(0, x.ndim - 1))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    i = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-x.shape[dim], x.shape[dim] - 1)))
    key = (*[slice(None)] * dim, i)
    for symbolic in (False, True):
        got = run(lambda a, j: a[(*[slice(None)] * dim, j)], x, i, symbolic=symbolic)
        np.testing.assert_array_equal(got, x[key])


@given(st.data())
@few
def test_reshape(data: Any) -> None:
    factors = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    cut = sorted(data.draw(st.lists(st.integers(0, len(factors)), min_size=2, max_size=2)))
    groups = [factors[: cut[0]], factors[cut[0] : cut[1]], factors[cut[1] :]]
    x = numbered(tuple(factors))
    shape = [int(np.prod(group)) for group in groups]
    if data.draw(st.booleans()):
        shape[data.draw(st.integers(0, 2))] = -1
    for symbolic in (False, True):
        np.testing.assert_array_equal(run(lambda a: a.reshape(shape), x, symbolic=symbolic), x.reshape(shape))


@given(st.data())
@few
def test_matmul(data: Any) -> None:
    shapes = data.draw(hnp.mutually_broadcastable_shapes(signature="(m?,n),(n,p?)->(m?,p?)", max_dims=3, max_side=3))
    a, b = (numbered(shape) for shape in shapes.input_shapes)
    np.testing.assert_array_equal(run(lambda a, b: a @ b, a, b), a @ b)


@given(hnp.array_shapes(min_dims=0, max_dims=4, max_side=4), st.data())
@few
def test_reductions(shape: Any, data: Any) -> None:
    x = numbered(shape)
    dim = data.draw(st.one_of(st.none(), st.sets(st.integers(0, len(shape) - 1)).map(tuple) if shape else st.none()))
    keepdim = data.draw(st.booleans())
    for symbolic in (False, True):
        got = run(lambda a: a.sum(dim, keepdim), x, symbolic=symbolic)
        np.testing.assert_array_equal(got, x.sum(dim, keepdims=keepdim))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_empty_tensors(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    for symbolic in (False, True):
        assert run(lambda a: (a + 1).sum(-1), x, symbolic=symbolic).shape == shape[:-1]
        assert run(lambda a: a[1:], x, symbolic=symbolic).shape == x[1:].shape
        assert run(lambda a: tessera.concat([a, a], -1), x, symbolic=symbolic).shape == (*shape[:-1], 2 * shape[-1])


def test_question_marks_meet_by_guards() -> None:
    def f(x: Tensor["?"], y: Tensor["?"], z: Tensor[3]) -> Tensor["?"]:
        return x + y + z

    from tessera.frontend import TraceSpec, trace

    guards = trace(f, TraceSpec()).signature.to_manifest()["guards"]
    assert [(g["left"], g["right"]) for g in guards] == [("?0", "?1"), ("?1", 3)]
    assert "add: dimension -1 of [?0] and [?1]: expected equal sizes" in guards[0]["message"]
    assert guards[0]["source"].startswith("test_shapes.py:")


def test_a_guard_teaches() -> None:
    """After x + y, their sizes are one: no second guard, and the product of both is a square."""

    def f(x: Tensor["?"], y: Tensor["?"]) -> Tensor["?", "?"]:
        z = x + y
        return (z * x * y).reshape(1, -1) * z.reshape(-1, 1)

    from tessera.frontend import TraceSpec, trace

    assert len(trace(f, TraceSpec()).signature.guards) == 1


def test_divisibility_is_proven_or_guarded() -> None:
    def f(x: Tensor["B", "D"]) -> Tensor["B", 2, "?"]:
        return x.reshape(x.shape[0], 2, -1)

    from tessera.frontend import TraceSpec, trace

    guards = trace(f, TraceSpec()).signature.to_manifest()["guards"]
    assert len(guards) == 1
    assert guards[0]["left"] == ["%", ["*", "B", "D"], ["*", "B", 2]]
    assert trace(f, TraceSpec(dims={"D": tessera.Dim(multiple_of=2)})).signature.guards == []


def test_bounds_are_proven_or_guarded() -> None:
    def f(x: Tensor["B"]) -> Tensor[()]:
        return x[3]

    from tessera.frontend import TraceSpec, trace

    guards = trace(f, TraceSpec()).signature.to_manifest()["guards"]
    assert [(g["left"], g["right"]) for g in guards] == [(["max", 4, "B"], "B")]
    assert trace(f, TraceSpec(dims={"B": tessera.Dim(4)})).signature.guards == []


def test_index_arithmetic_is_computed_once_at_the_start() -> None:
    def f(x: Tensor["B", "D"]) -> Tensor["B", "?"]:
        half = x.shape[1] // 2
        return x[:, :half] + x[:, -half:]

    text = text_of(f, dims={"D": tessera.Dim(2)})
    assert text.count("arith.floordivsi") == 1
    assert text.index("arith.floordivsi") < text.index("tessera.slice")
