# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions in functions, closures, and the locations of operations."""

from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.frontend import trace
from tracing import interpret, run, text_of

F = np.float32
rng = np.random.default_rng(11)


@tessera.function
def scaled(x: Tensor["N", "M"], factor: float = 2.0) -> Tensor["N", "M"]:
    return x * factor


def test_one_copy_for_equal_signatures() -> None:
    def f(x: Tensor["B", "D"]) -> Tensor["B", "D"]:
        y = scaled(scaled(x))
        z = scaled(y, 3.0)
        return z + scaled(x.cast(tessera.f64)).cast(tessera.f32)

    text = text_of(f)
    assert text.count("func.func private") == 3  # f32 by 2, f32 by 3, f64 by 2
    assert text.count("call @scaled") == 4
    x = rng.standard_normal((3, 4)).astype(F)
    np.testing.assert_allclose(interpret(trace(f), x), x * 12 + x * 2, rtol=1e-6)


def test_callee_takes_sizes_as_index_arguments() -> None:
    def f(x: Tensor["B", "D"]) -> Tensor["D", "B"]:
        return scaled(x.T)

    text = text_of(f)
    assert "func.func private @scaled(%arg0: index, %arg1: index, %arg2: tensor<?x?xf32>) -> tensor<?x?xf32>" in text
    assert "call @scaled(%1, %0, %2)" in text
    assert "tessera.symbol" not in text[text.index("private") :]


def test_static_sizes_specialise() -> None:
    def f(x: Tensor["B", 4]) -> Tensor["B", 4]:
        return scaled(x)

    assert "@scaled(%arg0: index, %arg1: tensor<?x4xf32>)" in text_of(f)


def test_sizes_of_results_come_back() -> None:
    @tessera.function
    def double(x: Tensor["N"]) -> Tensor["2*N"]:
        return tessera.concat([x, x])

    @tessera.function
    def halves(x: Tensor["N"]) -> tuple[Tensor["?"], dict[str, Tensor["?"]]]:
        half = x.shape[0] // 2
        return x[:half], {"rest": x[half:]}

    def f(x: Tensor["B"]) -> Tensor["4*B"]:
        y = double(double(x))
        assert y.shape[0] == 4 * x.shape[0]
        first, rest = halves(y)
        return tessera.concat([rest["rest"], first])

    x = rng.standard_normal(3).astype(F)
    np.testing.assert_array_equal(interpret(trace(f), x), np.concatenate([x, x, x, x]))


def test_expressions_are_checked_at_the_call() -> None:
    @tessera.function
    def g(x: Tensor["N"], y: Tensor["N//2"]) -> Tensor["N"]:
        return x

    def good(x: Tensor["B"]) -> Tensor["2*B"]:
        return g(tessera.concat([x, x]), x)

    def bad(x: Tensor["B"]) -> Tensor["B"]:
        return g(x, x)

    trace(good)
    with pytest.raises(tessera.ShapeError, match="argument 'y': dimension 0, 'N // 2': expected equal sizes"):
        trace(bad)


def test_guards_of_callees_are_the_callers() -> None:
    @tessera.function
    def g(x: Tensor["?"], y: Tensor["?"]) -> Tensor["?"]:
        return x + y

    def f(x: Tensor["?"], y: Tensor["?"]) -> Tensor["?"]:
        return g(x, y) + g(x, x)

    guards = trace(f).signature.to_manifest()["guards"]
    assert {(guard["left"], guard["right"]) for guard in guards} == {("?0", "?1")}


def test_trees_and_options_in_calls() -> None:
    @tessera.function
    def g(state: dict[str, Any], bias: Tensor["N"] | None = None) -> dict[str, Any]:
        x = state["x"] if bias is None else state["x"] + bias
        return {"x": x, "steps": state["steps"] + 1}

    def f(x: Tensor["B"]) -> Tensor["B"]:
        state = g({"x": x, "steps": 0}, bias=x)
        state = g(state)
        assert state["steps"] == 2
        return state["x"]

    x = rng.standard_normal(3).astype(F)
    np.testing.assert_array_equal(interpret(trace(f), x), x + x)


def test_functions_made_in_a_loop_are_different() -> None:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        for i in range(1, 4):

            @tessera.function
            def g(y: Tensor["N"]) -> Tensor["N"]:
                return y * i + i  # noqa: B023

            x = g(x)
        return x

    x = rng.standard_normal(3).astype(F)
    np.testing.assert_allclose(interpret(trace(f), x), ((x + 1) * 2 + 2) * 3 + 3, rtol=1e-6)


# -- closures --------------------------------------------------------------------------------------------------------

SMALL = np.array([1.0, 2.0, 3.0], F)
LARGE = rng.standard_normal((8, 3)).astype(F)


def test_small_arrays_are_constants_and_large_ones_weights() -> None:
    def f(x: Tensor["B", 8]) -> Tensor["B", 3]:
        return x @ LARGE + SMALL + LARGE.sum()

    entry = trace(f)
    rows = entry.signature.to_manifest()["inputs"]
    assert rows[1] == {"name": "LARGE", "dtype": "f32", "shape": [8, 3], "kind": "weight"}
    assert list(entry.weights) == ["LARGE"]
    assert entry.weights["LARGE"] is LARGE
    text = str(entry.module)
    assert '{tessera.name = "LARGE", tessera.weight}' in text
    assert "dense<[1.000000e+00, 2.000000e+00, 3.000000e+00]>" in text
    x = rng.standard_normal((2, 8)).astype(F)
    np.testing.assert_allclose(interpret(entry, x), x @ LARGE + SMALL + LARGE.sum(), rtol=1e-5, atol=1e-5)


def test_weights_of_callees_are_passed_through() -> None:
    table = rng.standard_normal((8, 3)).astype(F)

    @tessera.function
    def g(x: Tensor["N", 8]) -> Tensor["N", 3]:
        return x @ table

    def f(x: Tensor["B", 8]) -> Tensor["B", 3]:
        return g(x) + g(x + 1)

    entry = trace(f)
    assert list(entry.weights) == ["table"]
    assert str(entry.module).count("call @g") == 2
    x = rng.standard_normal((2, 8)).astype(F)
    np.testing.assert_allclose(interpret(entry, x), x @ table + (x + 1) @ table, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [d for d in tessera.dtypes.ALL], ids=lambda d: d.name)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2), (0,), (0, 2)])
def test_constants_of_every_dtype(dtype: Any, shape: Any) -> None:
    x = np.asarray(rng.integers(-4, 5, shape)).astype(dtype.numpy)
    got = run(lambda: tessera.asarray(x))
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, x)
    same = np.ones(shape, dtype.numpy)
    np.testing.assert_array_equal(run(lambda: tessera.asarray(same)), same)


def test_closed_over_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    small, wide = torch.tensor([1.5, 2.5], dtype=torch.bfloat16), torch.ones(4, 8)
    x = np.ones((3, 8), F)
    assert run(lambda a: a[:, :2] * small, x).dtype == F
    np.testing.assert_array_equal(run(lambda a: a @ wide.T, x), np.full((3, 4), 8, F))


# -- locations -------------------------------------------------------------------------------------------------------


def helper(x: Any) -> Any:
    return tessera.nn.softmax(x)


def test_every_operation_has_the_users_line_and_calls() -> None:
    @tessera.function
    def inner(x: Tensor["N"]) -> Tensor["N"]:
        return helper(x) * 2

    @tessera.function
    def f(x: Tensor["B"]) -> Tensor["B"]:
        return inner(x + 1)

    text = trace(f).module.operation.get_asm(enable_debug_info=True, use_local_scope=True)
    line = inner.python.__code__.co_firstlineno + 2
    helped = helper.__code__.co_firstlineno + 1
    operations = [row for row in text.splitlines() if "loc(" in row]
    assert not [
        row for row in operations if "loc(unknown)" in row and "module" not in row and row.strip() != "} loc(unknown)"
    ]
    (exp,) = (row for row in operations if "tessera.exp" in row)
    prefix = "test_every_operation_has_the_users_line_and_calls.<locals>."
    assert (
        f'loc(callsite("helper"("{__file__}":{helped}:12 to :32) at "{prefix}inner"("{__file__}":{line}:16 to :24)))'
        in exp
    )
    (call,) = (row for row in operations if "call @inner" in row)
    assert f'loc("{prefix}f"("{__file__}":{line + 4}:16 to :27))' in call
