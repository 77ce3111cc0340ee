# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Signatures: the forms of annotations, the rules for sizes, constants, optional and tree arguments."""

import dataclasses
import inspect
import typing
from typing import Any, NamedTuple, Optional

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.frontend import TraceSpec, trace
from tessera.frontend.annotations import TensorSpec
from tracing import interpret

F = np.float32


def manifest(function: Any, **spec: Any) -> dict[str, Any]:
    return trace(function, TraceSpec(**spec)).signature.to_manifest()


def shapes(function: Any, **spec: Any) -> list[Any]:
    return [row["shape"] for row in manifest(function, **spec)["inputs"]]


# -- forms of annotations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (Tensor["B"], "Tensor['B']"),
        (Tensor["B", 64, "D//2"], "Tensor['B', 64, 'D // 2']"),
        (Tensor["?", "?"], "Tensor['?', '?']"),
        (Tensor["...", "D", tessera.bf16], "Tensor['...', 'D', tessera.bf16]"),
        (Tensor["...", "D"], "Tensor['...', 'D']"),
        (Tensor[()], "Tensor[()]"),
        (Tensor[tessera.int32], "Tensor[tessera.int32]"),
        (Tensor["B", np.int32], "Tensor['B', tessera.int32]"),
        (Tensor["2*B+1", "max(B, 4)"], "Tensor['2 * B + 1', 'max(B, 4)']"),
    ],
)
def test_forms(annotation: TensorSpec, shown: str) -> None:
    assert repr(annotation) == shown
    assert hash(annotation) == hash(annotation)


def test_annotations_live_with_typing() -> None:
    spec = Tensor["B"]
    assert typing.get_args(Optional[spec]) == (spec, type(None))  # noqa: UP045
    assert typing.get_args(spec | None) == (spec, type(None))
    assert set(typing.get_args(None | spec)) == {spec, type(None)}
    assert Tensor["B"] == spec

    @tessera.function
    def f(x: Tensor["B"], y: Tensor["B"] | None = None) -> Tensor["B"]:
        return x

    assert list(inspect.signature(f).parameters) == ["x", "y"]
    assert typing.get_type_hints(f)["x"] == spec
    assert f.__name__ == "f"


def test_string_annotations() -> None:
    Width = 4

    @tessera.function
    def f(x: "Tensor['B', Width]", y: "Tensor['B'] | None" = None) -> "Tensor['B']":
        return x.sum(1)

    assert shapes(f) == [["B", 4]]
    assert [p["tree"] for p in manifest(f)["parameters"]] == [0, None]


def test_future_annotations(tmp_path: Any) -> None:
    file = tmp_path / "future.py"
    file.write_text(
        "from __future__ import annotations\nimport tessera\nfrom tessera import Tensor\n"
        "@tessera.function\ndef f(x: Tensor['B', 'D', tessera.bf16], n: int = 2) -> Tensor['B', 'D']:\n"
        "    return x * n\n"
    )
    names: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    assert manifest(names["f"])["inputs"][0]["dtype"] == "bf16"
    assert manifest(names["f"])["inputs"][0]["source"] == "future.py:5"


# -- the rules for sizes ---------------------------------------------------------------------------------------------

#: What the language accepts: annotations of two arguments, what is done with them, and the guards that remain.
ACCEPTED = {
    "same symbol": (("B",), ("B",), lambda x, y: x + y, 0),
    "static": ((4,), (4,), lambda x, y: x + y, 0),
    "statically 1": (("B", 1), ("B", "D"), lambda x, y: x * y, 0),
    "new leading": (("D",), ("B", "D"), lambda x, y: x * y, 0),
    "expression": (("D",), ("D//2",), lambda x, y: x[: x.shape[0] // 2] + y, 0),
    "sum of parts": (("B", "D"), ("B", "2*D"), lambda x, y: tessera.concat([x, x], 1) + y, 0),
    "product": (("B", "H"), ("B*H",), lambda x, y: x.flatten() + y, 0),
    "anonymous": (("?",), ("B",), lambda x, y: x + y, 1),
    "anonymous twice": (("?",), ("?",), lambda x, y: x + y, 1),
    "anonymous with static": (("?",), (8,), lambda x, y: x + y, 1),
    "matmul": (("B", "K"), ("K", "N"), lambda x, y: x @ y, 0),
    "anonymous inner": (("B", "?"), ("K", "N"), lambda x, y: x @ y, 1),
    "comparison of shapes": (("B",), ("B",), lambda x, y: x if x.shape == y.shape else None, 0),
}
REFUSED = {
    "two symbols": (("B",), ("C",), lambda x, y: x + y, "TSR1105"),
    "symbol with static": (("B",), (4,), lambda x, y: x + y, "TSR1105"),
    "symbol that may be 1": (("B", "C"), ("B", "D"), lambda x, y: x * y, "TSR1105"),
    "symbol with its half": (("D",), ("D//2",), lambda x, y: x + y, "TSR1105"),
    "sum too large": (("B",), ("B",), lambda x, y: tessera.concat([x, y]) + x, "TSR1105"),
    "off by one": (("B",), ("B",), lambda x, y: tessera.concat([x, y[:1]])[1:] + x[: x.shape[0] - 1], "TSR1106"),
    "statics": ((3,), (4,), lambda x, y: x + y, "TSR1106"),
    "inner sizes": (("B", "K"), ("N", "K"), lambda x, y: x @ y, "TSR1105"),
    "undecided": (("B",), ("C",), lambda x, y: x if x.shape == y.shape else y, "TSR1201"),
}


def two(first: tuple[Any, ...], second: tuple[Any, ...], body: Any) -> tessera.Function[..., Any]:
    def f(x, y):  # type: ignore[no-untyped-def]
        return body(x, y)

    f.__annotations__ = {"x": Tensor[first], "y": Tensor[second]}
    return tessera.function(f)


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    first, second, body, guards = ACCEPTED[name]
    assert (
        len(
            trace(
                two(first, second, body), TraceSpec(dims={"B": tessera.Dim(1)} if "B" in first else {})
            ).signature.guards
        )
        == guards
    )


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    first, second, body, code = REFUSED[name]
    with pytest.raises(tessera.TesseraError, match=code):
        trace(two(first, second, body), TraceSpec(dims={"B": tessera.Dim(1)} if "B" in first else {}))


def test_symbols_and_ranges() -> None:
    @tessera.function
    def f(x: Tensor["B", "S", "D"]) -> Tensor["B", "S", "D"]:
        return x

    got = manifest(f, dims={"D": 64, "S": tessera.Dim(1, 8192, multiple_of=16)})
    assert got["inputs"][0]["shape"] == ["B", "S", 64]
    assert got["symbols"] == [
        {"name": "B", "min": 0, "max": None, "multiple_of": 1},
        {"name": "S", "min": 1, "max": 8192, "multiple_of": 16},
    ]


def test_expressions_in_the_manifest() -> None:
    @tessera.function
    def f(x: Tensor["B", "D"], y: Tensor["B*2", "D//2"]) -> Tensor["B", "D"]:
        return x

    assert shapes(f)[1] == [["*", "B", 2], ["//", "D", 2]]
    # Known multiples simplify: D//2 is exact, and still reads so.
    assert shapes(f, dims={"D": tessera.Dim(multiple_of=2)})[1] == [["*", "B", 2], ["//", "D", 2]]
    assert shapes(f, dims={"D": 8})[1] == [["*", "B", 2], 4]


def test_leading_dimensions() -> None:
    @tessera.function
    def f(x: Tensor["...", "D"], y: Tensor["...", "D"]) -> Tensor["...", "D"]:
        return x + y

    assert shapes(f, dims={"...": 2}) == [["?0", "?1", "D"], ["?0", "?1", "D"]]
    assert shapes(f, dims={"...": ("B", 4)}) == [["B", 4, "D"], ["B", 4, "D"]]
    assert shapes(f, args=(np.ones((2, 3, 4, 5), F), np.ones((2, 3, 4, 5), F)))[0] == ["?0", "?1", "?2", "D"]
    assert shapes(f, dims={"...": 0}) == [["D"], ["D"]]


# -- constants and options -------------------------------------------------------------------------------------------


def test_constants() -> None:
    @tessera.function
    def f(
        x: Tensor["B"], n: int, *, flag: bool = False, dtype: tessera.DType = tessera.f32, mode: str = "up"
    ) -> Tensor["B"]:
        assert (type(n), type(flag), type(mode)) == (int, bool, str)
        return (x * n if flag else x).cast(dtype)

    got = manifest(f, static={"n": 3, "flag": True, "dtype": tessera.bf16})
    assert got["static"] == {"n": 3, "flag": True, "dtype": "bf16", "mode": "up"}
    assert got["outputs"][0]["dtype"] == "bf16"
    assert [p["kind"] for p in got["parameters"]][:3] == [
        "positional_or_keyword",
        "positional_or_keyword",
        "keyword_only",
    ]
    assert manifest(f, args=(np.ones(2, F), np.int64(4)))["static"]["n"] == 4


def test_optional_tensors() -> None:
    @tessera.function
    def f(
        x: Tensor["B"], mask: Tensor["B", tessera.bool_] | None = None, scale: Tensor[()] | None = None
    ) -> Tensor["B"]:
        if mask is not None:
            x = tessera.where(mask, x, 0)
        return x if scale is None else x * scale

    assert [row["name"] for row in manifest(f)["inputs"]] == ["x"]
    assert [row["name"] for row in manifest(f, dtypes={"mask": tessera.bool_})["inputs"]] == ["x", "mask"]
    given = manifest(f, args=(np.ones(2, F),), kwargs={"scale": np.array(2, F)})
    assert [p["tree"] for p in given["parameters"]] == [0, None, 1]
    x, mask = np.arange(3, dtype=F), np.array([True, False, True])
    entry = trace(f, TraceSpec(args=(x, mask)))
    np.testing.assert_array_equal(interpret(entry, x, mask=mask), x * mask)


def test_unannotated_parameters_take_the_example() -> None:
    entry = trace(lambda x, n=2: x * n, TraceSpec(args=(np.ones((2, 3), np.float16),)))
    row = entry.signature.to_manifest()["inputs"][0]
    assert (row["shape"], row["dtype"]) == ([2, 3], "f16")


def test_bare_tensor_annotation() -> None:
    def f(x: Tensor) -> Tensor:
        return x + 1

    assert shapes(f, args=(np.ones((2, 3), F),)) == [[2, 3]]


# -- trees -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Cache:
    pool: Tensor["P", "D"]
    lengths: Tensor["B", tessera.int32]
    page: int = 16


class Pair(NamedTuple):
    first: Tensor["B", "D"]
    second: Tensor["B"]


def test_tree_arguments_by_annotation() -> None:
    @tessera.function
    def f(x: Tensor["B", "D"], cache: Cache, pair: tuple[Tensor["D"], Tensor["B"]]) -> tuple[Tensor["P", "D"], Cache]:
        assert type(cache) is Cache
        return cache.pool + pair[0], dataclasses.replace(cache, lengths=cache.lengths + 1)

    pool, lengths = np.ones((3, 4), F), np.zeros(2, np.int32)
    cache = Cache(pool, lengths)
    args = (np.ones((2, 4), F), cache, (np.ones(4, F), np.ones(2, F)))
    entry = trace(f, TraceSpec(args=args))
    got = entry.signature.to_manifest()
    assert [row["name"] for row in got["inputs"]] == ["x", "cache.pool", "cache.lengths", "pair.0", "pair.1"]
    assert [row["shape"] for row in got["inputs"]] == [["B", "D"], ["P", "D"], ["B"], ["D"], ["B"]]
    assert got["static"] == {"cache.page": 16}
    assert [row["name"] for row in got["outputs"]] == ["0", "1.pool", "1.lengths"]
    total, after = interpret(entry, *args)
    np.testing.assert_array_equal(total, pool + 1)
    assert type(after) is Cache
    np.testing.assert_array_equal(after.lengths, lengths + 1)
    assert after.page == 16


def test_results_are_checked_where_annotated() -> None:
    def grow(cache: Cache) -> Any:
        return dataclasses.replace(cache, pool=tessera.concat([cache.pool, cache.pool]))

    cache = Cache(np.ones((3, 4), F), np.zeros(2, np.int32))
    assert interpret(trace(grow, TraceSpec(args=(cache,))), cache).pool.shape == (6, 4)
    grow.__annotations__["return"] = Cache
    with pytest.raises(tessera.ShapeError, match=r"result pool: expected size P in dimension 0 .* got P \* 2"):
        trace(grow, TraceSpec(args=(cache,)))


def test_tuples_and_named_tuples_need_no_example() -> None:
    @tessera.function
    def f(pair: Pair, both: tuple[Tensor["B"], Tensor["B"]]) -> Tensor["B", "D"]:
        return pair.first * (pair.second + both[0] + both[1])[:, None]

    assert [row["name"] for row in manifest(f)["inputs"]] == ["pair.first", "pair.second", "both.0", "both.1"]


def test_dicts_and_lists_by_example() -> None:
    @tessera.function
    def f(state: dict[str, Tensor["B"]], items: list[Tensor["B"]]) -> dict[str, Any]:
        return {"sum": state["a"] + state["b"], "items": items, "none": None, "count": len(items)}

    x = np.ones(3, F)
    entry = trace(f, TraceSpec(args=({"a": x, "b": x}, [x, x])))
    assert [row["name"] for row in entry.signature.to_manifest()["inputs"]] == [
        "state.a",
        "state.b",
        "items.0",
        "items.1",
    ]
    result = interpret(entry, {"a": x, "b": x}, [x, x])
    assert (result["none"], result["count"], len(result["items"])) == (None, 2, 2)
    np.testing.assert_array_equal(result["sum"], x + x)
    with pytest.raises(tessera.ArgumentError):
        entry.signature.flatten_call(({"a": x}, [x, x]), {})


def test_results_of_numbers_and_sizes() -> None:
    @tessera.function
    def f(x: Tensor["B"]) -> Any:
        return x, x.shape[0], 2.5

    x = np.ones(3, F)
    got = interpret(trace(f), x)
    assert (int(got[1]), got[2]) == (3, 2.5)


def test_same_source_same_text() -> None:
    @tessera.function
    def f(x: Tensor["B", "?"]) -> Tensor["B"]:
        return (x * tessera.rand(*x.shape)).sum(1)

    one, other = (trace(f) for _ in range(2))
    assert one.module.operation.get_asm(enable_debug_info=True) == other.module.operation.get_asm(
        enable_debug_info=True
    )
    assert one.signature.to_manifest() == other.signature.to_manifest()
