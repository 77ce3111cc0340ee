# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every error code of the frontend is reached, and says what, where, and how to fix it."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.errors import CODES, TesseraError
from tessera.frontend import TraceSpec, trace

F = np.float32
counter = 0
#: code -> the calls that reach it, with what the message must contain.
CASES: dict[str, list[tuple[Callable[[], Any], list[str]]]] = {}


def case(code: str, *expected: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def register(function: Callable[[], Any]) -> Callable[[], Any]:
        CASES.setdefault(code, []).append((function, list(expected)))
        return function

    return register


def traced(body: Callable[..., Any], **spec: Any) -> Any:
    return trace(tessera.function(body), TraceSpec(**spec))


def on(body: Callable[..., Any], *arrays: Any) -> Any:
    """Trace for example arrays."""
    return trace(body, TraceSpec(args=arrays))


# -- signatures ------------------------------------------------------------------------------------------------------


@case("TSR1001", "expected symbols and ints joined by + - * // % min max, got 'B**2'", 'help: write Tensor["B", 64')
def bad_expression() -> Any:
    return Tensor["B**2"]


@case("TSR1001", "expected a symbol, or an expression of symbols such as \"D//2\", got 'B C'")
def bad_syntax() -> Any:
    return Tensor["B C"]


@case("TSR1001", "expected a size that is not negative, got -1")
def negative_size() -> Any:
    return Tensor[-1]


@case("TSR1001", "expected any leading dimensions to come first and once", "got '...'")
def late_ellipsis() -> Any:
    return Tensor["B", "..."]


@case("TSR1001", "expected a string, an int, or a dtype as the last item, got 1.5")
def float_size() -> Any:
    return Tensor[1.5, "B"]


@case(
    "TSR1002",
    "symbol 'D' of parameter 'x': expected it to stand bare in some argument's shape, got only 'D // 2'",
    "def f(x: Tensor",
    'help: give an argument a dimension "D", or write "?"',
)
def unbound_symbol() -> Any:
    @tessera.function
    def f(x: Tensor["B", "D//2"]) -> Tensor["B"]:
        return x[:, 0]


@case("TSR1002", "symbol 'E' of the result: expected it to stand bare in some argument's shape, got only 'E'")
def unbound_result() -> Any:
    @tessera.function
    def f(x: Tensor["B"]) -> Tensor["E"]:
        return x


@case(
    "TSR1003",
    '"...": expected operations that treat its dimensions alike, as their number is not known: got',
    'help: give it with dims={"...": 2}',
)
def unknown_extent() -> Any:
    def f(x: Tensor["...", "D"]) -> Tensor["D"]:
        return x.sum(0).sum(0)

    return traced(f)


@case("TSR1004", "parameter '*args': expected named parameters only")
def star_args() -> Any:
    return tessera.function(lambda *args: args[0])


@case("TSR1004", "parameter 'x': expected an annotation, a default or a value to compile with, got none", "static={")
def no_annotation() -> Any:
    return traced(lambda x: x)


@case("TSR1004", "parameter 'y': expected None or a constant as its default, got an array")
def array_default() -> Any:
    ones = np.ones(2, F)
    return on(lambda x, y=ones: x + y, ones)


@case("TSR1005", "function 'f': expected it to return a tensor, got None", "help: add a return statement")
def returns_nothing() -> Any:
    def f(x: Tensor["B"]):  # type: ignore[no-untyped-def]
        x + 1

    return traced(f)


@case("TSR1005", "expected a tensor or a tree of tensors, got object")
def returns_object() -> Any:
    return on(lambda x: object(), np.ones(2, F))


@case("TSR1005", "expected it to return a tensor, got 3")
def returns_number() -> Any:
    return on(lambda x: 3, np.ones(2, F))


@case("TSR1006", "dims: expected one of B, D, ..., got 'DD'", "help: did you mean 'D'?")
def unknown_symbol() -> Any:
    def f(x: Tensor["B", "D"]) -> Tensor["B", "D"]:
        return x

    return traced(f, dims={"DD": 4})


@case("TSR1006", "range of a size: expected 0 <= min <= max and multiple_of >= 1, got Dim(min=4, max=2")
def empty_range() -> Any:
    return tessera.Dim(4, 2)


@case("TSR1007", "@tessera.function: expected a function, got <class", "help: decorate classes with @tessera.module")
def function_of_class() -> Any:
    return tessera.function(dict)  # type: ignore[arg-type]


@case("TSR1007", "@tessera.module: expected a class, got <function", "help: decorate functions with @tessera.function")
def module_of_function() -> Any:
    return tessera.module(lambda: 0)  # type: ignore[type-var]


@case("TSR1008", "donated argument 'pool': expected one result that is its updated value", "got 0")
def donated_argument_without_result() -> Any:
    def f(pool: Annotated[Tensor["N"], tessera.donated]) -> Any:
        return pool * 2

    return tessera.compile(tessera.function(f))


@case("TSR1008", "donated argument 'pool'", "got 2")
def donated_argument_with_two_results() -> Any:
    def f(pool: Annotated[Tensor["N"], tessera.donated], i: Tensor[1, tessera.int64]) -> Any:
        return tessera.scatter(pool, i, [1.0]), tessera.scatter(pool, i, [2.0])

    return tessera.compile(tessera.function(f))


# -- arguments and sizes ---------------------------------------------------------------------------------------------


@case("TSR1101", "too many positional arguments")
def too_many() -> Any:
    return on(lambda x: x, np.ones(2, F), np.ones(2, F))


@case("TSR1101", "call of g(): expected a value for argument 'y', got none", "g(x)", "^^^^")
def missing_in_call() -> Any:
    @tessera.function
    def g(x: Tensor["B"], y: Tensor["B"]) -> Tensor["B"]:
        return x + y

    return on(lambda x: g(x), np.ones(2, F))


@case("TSR1102", "parameter 'eps': expected a compile-time float, got a tensor", "annotate it as `eps: Tensor[...]`")
def tensor_for_constant() -> Any:
    def f(x: Tensor["B"], eps: float = 1e-6) -> Tensor["B"]:
        return x + eps

    return traced(f, args=(np.ones(2, F), np.ones(2, F)))


@case("TSR1102", "got the symbolic size 'B'", "help: fix the size with dims={...}")
def size_for_constant() -> Any:
    @tessera.function
    def g(x: Tensor["B"], n: int) -> Tensor["B"]:
        return x * n

    def f(x: Tensor["B"]) -> Tensor["B"]:
        return g(x, x.shape[0])

    return traced(f)


@case("TSR1103", "argument 'x': expected rank 2 [B, D], got rank 3 [2, 3, 4]")
def wrong_rank() -> Any:
    def f(x: Tensor["B", "D"]) -> Tensor["B", "D"]:
        return x

    return traced(f, args=(np.ones((2, 3, 4), F),))


@case("TSR1103", "argument 'y': expected shape [B, D], got [B] of rank 1", "g(x[:, 0])")
def wrong_rank_in_call() -> Any:
    @tessera.function
    def g(y: Tensor["B", "D"]) -> Tensor["B", "D"]:
        return y

    def f(x: Tensor["B", "D"]) -> Tensor["B", "D"]:
        return g(x[:, 0])

    return traced(f)


@case(
    "TSR1104", "argument 'w': expected size 3 for 'D' (dimension 0), as in x, got 4 in [4]", "note: 'f' is defined at"
)
def two_sizes() -> Any:
    def f(x: Tensor["B", "D"], w: Tensor["D"]) -> Tensor["B", "D"]:
        return x * w

    return traced(f, args=(np.ones((2, 3), F), np.ones(4, F)))


@case("TSR1104", "argument 'w': expected size 2 for 'D // 2' (dimension 0), got 3 in [3]")
def wrong_expression() -> Any:
    def f(x: Tensor["D"], w: Tensor["D//2"]) -> Tensor["D"]:
        return x

    return traced(f, args=(np.ones(4, F), np.ones(3, F)))


@case(
    "TSR1105",
    "add: dimension -1 of [B, D] and [E]: expected equal sizes, got D and E",
    "return x + y",
    "^^^^^",
    "help: if they are one size, use one name for both in the signature: write 'D' for 'E'",
)
def different_symbols() -> Any:
    def f(x: Tensor["B", "D"], y: Tensor["E"]) -> Tensor["B", "D"]:
        return x + y

    return traced(f)


@case(
    "TSR1105",
    "expected equal sizes, got D and 64",
    "write '64' for 'D' in the signature, or '?' for a size that each call checks, or fix it with dims=",
)
def symbol_and_number() -> Any:
    def f(x: Tensor["D"], y: Tensor[64]) -> Tensor["D"]:
        return x + y

    return traced(f)


@case("TSR1106", "matmul of [2, 3] and [2, 3]: inner sizes: expected equal sizes, got 3 and 2")
def inner_sizes() -> Any:
    return on(lambda x: x @ x, np.ones((2, 3), F))


@case("TSR1107", "matmul: expected the right operand to have rank 1 or more, got rank 0", "help: use * instead")
def matmul_scalar() -> Any:
    return on(lambda x: x @ 2.0, np.ones((2, 3), F))


@case("TSR1108", "reshape of [2, 3] to [4]: expected 6 elements, got 4", "help: give sizes with the same product")
def wrong_count() -> Any:
    return on(lambda x: x.reshape(4), np.ones((2, 3), F))


@case("TSR1108", "reshape of [B, D] to [B]: expected B * D elements, got B")
def symbolic_count() -> Any:
    def f(x: Tensor["B", "D"]) -> Tensor["B"]:
        return x.reshape(x.shape[0])

    return traced(f)


@case("TSR1109", "result: expected size D in dimension 1 of [B, D], got D * 2 in [B, D * 2]", "def f(x")
def wrong_result() -> Any:
    def f(x: Tensor["B", "D"]) -> Tensor["B", "D"]:
        return tessera.concat([x, x], dim=1)

    return traced(f)


@case("TSR1109", "result 1: expected shape [B], got [B, D] of rank 2")
def wrong_result_rank() -> Any:
    def f(x: Tensor["B", "D"]) -> tuple[Tensor["B", "D"], Tensor["B"]]:
        return x, x

    return traced(f)


# -- symbolic sizes --------------------------------------------------------------------------------------------------


@case(
    "TSR1201",
    "comparison of sizes: expected one that holds for every value of the symbols or for none, got 'B == 1'",
    "if x.shape[0] == 1:",
    'help: fix the size with dims={"B": ...}',
)
def undecided() -> Any:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        if x.shape[0] == 1:
            return x
        return x + 1

    return traced(f)


@case("TSR1202", "float(size): expected a size known at compile time, got the symbol 'D'", "math.sqrt(x.shape[0])")
def size_as_float() -> Any:
    def f(x: Tensor["D"]) -> Tensor["D"]:
        return x / math.sqrt(x.shape[0])

    return traced(f)


@case("TSR1202", "int(size): expected a size known at compile time, got the symbol 'D'")
def range_of_size() -> Any:
    def f(x: Tensor["D"]) -> Tensor["D"]:
        for _ in range(x.shape[0]):
            x = x + 1
        return x

    return traced(f)


@case("TSR1203", "size D divided by zero")
def zero_division() -> Any:
    def f(x: Tensor["D"]) -> Tensor["D"]:
        return x + x.shape[0] // 0

    return traced(f)


# -- dtypes ----------------------------------------------------------------------------------------------------------


@case("TSR1301", "sub: expected numbers, got bool", "help: use a ^ b")
def subtract_bools() -> Any:
    return on(lambda x: x - x, np.ones(2, bool))


@case("TSR1301", "and: expected integers or bools, got f32")
def bits_of_floats() -> Any:
    return on(lambda x: x & 1, np.ones(2, F))


@case("TSR1301", "index tensor of dimension 0: expected integers, got f32", "annotate the index with an integer dtype")
def float_index() -> Any:
    return on(lambda x: x[x], np.ones(2, F))


@case("TSR1302", "argument 'x': expected bf16, got f32 from the array")
def wrong_dtype() -> Any:
    def f(x: Tensor["B", tessera.bf16]) -> Tensor["B"]:
        return x

    return traced(f, args=(np.ones(2, F),))


@case("TSR1302", "result of the function: expected int32, got f32", "help: return x.cast(tessera.int32)")
def wrong_result_dtype() -> Any:
    def f(x: Tensor["B"]) -> Tensor["B", tessera.int32]:
        return x

    return traced(f)


@case("TSR1303", "number in int8: expected one in [-128, 127], got 300", "x.cast(tessera.int64)")
def too_large() -> Any:
    return on(lambda x: x + 300, np.ones(2, np.int8))


@case("TSR1304", "not a tensor: expected a tensor, an array or a number, got str ('a')")
def text() -> Any:
    return on(lambda x: x + "a", np.ones(2, F))


@case("TSR1304", "got ndarray of dtype complex64", "help: supported dtypes: f64, f32")
def complex_array() -> Any:
    return on(lambda x: x + np.ones(2, np.complex64), np.ones(2, F))


@case("TSR1304", "unknown dtype: expected one of f64, f32, f16", "got 'f31'")
def unknown_dtype() -> Any:
    return on(lambda x: x.cast("f31"), np.ones(2, F))


@case("TSR1305", "cond: second branch: value 0: expected f32, got f64")
def branch_dtypes() -> Any:
    return on(lambda x: tessera.cond(x.sum() > 0, lambda: x, lambda: x.cast("f64")), np.ones(2, F))


# -- Python ----------------------------------------------------------------------------------------------------------


@case(
    "TSR1401", "truth value of a tensor", "if x.sum() > 0:", "^^^^^^^^^^^", "tessera.where(mask, a, b)", "tessera.cond"
)
def branch() -> Any:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        if x.sum() > 0:
            return x
        return -x

    return traced(f)


@case("TSR1401", "truth value of a tensor")
def chained() -> Any:
    return on(lambda x: 0 < x < 1, np.ones(2, F))


@case("TSR1401", "`in` on a tensor", "help: use tessera.any(x == value)")
def contains() -> Any:
    return on(lambda x: x * (1 in x), np.ones(2, F))


@case("TSR1402", "float(tensor)", "math.sqrt(x.sum())", "tessera.sqrt(x)")
def python_math() -> Any:
    return on(lambda x: x * math.sqrt(x.sum()), np.ones(2, F))


@case("TSR1402", "numpy.asarray(tensor)")
def as_numpy() -> Any:
    return on(lambda x: np.asarray(x), np.ones(2, F))


@case("TSR1402", "item(tensor)")
def item() -> Any:
    return on(lambda x: x * x[0].item(), np.ones(2, F))


@case("TSR1402", "index(tensor)")
def index() -> Any:
    return on(lambda i: [1.0, 2.0][i], np.array(1))


@case("TSR1403", "iteration over a tensor", "for row in x:", "tessera.scan")
def iterate() -> Any:
    def f(x: Tensor["B", 2]) -> Tensor["B"]:
        total = 0.0
        for row in x:
            total = total + row
        return total

    return traced(f)


@case("TSR1404", "assignment to elements", "x[0] = 1.0", "tessera.where(mask, value, x) or tessera.concat")
def assign() -> Any:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        x[0] = 1.0
        return x

    return traced(f)


@case("TSR1405", "assignment to the global variable 'counter'", "counter = 1", "help: return the value")
def write_global() -> Any:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        global counter
        counter = 1
        return x

    return traced(f)


@case("TSR1405", "assignment to the outer variable 'total'", "total = x")
def write_outer() -> Any:
    total = None

    def f(x: Tensor["B"]) -> Tensor["B"]:
        nonlocal total
        total = x
        return x

    return traced(f)


@case("TSR1406", "used outside its branch or loop body")
def leak_from_branch() -> Any:
    kept: list[Any] = []

    def f(x: Tensor["B"]) -> Tensor["B"]:
        tessera.cond(x.sum() > 0, lambda: kept.append(x + 1) or x, lambda: x)
        return kept[0]

    return traced(f)


@case("TSR1406", "used outside its function", "got one of function 'f'", "help: pass it as an argument")
def captured_by_function() -> Any:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        @tessera.function
        def g(y: Tensor["B"]) -> Tensor["B"]:
            return y + x

        return g(x)

    return traced(f)


@case("TSR1406", "used after its function was traced")
def used_later() -> Any:
    kept: list[Any] = []
    on(lambda x: kept.append(x) or x, np.ones(2, F))
    return tessera.sqrt(kept[0])


@case("TSR1406", "size 'B': expected a size of the function being traced, 'g'")
def captured_size() -> Any:
    def f(x: Tensor["B"]) -> Tensor["B"]:
        size = x.shape[0]

        @tessera.function
        def g(y: Tensor["D"]) -> Tensor["D"]:
            return y * size

        return g(x)

    return traced(f)


@case("TSR1407", "numpy.mean: expected a function of tensors", "help: use tessera.mean (with dim= for axis=)")
def numpy_function() -> Any:
    return on(lambda x: np.mean(x), np.ones(2, F))


@case("TSR1407", "numpy.arctan: expected a function of tensors", "compute it from the operations in tessera.ops")
def numpy_ufunc() -> Any:
    return on(lambda x: np.arctan(x), np.ones(2, F))


@case("TSR1408", "call of 'f' in itself")
def recursion() -> Any:
    @tessera.function
    def f(x: Tensor["B"]) -> Tensor["B"]:
        return f(x) + 1

    return on(lambda x: f(x), np.ones(2, F))


# -- operations ------------------------------------------------------------------------------------------------------


@case("TSR1501", "sum: expected a dimension in [-2, 2), got 2")
def no_such_dim() -> Any:
    return on(lambda x: x.sum(2), np.ones((2, 3), F))


@case("TSR1502", "index 5 of dimension 0: expected an index in [-2, 2), got 5")
def out_of_bounds() -> Any:
    return on(lambda x: x[5], np.ones(2, F))


@case("TSR1502", "too many indices: expected at most 1 for [2], got 2")
def too_many_indices() -> Any:
    return on(lambda x: x[0, 0], np.ones(2, F))


@case("TSR1503", "got a bool tensor", "x[x > 0]", "tessera.where(mask, x, 0)")
def mask() -> Any:
    return on(lambda x: x[x > 0], np.ones(2, F))


@case("TSR1503", "expected a dynamic slice of known length", "x[i : i + 4]")
def dynamic_length() -> Any:
    return on(lambda x, i, j: x[i:j], np.ones(9, F), np.array(1), np.array(2))


@case("TSR1504", "split: expected at least one part, got 0")
def no_parts() -> Any:
    return on(lambda x: tessera.split(x, 0), np.ones(2, F))


@case("TSR1504", "reshape: expected sizes (ints or symbols)", "a size cannot come from a tensor's values")
def tensor_as_size() -> Any:
    return on(lambda x, n: x.reshape(n, -1), np.ones(2, F), np.array(2))


@case("TSR1504", "pow: expected a power that is not negative for int32, got -1")
def negative_power() -> Any:
    return on(lambda x: x**-1, np.ones(2, np.int32))


@case("TSR1505", "while_loop: body: value 0: expected shape [2], got [4]")
def growing() -> Any:
    return on(lambda x: tessera.while_loop(lambda v: v.sum() < 9, lambda v: tessera.concat([v, v]), x), np.ones(2, F))


@case("TSR1506", "missing: weight; unexpected: wait", "help: pass strict=False")
def wrong_state() -> Any:
    @tessera.module
    class Scale:
        def __init__(self) -> None:
            self.weight = tessera.nn.Parameter(np.ones(2, F))

    return Scale().load_state_dict({"wait": np.ones(2, F)})


# -- meshes ----------------------------------------------------------------------------------------------------------

MESH = tessera.Mesh(np.arange(8).reshape(2, 4), ["data", "model"])


@case("TSR1601", "expected a name for each dimension of devices, got 1 for 2", "help: write Mesh(devices=")
def mesh_names() -> Any:
    return tessera.Mesh(np.arange(8).reshape(2, 4), ["data"])


@case("TSR1601", "expected distinct identifiers as axis names, got ['a', 'a']")
def mesh_twice() -> Any:
    return tessera.Mesh(np.arange(4).reshape(2, 2), ["a", "a"])


@case("TSR1601", "expected devices to hold each rank from 0 to 3 once, got [0, 1, 1, 2]")
def mesh_ranks() -> Any:
    return tessera.Mesh([0, 1, 1, 2], ["a"])


@case("TSR1601", "ShardSpec: expected each mesh axis to cut one dimension, got ['data', 'data']")
def spec_twice() -> Any:
    return tessera.ShardSpec("data", "data")


@case("TSR1601", "ShardSpec: expected axis names, tuples of them, or None, got 3")
def spec_number() -> Any:
    return tessera.ShardSpec(3)  # type: ignore[arg-type]


@case("TSR1601", "@tessera.on_mesh: expected a mesh, got None")
def no_mesh() -> Any:
    return tessera.on_mesh(None)  # type: ignore[arg-type]


@case("TSR1602", "mesh axis: expected one of 'data', 'model', got 'modle'", "tessera.mesh_reduce(x")
def unknown_axis() -> Any:
    return on(tessera.on_mesh(MESH)(lambda x: tessera.mesh_reduce(x, "modle")), np.ones(4, F))


@case("TSR1602", "broadcast: expected a root in [0, 4), got 4")
def unknown_root() -> Any:
    return on(tessera.on_mesh(MESH)(lambda x: tessera.broadcast(x, "model", root=4)), np.ones(4, F))


@case("TSR1603", "argument 'x': dimension 1 (D), cut along 'model': expected a multiple of 4, got 6")
def uneven_argument() -> Any:
    def f(x: tessera.MeshTensor["B", "D", tessera.ShardSpec(None, "model")]) -> Tensor:
        return x

    return trace(tessera.on_mesh(MESH)(f), TraceSpec(dims={"D": 6}))


@case("TSR1603", "reduce_scatter: dimension 0: expected a multiple of 4, got 6")
def uneven_scatter() -> Any:
    return on(tessera.on_mesh(MESH)(lambda x: tessera.reduce_scatter(x, "model")), np.ones(6, F))


@case("TSR1603", "argument 'x': expected a ShardSpec of at most 1 dimensions, got ShardSpec(None, 'model')")
def long_spec() -> Any:
    def f(x: tessera.MeshTensor["B", tessera.ShardSpec(None, "model")]) -> Tensor:
        return x

    return trace(tessera.on_mesh(MESH)(f))


@case("TSR1603", "weight 'w': dimension 0: expected a multiple of 4, got 6")
def uneven_weight() -> Any:
    w = tessera.nn.Parameter(np.ones(6, F), sharding=tessera.ShardSpec("model"))
    return on(tessera.on_mesh(MESH)(lambda x: x + w), np.ones(6, F))


@case("TSR1604", "mesh_reduce: expected a function on a mesh, got one without", "help: decorate the function")
def collective_alone() -> Any:
    return traced(lambda x: tessera.mesh_reduce(x, "data"), args=(np.ones(4, F),))


@case("TSR1604", "argument 'x': expected a function on a mesh, got a ShardSpec without one")
def spec_alone() -> Any:
    def f(x: tessera.MeshTensor["B", tessera.ShardSpec("data")]) -> Tensor:
        return x

    return traced(f)


@case("TSR1604", "call of 'inner': expected a function on whole tensors, as its caller is, got one on parts")
def parts_in_whole() -> Any:
    @tessera.on_mesh(MESH)
    def inner(x: Tensor["B"]) -> Tensor["B"]:
        return x

    return on(tessera.on_mesh(MESH, partition=True)(lambda x: inner(x)), np.ones(4, F))


@case("TSR1604", "mesh_reduce: expected a function on parts of tensors, got one that the compiler divides")
def collective_on_whole() -> Any:
    return on(tessera.on_mesh(MESH, partition=True)(lambda x: tessera.mesh_reduce(x, "data")), np.ones(4, F))


@case("TSR1604", "call of 'inner': expected a caller on its mesh, Mesh(data=2, model=4), got one on Mesh(data=8)")
def two_meshes() -> Any:
    @tessera.on_mesh(MESH)
    def inner(x: Tensor["B"]) -> Tensor["B"]:
        return x

    return on(tessera.on_mesh(tessera.Mesh(np.arange(8), ["data"]))(lambda x: inner(x)), np.ones(4, F))


@pytest.mark.parametrize(
    ("code", "function", "expected"),
    [(code, *entry) for code, entries in CASES.items() for entry in entries],
    ids=lambda value: getattr(value, "__name__", None) or (value if isinstance(value, str) else ""),
)
def test_error(code: str, function: Callable[[], Any], expected: list[str]) -> None:
    with pytest.raises(TesseraError) as caught:
        function()
    message = str(caught.value)
    assert caught.value.code == code, message
    assert type(caught.value) is CODES[code].error
    for part in expected:
        assert part in message, message
    if code not in ("TSR1006", "TSR1007"):
        assert "test_errors.py:" in message, message


def test_every_frontend_code_is_reached() -> None:
    assert sorted(CASES) == sorted(code for code in CODES if code < "TSR2")


def test_whole_message() -> None:
    @tessera.function
    def inner(a: Tensor["N"], b: Tensor["M"]) -> Tensor["N"]:
        return a * b

    @tessera.function
    def outer(x: Tensor["B"], y: Tensor["C"]) -> Tensor["B"]:
        return inner(x, y) + 1

    with pytest.raises(tessera.ShapeError) as caught:
        trace(outer, TraceSpec())
    lines = str(caught.value).splitlines()
    number = inner.python.__code__.co_firstlineno + 2
    file = __file__
    assert lines == [
        "[TSR1105] mul: dimension -1 of [N] and [M]: expected equal sizes, got N and M",
        f"  --> {file}:{number}, in test_whole_message.<locals>.inner",
        f"  {number} |         return a * b",
        f"  {' ' * len(str(number))} |                ^^^^^",
        f"  called from {file}:{number + 4}, in test_whole_message.<locals>.outer",
        f"  {number + 4} |         return inner(x, y) + 1",
        f"  {' ' * len(str(number))} |                ^^^^^^^^^^^",
        "  help: if they are one size, use one name for both in the signature: write 'N' for 'M'",
    ]
