# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What traced operations compute, by the reference interpreter, against NumPy."""

import math
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tessera
from interpreter import BINARY, UNARY
from tracing import run

rng = np.random.default_rng(7)
X = rng.standard_normal((3, 4)).astype(np.float32)
Y = rng.standard_normal((3, 4)).astype(np.float32)
P = np.abs(X) + np.float32(0.5)
N = rng.integers(-5, 6, (3, 4)).astype(np.int32)
J = rng.integers(1, 5, (3, 4)).astype(np.int32)
M = X > 0
T = rng.standard_normal((2, 3, 4)).astype(np.float32)


def _same(got: Any, want: Any) -> None:
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            _same(g, w)
        return
    want = np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


CASES: dict[str, tuple[Any, ...]] = {
    # arithmetic: function, reference, arguments
    "add": (lambda a, b: a + b, None, X, Y),
    "sub": (lambda a, b: a - b, None, X, Y),
    "mul": (lambda a, b: a * b, None, X, Y),
    "div": (lambda a, b: a / b, None, X, P),
    "floor_div": (lambda a, b: a // b, None, N, J),
    "floor_div float": (lambda a, b: a // b, None, X, P),
    "mod": (lambda a, b: a % b, None, N, J),
    "mod float": (lambda a, b: a % b, None, X, P),
    "divmod": (lambda a, b: divmod(a, b), None, N, J),
    "pow": (lambda a, b: a**b, None, P, Y),
    "pow 0": (lambda a: a**0, None, X),
    "pow 1": (lambda a: a**1, None, X),
    "pow 2": (lambda a: a**2, None, X),
    "pow 3": (lambda a: a**3, None, X),
    "pow 7": (lambda a: a**7, None, X),
    "pow -1": (lambda a: a**-1, None, P),
    "pow -2": (lambda a: a**-2, None, P),
    "pow 0.5": (lambda a: a**0.5, None, P),
    "pow -0.5": (lambda a: a**-0.5, None, P),
    "pow 2.5": (lambda a: a**2.5, None, P),
    "pow int": (lambda a: a**3, None, N),
    "rpow": (lambda a: 2**a, None, X),
    "scalars": (lambda a: 1 - 2 * a + 3.5, None, X),
    "rdiv": (lambda a: 1 / a, None, P),
    "rfloordiv": (lambda a: 7 // a, None, J),
    "rmod": (lambda a: 7 % a, None, J),
    "neg pos abs": (lambda a: -a + +a + abs(a), None, X),
    "int div": (lambda a, b: a / b, lambda a, b: (a / b).astype(np.float32), N, J),
    "bool add": (lambda a, b: a + b, None, M, ~M),
    "bool mul": (lambda a, b: a * b, None, M, M),
    "bool maximum": (lambda a, b: tessera.maximum(a, b), np.maximum, M, ~M),
    "bool int": (lambda a, b: a * b, None, M, N),
    "bool float scalar": (lambda a: a * 2.5, lambda a: (a * 2.5).astype(np.float32), M),
    "bool int scalar": (lambda a: a + 1, None, M),
    "int float scalar": (lambda a: a * 0.5, lambda a: (a * 0.5).astype(np.float32), N),
    "iadd": (lambda a, b: _iadd(a, b), lambda a, b: a + b, X, Y),
    # bits
    "and": (lambda a, b: a & b, None, N, J),
    "or": (lambda a, b: a | b, None, N, J),
    "xor": (lambda a, b: a ^ b, None, N, J),
    "invert": (lambda a: ~a, None, N),
    "and bool": (lambda a, b: a & ~b | (a ^ b), None, M, ~M),
    "and scalar": (lambda a: a & 3, None, N),
    "shifts": (lambda a, b: (a << b) + (a >> b), None, N, J),
    # comparisons
    "lt": (lambda a, b: a < b, None, X, Y),
    "ge scalar": (lambda a: a >= 0.5, None, X),
    "eq": (lambda a, b: a == b, None, N, J),
    "ne": (lambda a, b: a != b, None, N, J),
    "bool lt": (lambda a, b: a < b, None, M, ~M),
    "bool eq": (lambda a, b: a == b, None, M, ~M),
    "reflected lt": (lambda a: a > 0, None, X),
    "where": (lambda m, a, b: tessera.where(m, a, b), np.where, M, X, Y),
    "where scalar": (lambda m, a: tessera.where(m, a, 0), lambda m, a: np.where(m, a, np.float32(0)), M, X),
    "where int mask": (lambda m, a, b: tessera.where(m, a, b), lambda m, a, b: np.where(m != 0, a, b), N, X, Y),
    "clip": (lambda a: a.clip(-0.5, 0.5), lambda a: np.clip(a, -0.5, 0.5), X),
    "clip one": (lambda a: tessera.clip(a, max=0.5), lambda a: np.minimum(a, np.float32(0.5)), X),
    "maximum minimum": (
        lambda a, b: tessera.maximum(a, b) - tessera.minimum(a, b),
        lambda a, b: np.maximum(a, b) - np.minimum(a, b),
        X,
        Y,
    ),
    # functions
    **{
        name: (lambda a, n=name: getattr(tessera, n)(a), lambda a, n=name: getattr(np, n)(a), P)
        for name in [
            "exp",
            "exp2",
            "expm1",
            "log",
            "log1p",
            "log2",
            "sqrt",
            "tanh",
            "sin",
            "cos",
            "floor",
            "ceil",
            "abs",
            "square",
            "sign",
            "isnan",
            "isfinite",
        ]
    },
    "round": (lambda a: tessera.round(a * 4), lambda a: np.rint(a * 4), X),
    "rsqrt": (lambda a: tessera.rsqrt(a), lambda a: 1 / np.sqrt(a), P),
    "sigmoid": (lambda a: tessera.sigmoid(a), lambda a: 1 / (1 + np.exp(-a)), X),
    "erf": (lambda a: tessera.erf(a), lambda a: np.vectorize(math.erf)(a).astype(np.float32), X),
    "sqrt of ints": (lambda a: tessera.sqrt(a), lambda a: np.sqrt(a.astype(np.float32)), J),
    "floor of ints": (lambda a: tessera.floor(a), lambda a: a, N),
    "reciprocal": (lambda a: tessera.reciprocal(a), lambda a: 1 / a, P),
    # casts
    "cast": (lambda a: a.cast(tessera.int32), lambda a: a.astype(np.int32), X * 3),
    "astype": (lambda a: a.astype("f64"), lambda a: a.astype(np.float64), X),
    "cast bool": (lambda a: a.cast(tessera.bool), lambda a: a != 0, N),
    "cast bf16": (lambda a: a.cast(tessera.bf16), lambda a: a.astype(ml_dtypes.bfloat16), X),
    # reductions
    **{
        f"{name} {dim} {keep}": (
            lambda a, n=name, d=dim, k=keep: getattr(a, n)(d, keepdim=k),
            lambda a, n=name, d=dim, k=keep: getattr(a, n)(axis=d, keepdims=k),
            T,
        )
        for name in ("sum", "mean", "max", "min", "prod", "var")
        for dim, keep in ((None, False), (-1, True), ((0, 2), False))
    },
    "var correction": (lambda a: a.var(-1, correction=1), lambda a: a.var(-1, ddof=1), T),
    "std": (lambda a: tessera.std(a, 0), lambda a: a.std(0), T),
    "sum ints": (lambda a: a.sum(), lambda a: a.sum(dtype=np.int64), N),
    "sum bools": (lambda a: a.sum(1), None, M),
    "mean ints": (lambda a: a.mean(0), lambda a: a.mean(0).astype(np.float32), N),
    "any": (lambda a: a.any(0), None, M),
    "all": (lambda a: tessera.all(a, dim=1), lambda a: a.all(1), M),
    "any floats": (lambda a: a.any(), None, X),
    "max bools": (lambda a: a.max(0), None, M),
    "argmax": (lambda a: a.argmax(1), None, X),
    "argmin all": (lambda a: a.argmin(), None, X),
    "argmax keepdim": (lambda a: a.argmax(0, keepdim=True), lambda a: a.argmax(0, keepdims=True), X),
    "argmax bools": (lambda a: a.argmax(1), None, M),
    "cumsum": (lambda a: a.cumsum(1), None, X),
    "cumsum ints": (lambda a: a.cumsum(0), lambda a: a.cumsum(0, dtype=np.int64), N),
    "sort": (lambda a: tessera.sort(a)[0], lambda a: np.sort(a), X),
    "argsort": (lambda a: tessera.argsort(a, 0), lambda a: np.argsort(a, 0, kind="stable"), N),
    "sort descending": (lambda a: tessera.sort(a, descending=True)[0], lambda a: -np.sort(-a), X),
    "sort bools": (lambda a: tessera.sort(a)[0], lambda a: np.sort(a), M),
    # shapes
    "reshape": (lambda a: a.reshape(4, 3), None, X),
    "reshape -1": (lambda a: a.reshape(2, -1), None, X),
    "reshape tuple": (lambda a: a.reshape((-1,)), None, X),
    "flatten": (lambda a: a.flatten(1), lambda a: a.reshape(2, 12), T),
    "T": (lambda a: a.T, None, T),
    "mT": (lambda a: a.mT, lambda a: a.swapaxes(-1, -2), T),
    "transpose": (lambda a: a.transpose(0, 2), lambda a: a.swapaxes(0, 2), T),
    "transpose tuple": (lambda a: a.transpose((2, 0, 1)), lambda a: a.transpose(2, 0, 1), T),
    "permute": (lambda a: a.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1), T),
    "moveaxis": (lambda a: tessera.moveaxis(a, 0, -1), lambda a: np.moveaxis(a, 0, -1), T),
    "concat": (lambda a, b: tessera.concat([a, b], dim=1), lambda a, b: np.concatenate([a, b], 1), X, Y),
    "concat promotes": (
        lambda a, b: tessera.concat([a, b]),
        lambda a, b: np.concatenate([a, b]).astype(np.float32),
        X,
        N,
    ),
    "stack": (lambda a, b: tessera.stack([a, b], dim=1), lambda a, b: np.stack([a, b], 1), X, Y),
    "split": (lambda a: tessera.split(a, 2, dim=1), lambda a: np.split(a, 2, 1), X),
    "split sizes": (lambda a: tessera.split(a, [1, -1], dim=1), lambda a: [a[:, :1], a[:, 1:]], X),
    "squeeze": (lambda a: a[:, :1].squeeze(1), lambda a: a[:, 0], X),
    "unsqueeze": (lambda a: a.unsqueeze(-1), lambda a: a[..., None], X),
    "flip": (lambda a: tessera.flip(a, 1), lambda a: np.flip(a, 1), X),
    "repeat": (lambda a: tessera.repeat(a, 2, 1), lambda a: np.repeat(a, 2, 1), X),
    "tril": (lambda a: tessera.tril(a), lambda a: np.tril(a), X),
    "triu": (lambda a: tessera.triu(a, 1), lambda a: np.triu(a, 1), X),
    # linear
    "matmul": (lambda a, b: a @ b.T, None, X, Y),
    "matmul vector": (lambda a, b: a @ b[0], None, X, Y),
    "vector matmul": (lambda a, b: a[:, 0] @ b, None, X, Y),
    "dot": (lambda a, b: a[0] @ b[0], None, X, Y),
    "batched": (lambda a, b: a @ b.mT, lambda a, b: a @ b.swapaxes(-1, -2), T, T),
    "outer": (lambda a, b: tessera.outer(a[0], b[0]), lambda a, b: np.outer(a[0], b[0]), X, Y),
    "matmul ints": (lambda a, b: a @ b.T, None, N, J),
    # nn
    "softmax": (lambda a: tessera.nn.softmax(a), lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True), X),
    "log_softmax": (lambda a: tessera.nn.log_softmax(a, 0), lambda a: np.log(np.exp(a) / np.exp(a).sum(0)), X),
    "swish": (lambda a: tessera.nn.swish(a, 2.0), lambda a: a / (1 + np.exp(-2 * a)), X),
    "relu": (lambda a: tessera.nn.relu(a), lambda a: np.maximum(a, 0), X),
    "gelu": (
        lambda a: tessera.nn.gelu(a),
        lambda a: (a * 0.5 * (1 + np.vectorize(math.erf)(a / np.sqrt(2)))).astype(np.float32),
        X,
    ),
    "gelu tanh": (
        lambda a: tessera.nn.gelu(a, "tanh"),
        lambda a: 0.5 * a * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (a + np.float32(0.044715) * a**3))),
        X,
    ),
    "rms_norm": (lambda a: tessera.nn.rms_norm(a), lambda a: a / np.sqrt((a**2).mean(-1, keepdims=True) + 1e-6), X),
    "layer_norm": (
        lambda a: tessera.nn.layer_norm(a),
        lambda a: (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5),
        X,
    ),
    # creation beside an argument
    "arange": (lambda a: tessera.arange(4) + a, lambda a: np.arange(4) + a, N),
    "zeros_like": (lambda a: tessera.zeros_like(a) + tessera.ones_like(a), lambda a: np.ones_like(a), X),
    "full_like": (lambda a: tessera.full_like(a, 3), lambda a: np.full_like(a, 3), N),
    "iota": (lambda a: tessera.iota(a.shape, 1), lambda a: np.broadcast_to(np.arange(4), (3, 4)), X),
    "size as number": (lambda a: a * a.shape[1] + a.shape[0] / 2, lambda a: (a * 4 + 1.5).astype(np.float32), X),
}


def _iadd(a: Any, b: Any) -> Any:
    a += b
    return a


@pytest.mark.parametrize("name", CASES)
def test_operation(name: str) -> None:
    function, expected, *args = CASES[name]
    # Exactly what is written works on NumPy arrays too, where no reference is given.
    reference = expected or function
    want = reference(*args)
    for symbolic in (False, True):
        _same(run(function, *args, symbolic=symbolic), want)


KEYS = [
    0, -1, slice(None), slice(1, 3), slice(-2, None), slice(None, -1), slice(None, None, 2), slice(None, None, -1),
    slice(5, 1, -2), slice(10, 20), slice(3, 1), Ellipsis, None, (0, 1), (slice(None), 2), (Ellipsis, 0),
    (0, Ellipsis, -1),
    (None, 0, None), (slice(1, None), None, slice(None, 2)), (Ellipsis, None),
    (slice(None), slice(None), slice(1, 4, 2)),
    (1, slice(None), slice(None, None, -1)), np.array([0, 2, -1]), (slice(None), np.array([[1, 0], [2, 2]])),
    (Ellipsis, np.array([3, -4])), [1, 1, 0], (0, slice(None), np.array([1, 3])), (0, np.array([1, 0])), np.int64(1),
    (slice(None), np.array(1)), (slice(None), 1, np.array([2, 3])), (slice(None, None, 3), slice(-1, None, -3)),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("symbolic", [False, True])
def test_indexing(key: Any, symbolic: bool) -> None:
    x = np.arange(4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5)
    _same(run(lambda a: a[key], x, symbolic=symbolic), x[key])


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
@pytest.mark.parametrize("symbolic", [False, True])
def test_integer_tensors_index_and_wrap(dtype: Any, symbolic: bool) -> None:
    x, i = rng.standard_normal((5, 3)).astype(np.float32), np.array([[0, -1], [4, -5]], dtype)

    _same(run(lambda a, b: a[b], x, i, symbolic=symbolic), x[i])
    _same(run(lambda a, b: tessera.take(a, b, dim=0), x, i, symbolic=symbolic), np.take(x, i, 0))
    _same(run(lambda a, b: tessera.take(a, b), x, i, symbolic=symbolic), np.take(x, i))
    j = np.array([[0, -1, 2], [1, 1, 0]], dtype)
    _same(
        run(lambda a, b: tessera.gather(a, b, 0), x, j, symbolic=symbolic), np.take_along_axis(x, j.astype(np.int64), 0)
    )


def test_gather_refuses_a_neighbouring_row() -> None:
    x, i = np.ones((5, 3), np.float32), np.array([[3]])
    with pytest.raises(IndexError):
        run(lambda a, b: tessera.gather(a, b, 1), x[:1], i)


@pytest.mark.parametrize("symbolic", [False, True])
def test_dynamic_slice(symbolic: bool) -> None:
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    for start in (0, 3, 7):
        i = np.array(start)
        _same(run(lambda a, i: a[i : i + 3], x, i, symbolic=symbolic), x[start : start + 3])
        _same(run(lambda a, i: a[i - 0 : i + 1 + 2, 0], x, i, symbolic=symbolic), x[start : start + 3, 0])
        _same(run(lambda a, i: a[i], x, i, symbolic=symbolic), x[start])
        _same(run(lambda i: tessera.arange(i, i + 3), i, symbolic=symbolic), np.arange(start, start + 3))


@pytest.mark.parametrize(
    "function",
    [
        lambda np: np.arange(5),
        lambda np: np.arange(2, 9, 3),
        lambda np: np.arange(9, 2, -3),
        lambda np: np.arange(5, 2),
        lambda np: np.eye(3, dtype="float64"),
        lambda np: np.eye(2, 3, dtype="float32"),
        lambda np: np.zeros((2, 0), dtype="int32"),
        lambda np: np.ones(3, dtype="float16"),
        lambda np: np.full((2, 2), 7),
        lambda np: np.full((), True),
    ],
)
def test_creation(function: Any) -> None:
    _same(run(lambda: function(tessera)), function(np))


def test_creation_of_floats() -> None:
    _same(run(lambda: tessera.arange(0.0, 1.0, 0.25)), np.arange(0.0, 1.0, 0.25, dtype=np.float32))
    _same(run(lambda: tessera.full((2,), 2.5)), np.full(2, 2.5, np.float32))
    _same(run(lambda: tessera.zeros(2, 3)), np.zeros((2, 3), np.float32))
    _same(run(lambda: tessera.linspace(0.0, 2.0, 5)), np.linspace(0, 2, 5, dtype=np.float32))
    _same(run(lambda: tessera.asarray([[1, 2], [3, 4]])), np.array([[1, 2], [3, 4]]))
    _same(run(lambda: tessera.asarray([1.5, 2])), np.array([1.5, 2], np.float32))


@pytest.mark.parametrize("largest", [True, False])
def test_topk(largest: bool) -> None:
    values, indices = run(lambda a: tessera.topk(a, 2, dim=1, largest=largest), X)
    order = np.argsort(-X if largest else X, 1, kind="stable")[:, :2]
    _same((values, indices), (np.take_along_axis(X, order, 1), order))


def test_sort_is_stable_and_puts_nan_last() -> None:
    x = np.array([2.0, np.nan, 1.0, 2.0, 1.0], np.float32)
    for descending, order in ((False, [2, 4, 0, 3, 1]), (True, [1, 0, 3, 2, 4])):
        values, indices = run(lambda a, d=descending: tessera.sort(a, descending=d), x)
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_array_equal(values, x[order])


def test_symbolic_concat_of_halves_is_whole() -> None:
    @tessera.function
    def rotate(x: tessera.Tensor["B", "D"]) -> tessera.Tensor["B", "D"]:
        half = x.shape[-1] // 2
        return tessera.concat([-x[:, half:], x[:, :half]], dim=-1)

    for size in (4, 5):
        x = rng.standard_normal((3, size)).astype(np.float32)
        _same(run(rotate, x), np.concatenate([-x[:, size // 2 :], x[:, : size // 2]], -1))


@pytest.mark.parametrize(("kind", "known"), [("Unary", UNARY), ("Binary", BINARY)])
def test_the_interpreter_knows_every_elementwise_operation(kind: str, known: dict[str, Any]) -> None:
    text = (Path(__file__).resolve().parents[3] / "dialects" / "Tessera" / "ElementwiseOps.td").read_text()
    names = re.findall(rf'^def \w+ : Tessera_{kind}Op<"(\w+)"', text, re.MULTILINE)
    assert set(names) == known.keys(), "see test/python/interpreter.py"
