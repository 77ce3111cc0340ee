# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trees: flat and back, structures that differ, calls bound by a manifest's parameters."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera import tree
from tessera.errors import ArgumentError


@dataclasses.dataclass
class Cache:
    pool: Any
    lengths: Any


class Pair(NamedTuple):
    first: Any
    second: Any


class Custom:
    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def __tessera_tree__(self) -> dict[str, Any]:
        return self.fields

    @classmethod
    def __tessera_from_tree__(cls, fields: dict[str, Any]) -> Custom:
        return cls(fields)


values = st.recursive(
    st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(Cache, inner, inner)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=12,
)


@given(values)
def test_a_value_survives_being_flattened_and_sent_as_json(value: Any) -> None:
    leaves, structure = tree.flatten(value)
    structure = json.loads(json.dumps(structure))
    flat = [leaf for _, leaf in leaves]
    assert tree.unflatten(structure, flat) == value
    assert list(tree.flatten_like(structure, value)) == flat
    assert list(tree.leaf_order(structure)) == list(range(len(flat)))


def test_leaves_are_named_by_path() -> None:
    value = {"cache": Cache(1, [2, 3]), "pair": Pair(4, None)}
    names = [name for name, _ in tree.flatten(value, "x")[0]]
    assert names == ["x.cache.pool", "x.cache.lengths.0", "x.cache.lengths.1", "x.pair.first"]


def test_classes_may_define_their_tree() -> None:
    leaves, structure = tree.flatten(Custom({"a": 1, "b": 2}), "c")
    assert [name for name, _ in leaves] == ["c.a", "c.b"]
    assert tree.unflatten(structure, [3, 4]).fields == {"a": 3, "b": 4}


def test_an_unknown_class_becomes_a_namespace() -> None:
    structure = {"object": "not_imported_here:Cache", "fields": {"pool": 0, "n": {"static": 3}}}
    assert tree.unflatten(structure, ["p"]) == SimpleNamespace(pool="p", n=3)


def test_objects_match_by_fields() -> None:
    structure = tree.flatten(Cache(0, 0))[1]
    assert list(tree.flatten_like(structure, SimpleNamespace(pool=7, lengths=8))) == [7, 8]
    assert list(tree.flatten_like(structure, {"lengths": 8, "pool": 7})) == [7, 8]


@pytest.mark.parametrize(
    ("structure", "value", "message"),
    [
        (None, 1, "argument 'x': expected None, got 1; it was compiled as absent"),
        (0, None, "argument 'x': expected an array, got None; it was compiled as present"),
        ({"tuple": [0, 1]}, (1, 2, 3), "argument 'x': expected a tuple of 2, got a tuple of 3"),
        ({"list": [0]}, 5, "argument 'x': expected a list of 1, got 5"),
        ({"dict": {"a": 0}}, {"b": 1}, "argument 'x': expected a dict with keys a, got a dict with keys b"),
        ({"dict": {"a": {"tuple": [0]}}}, {"a": 1}, "argument 'x.a': expected a tuple of 1, got 1"),
        ({"object": "m:C", "fields": {"pool": 0}}, object(), "argument 'x': expected C with fields pool, got a object"),
        (
            {"static": 3},
            4,
            "argument 'x': expected 3, the value compiled in, got 4; compile again with static={'x': 4}",
        ),
    ],
)
def test_other_structures_are_refused(structure: tree.Tree, value: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        list(tree.flatten_like(structure, value, "x"))
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "text", (1, (2.0, "a")), [1, 2], math.inf, -math.inf])
def test_static_values_survive_json(value: Any) -> None:
    encoded = json.loads(json.dumps(tree.encode_static(value), allow_nan=False))
    assert tree.decode_static(encoded) == value
    assert list(tree.flatten_like({"static": encoded}, value)) == []


def test_static_values_are_compared_by_type() -> None:
    assert list(tree.flatten_like({"static": 1.0}, 1)) == []
    assert list(tree.flatten_like({"static": tree.encode_static(math.nan)}, math.nan)) == []
    for compiled, given_value in ((1, True), (True, 1), ("1", 1), (None, 0)):
        with pytest.raises(ArgumentError):
            list(tree.flatten_like({"static": compiled}, given_value))


PARAMETERS = [
    {"name": "x", "kind": "positional_or_keyword", "tree": 0},
    {"name": "cache", "kind": "positional_or_keyword", "tree": {"dict": {"k": 1, "v": 2}}},
    {"name": "mask", "kind": "positional_or_keyword", "tree": None},
    {"name": "eps", "kind": "keyword_only", "tree": {"static": 1e-6}},
]


def test_calls_bind_positions_keywords_and_defaults() -> None:
    bind = tree.binder("f", PARAMETERS)
    cache = {"v": "V", "k": "K"}
    assert bind(("X", cache), {}) == ["X", "K", "V"]
    assert bind(("X",), {"cache": cache, "eps": 1e-6, "mask": None}) == ["X", "K", "V"]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "f(): missing argument 'x'"),
        ((1,), {}, "f(): missing argument 'cache'"),
        ((1, 2, 3, 4), {}, "f(): expected at most 3 positional arguments, got 4"),
        ((1,), {"x": 2}, "f(): argument 'x' is given twice: by position and by keyword"),
        ((1,), {"eqs": 2}, "f(): unexpected keyword argument 'eqs': expected one of x, cache, mask, eps"),
    ],
)
def test_wrong_calls_are_refused(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        tree.binder("f", PARAMETERS)(args, kwargs)
    assert message in str(caught.value)


def test_flat_signatures_are_recognised() -> None:
    plain = [{"name": n, "kind": "positional_or_keyword", "tree": i} for i, n in enumerate("xyz")]
    assert tree.is_flat(plain) == 3
    assert tree.is_flat([*plain, {"name": "eps", "tree": {"static": 1}}]) == 3
    assert tree.is_flat([{"name": "eps", "tree": {"static": 1}}, *plain]) is None
    assert tree.is_flat(PARAMETERS) is None
    assert tree.is_flat([]) == 0


def test_dicts_need_string_keys() -> None:
    with pytest.raises(ArgumentError, match="string keys"):
        tree.flatten({1: 2})
