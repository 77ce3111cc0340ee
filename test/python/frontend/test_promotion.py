# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The promotion table: its laws, what it shares with NumPy, and that the docs show it."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor, dtypes
from tessera.frontend import promotion
from tessera.frontend.promotion import promote, result_dtype
from tracing import run, text_of

DOCS = Path(__file__).resolve().parents[3] / "docs" / "promotion.md"
pairs = list(itertools.product(dtypes.ALL, repeat=2))


@pytest.mark.parametrize(("a", "b"), pairs)
def test_commutative_and_an_upper_bound(a: Any, b: Any) -> None:
    c = promote(a, b)
    assert c == promote(b, a)
    assert promote(a, c) == promote(b, c) == c


@pytest.mark.parametrize(("a", "b", "c"), list(itertools.product(dtypes.ALL, repeat=3)))
def test_associative(a: Any, b: Any, c: Any) -> None:
    # fp8 of two kinds widens to bf16 first: beside f16 the order shows, as it does in NumPy for int and float16.
    if {a, b, c} == {dtypes.fp8_e4m3, dtypes.fp8_e5m2, dtypes.f16}:
        pytest.skip("the one triple whose order shows")
    assert promote(promote(a, b), c) == promote(a, promote(b, c))


def test_same_kind_as_numpy() -> None:
    for a, b in pairs:
        if a.kind == b.kind and a.numpy.isbuiltin == b.numpy.isbuiltin == 1:
            assert promote(a, b).numpy == np.promote_types(a.numpy, b.numpy)


@pytest.mark.parametrize(
    ("operands", "expected"),
    [
        ((dtypes.bf16, float), "bf16"),
        ((dtypes.bf16, int), "bf16"),
        ((dtypes.int8, int), "int8"),
        ((dtypes.int32, float), "f32"),
        ((dtypes.int64, float), "f32"),
        ((dtypes.bool_, int), "int64"),
        ((dtypes.bool_, float), "f32"),
        ((dtypes.bool_, bool), "bool"),
        ((dtypes.int64, dtypes.bf16), "bf16"),
        ((dtypes.bf16, dtypes.f16), "f32"),
        ((dtypes.fp8_e4m3, dtypes.fp8_e5m2), "bf16"),
        ((dtypes.fp8_e4m3, dtypes.f16), "f16"),
        ((int, float), "f32"),
        ((int, bool), "int64"),
    ],
)
def test_examples(operands: Any, expected: str) -> None:
    assert result_dtype(*operands) == expected


def test_docs_show_the_table() -> None:
    assert promotion.render_docs() in DOCS.read_text()


def test_narrow_floats_are_computed_wide_and_rounded_once_each() -> None:
    def f(x: Tensor["B", tessera.bf16]) -> Tensor["B", tessera.bf16]:
        return tessera.exp(x) + 1

    text = text_of(f)
    assert text.count("tessera.cast") == 4
    assert text.count("{implicit} : tensor<?xbf16> to tensor<?xf32>") == 2
    assert text.count("{implicit} : tensor<?xf32> to tensor<?xbf16>") == 2
    assert "tessera.exp %1 : tensor<?xf32>" in text


def test_a_python_number_is_not_rounded_to_a_narrow_dtype() -> None:
    def f(x: Tensor["B", tessera.bf16]) -> Tensor["B", tessera.bf16]:
        return x * 1.001

    assert "dense<1.001000e+00> : tensor<f32>" in text_of(f)


def test_explicit_casts_stay() -> None:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        return x.cast(tessera.bf16).cast(tessera.f32)

    assert "implicit" not in text_of(f)


def test_matmul_operands_keep_their_dtype() -> None:
    def f(x: Tensor["B", "D", tessera.bf16], w: Tensor["D", "E", tessera.bf16]) -> Tensor["B", "E", tessera.bf16]:
        return x @ w

    text = text_of(f)
    assert "tessera.cast" not in text
    assert "tessera.matmul" in text


def test_precision_context() -> None:
    def f(x: Tensor["B"], w: Tensor["B", tessera.bf16]) -> Tensor[()]:
        with tessera.precision(accumulate=tessera.f64):
            a = x.sum()
        with tessera.precision(compute=tessera.bf16):
            b = w * w
        return a + b.sum()

    text = text_of(f)
    assert "tessera.reduce_sum" in text
    assert "tensor<?xf64> -> tensor<f64>" in text
    assert "tessera.mul %arg1, %arg1 : (tensor<?xbf16>, tensor<?xbf16>) -> tensor<?xbf16>" in text


def test_tf32_is_for_f32_products_only() -> None:
    def f(x: Tensor["B", "B"]) -> Tensor["B", "B"]:
        with tessera.precision(compute=tessera.tf32):
            y = x @ x
        return y @ x

    assert text_of(f).count('tessera.compute = "tf32"') == 1


def test_policy_of_a_function() -> None:
    @tessera.function(policy=tessera.Policy(accumulate=tessera.f64))
    def f(x: Tensor["B"]) -> Tensor[()]:
        return x.sum()

    assert "tensor<?xf64> -> tensor<f64>" in text_of(f)


@pytest.mark.parametrize("scalar", [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int8(2)])
@pytest.mark.parametrize("dtype", dtypes.ALL)
def test_scalars_beside_tensors(dtype: Any, scalar: Any) -> None:
    x = np.ones(3, dtype.numpy)
    # numpy.float64 is a Python float, and as weak; other NumPy scalars have a dtype of their own.
    kind = float if isinstance(scalar, float) else type(scalar) if type(scalar) in (bool, int) else None
    expected = result_dtype(dtype, kind or dtypes.as_dtype(scalar.dtype))
    for function in (lambda a: a * scalar, lambda a: scalar * a):
        assert run(function, x).dtype == expected.numpy


def test_results_take_the_functions_dtype() -> None:
    def f(x: Tensor["B"], w: Tensor["B", tessera.f32]) -> Tensor["B"]:
        return x * w

    assert "-> (tensor<?xbf16>" in text_of(f, dtype=tessera.bf16)

    def g(x: Tensor["B"]) -> Tensor["B"]:
        return x.cast(tessera.f32) * 2  # the user's own dtype wins

    assert "-> (tensor<?xf32>" in text_of(g, dtype=tessera.bf16)

    def h(x: Tensor["B"]) -> Tensor["B", tessera.f64]:
        return x

    assert "-> (tensor<?xf64>" in text_of(h)
