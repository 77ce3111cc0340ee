# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a manifest may say of a mesh: anything else is refused when the artifact is opened."""

from __future__ import annotations

import re
from typing import Any

import pytest
from handmade import rt
from hypothesis import given, settings
from hypothesis import strategies as st
from meshes import artifact, collective, mesh, one

GOOD = collective("all_reduce", ["a"])


def message(grid: Any, described: Any) -> str:
    """What opening says of an entry with this mesh and this collective; "" if it opens."""
    entry = one(mesh([2]), GOOD)
    entry.mesh, entry.collectives = grid, described
    try:
        rt.load_bytes(artifact({"f": entry}))
    except Exception as error:
        return str(error)
    return ""


AT = "[TSR3007] manifest.json.entries.f"
TWO = mesh([2])
CASES = [
    (TWO, [GOOD], ""),
    (None, [], ""),
    (mesh([2, 3], [5, 4, 3, 2, 1, 0]), [collective("shift", ["b", "a"], offset=-7)], ""),
    (None, [GOOD], f"{AT}.collectives[0]: the entry has no mesh"),
    ({**TWO, "shape": [0]}, [], f"{AT}.mesh.shape[0]: expected an integer between 1 and 1048576"),
    ({**TWO, "shape": [1 << 20, 2]}, [], f"{AT}.mesh.shape[1]: expected at most 1048576 ranks"),
    ({**TWO, "axes": ["a", "b"]}, [], f"{AT}.mesh.axes: expected a name for each of 1 axes, got 2"),
    ({**TWO, "devices": [0, 2]}, [], f"{AT}.mesh.devices[1]: expected an integer between 0 and 1"),
    ({**TWO, "devices": [0, 0]}, [], f"{AT}.mesh.devices: expected each rank from 0 to 1 once"),
    ({**TWO, "devices": [0]}, [], f"{AT}.mesh.devices: expected each rank from 0 to 1 once"),
    (TWO, [collective("reduce", ["a"])], f"{AT}.collectives[0].kind: expected one of all_reduce, all_gather, "),
    (TWO, [{**GOOD, "op": "mean"}], f"{AT}.collectives[0].op: expected one of sum, max, min, prod, got 'mean'"),
    (TWO, [{**GOOD, "op": None}], f"{AT}.collectives[0].op: expected a string, got null"),
    (TWO, [{**GOOD, "axes": ["b"]}], f"{AT}.collectives[0].axes[0]: expected axes of the mesh, each once, got 'b'"),
    (TWO, [{**GOOD, "axes": ["a", "a"]}], f"{AT}.collectives[0].axes[1]: expected axes of the mesh, each once"),
    (TWO, [{**GOOD, "axes": []}], f"{AT}.collectives[0].axes: expected an axis"),
    (TWO, [{**GOOD, "dtype": "f33"}], f"{AT}.collectives[0].dtype: unknown dtype 'f33'"),
    (TWO, [{**GOOD, "dtype": "fp8_e5m2"}], f"{AT}.collectives[0].dtype: ranks do not reduce fp8_e5m2"),
    (TWO, [collective("broadcast", ["a"], root=2)], f"{AT}.collectives[0].root: expected an integer between 0 and 1"),
    (TWO, [collective("shift", ["a"], offset=None)], f"{AT}.collectives[0].offset: expected an integer, got null"),
]  # fmt: skip


@pytest.mark.parametrize(("grid", "described", "expected"), CASES)
def test_message(grid: Any, described: Any, expected: str) -> None:
    told = message(grid, described)
    assert told.startswith(expected) and bool(told) == bool(expected), told


values = st.none() | st.integers(-(2**65), 2**65) | st.sampled_from(["", "a", "sum", 0.5, [], [0, 1], {}])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*TWO, *GOOD, "root", "offset", "periodic"]), values)
def test_any_json(place: str, new: Any) -> None:
    told = message({**TWO, place: new}, [{**GOOD, place: new}, {**collective("shift", ["a"]), place: new}])
    assert told == "" or re.match(r"\[TSR3007\] ", told), told
