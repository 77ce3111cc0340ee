# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A manifest of any other form is told, with the place, before anything is read from it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sample
from tessera import tree
from tessera.container import Container, pack
from tessera.description import describe
from tessera.errors import ArtifactError
from tessera.manifest import check


def manifest() -> Any:
    with Container(sample.artifact_bytes(("cpu",))) as container:
        return container.manifest


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested dicts and lists."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))


def test_every_altered_manifest_is_refused_or_can_be_read() -> None:
    original = manifest()
    check(original)
    refused = 0
    for path in list(places(original)):
        for other in (None, -1, "x", [], {}, [[]], {"tuple": 3}):
            altered = copy.deepcopy(original)
            parent = altered
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = other
            try:
                check(altered)
            except ValueError:
                refused += 1
                continue
            json.dumps(describe(altered))
            for name, entry in altered["entries"].items():
                tree.binder(name, entry["parameters"])
    assert refused > 100


SUM = {"kind": "all_reduce", "axes": ["a"], "dtype": "f32", "op": "sum"}


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("symbols", 0, "min"), "0", "entries.add_one.symbols"),
        (("inputs", 0, "shape"), [["^", 1, 2]], "entries.add_one.inputs"),
        (("parameters", 0, "tree"), 5, "entries.add_one.parameters"),
        (("output_tree",), {"tuple": [0, 0]}, "entries.add_one.output_tree"),
        (("mesh",), {"shape": [3], "axes": ["a"], "devices": [0, 1]}, "entries.add_one.mesh.devices"),
        (("collectives",), [{**SUM, "kind": "sum"}], r"entries.add_one.collectives\[0\].kind"),
        (("collectives",), [SUM], r"entries.add_one.collectives\[0\].axes: expected axes of the mesh, got 'a'"),
        (("collectives",), [{**SUM, "axes": [], "count": ["*", 2, "Q"]}], r"count: .*symbols of the entry, got 'Q'"),
        (("collectives",), [{**SUM, "axes": [], "runs": 1.5}], r"collectives\[0\].runs"),
    ],
)
def test_the_message_names_the_place(path: tuple[Any, ...], value: Any, place: str) -> None:
    entry = copy.deepcopy(sample.ENTRY) | {"variants": []}
    parent: Any = entry
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    with pytest.raises(ArtifactError, match=rf"TSR4005.*{place}"):
        Container(pack({"producer": {}, "entries": {"add_one": entry}}, {}))
