# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Collectives on the CPU, through a real MPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from handmade import Entry, tensor, value
from meshes import artifact, collective, mesh, one, start
from programs import N, function

REDUCIBLE = ["f64", "f32", "int8", "int32", "int64", "bool"]
MOVED = ["f64", "f32", "f16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8", "int16", "int32", "int64", "bool"]
# From the back to the front, so that every rank but those in the middle moves.
SHUFFLED = [15, 2, 9, 4, 11, 6, 13, 8, 7, 14, 5, 12, 3, 10, 1, 0]


def axis_sets(grid: dict[str, Any]) -> list[list[str]]:
    """Each axis, and several as one in both orders."""
    axes = grid["axes"]
    several = [[axes[0], axes[-1]], [axes[-1], axes[0]], axes] if len(axes) > 1 else []
    return [[axis] for axis in axes] + [list(a) for a in dict.fromkeys(map(tuple, several))]


def reductions(grid: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        collective(kind, axes, dtype, op=op)
        for kind in ("all_reduce", "reduce_scatter")
        for axes in axis_sets(grid)
        for dtype in (REDUCIBLE if len(axes) == 1 else ["f32"])  # which ranks, and which numbers, are apart
        for op in ("sum", "max", "min", "prod")
        if (dtype, op) != ("bool", "sum")
    ]


def moves(grid: dict[str, Any]) -> list[dict[str, Any]]:
    result = []
    for axes in axis_sets(grid):
        for dtype in MOVED if len(axes) == 1 else ["f32"]:
            result += [collective(kind, axes, dtype) for kind in ("all_gather", "all_to_all", "broadcast", "shift")]
        result.append(collective("broadcast", axes, root=one_less(grid, axes)))
        result += [
            collective("shift", axes, offset=offset, periodic=periodic)
            for offset in (-1, 0, 2, 17)
            for periodic in (True, False)
        ]
    return result


def one_less(grid: dict[str, Any], axes: list[str]) -> int:
    size = 1
    for axis in axes:
        size *= grid["shape"][grid["axes"].index(axis)]
    return size - 1


def write(folder: Path, grid: dict[str, Any], described: list[dict[str, Any]]) -> None:
    entries = {f"{i} {what['kind']} {''.join(what['axes'])} {what['dtype']}": one(grid, what)
               for i, what in enumerate(described)}  # fmt: skip
    in_place = collective("all_reduce", grid["axes"][-1:])
    entries["in place"] = one(grid, in_place)
    (folder / "artifact.tsr").write_bytes(artifact(entries, {"in place": "run_in_place"}))


@pytest.mark.parametrize("shape", [[1], [2], [2, 2], [2, 2, 2], [4, 1]], ids=str)
def test_small_meshes(tmp_path: Path, shape: list[int]) -> None:
    grid = mesh(shape)
    write(
        tmp_path, grid, [what for what in reductions(grid) + moves(grid) if what["dtype"] in ("f32", "int64", "bool")]
    )
    size = len(grid["devices"])
    ended = start(size, "collectives", tmp_path)
    assert ended.reports == [[]] * size, ended.output
    assert ended.status == 0


def test_every_collective_on_sixteen_ranks(tmp_path: Path) -> None:
    grid = mesh([2, 4, 2], SHUFFLED)
    write(tmp_path, grid, reductions(grid) + moves(grid))
    ended = start(16, "collectives", tmp_path, limit=120)
    assert ended.reports == [[]] * 16, ended.output
    assert ended.status == 0


def test_one_rank_needs_no_mpi(tmp_path: Path) -> None:
    grid = mesh([1, 1])
    write(tmp_path, grid, moves(grid))
    ended = start(1, "collectives", tmp_path, launcher=["env"], TESSERA_LIBMPI="/nowhere")
    assert (ended.reports, ended.status) == ([[]], 0), ended.output


OVERLAP = """
int32_t e = tsr_runtime->collective_start(0, b[0], b[1], s[0]);
e |= tsr_runtime->collective_start(1, b[0], b[2], s[0]);
e |= tsr_runtime->collective_wait(1);
return e | tsr_runtime->collective_wait(0);
"""
LOOP = """
float *y = b[1];
for (int64_t i = 0; i < s[0]; ++i) y[i] = ((const float *)b[0])[i];
for (int turn = 0; turn < 10; ++turn) {
  int32_t e = tsr_runtime->collective_start(0, y, y, s[0]); if (e) return e;
  e = tsr_runtime->collective_wait(0); if (e) return e;
}
"""
PLACE = "for (int i = 0; i < 3; ++i) ((int64_t *)b[1])[i] = tsr_runtime->axis_index(i);"


def test_programs_with_several_collectives(tmp_path: Path) -> None:
    grid = mesh([2, 1, 2], [0, 2, 1, 3])
    x, y = tensor("x", "f32", "N"), value("f32", "N")
    total, shifted = collective("all_reduce", ["a", "c"]), collective("shift", ["a"])
    entries = {
        "overlap": Entry("", [x], [y, y], [N], mesh=grid, collectives=[total, shifted]),
        "loop": Entry("", [x], [y], [N], mesh=grid, collectives=[collective("all_reduce", ["c"], op="max")]),
        "place": Entry("", [tensor("x", "int64", 3)], [value("int64", 3)], mesh=grid),
    }
    source = function("overlap", OVERLAP) + function("loop", LOOP) + function("place", PLACE)
    (tmp_path / "artifact.tsr").write_bytes(artifact(entries, {name: name for name in entries}, source))
    ended = start(4, "programs", tmp_path)
    assert ended.status == 0, ended.output
    for rank, (a, c) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        other = [2, 1, 4, 3][rank]  # along "a", whose places hold ranks 0, 1 and 2, 3
        highest = [3, 4, 3, 4][rank]
        assert ended.reports[rank] == {
            "overlap": [[10, 8], [other, 2]],
            "loop": [highest, 2],
            "place": [a, 0, c],
        }


def alone() -> Entry:
    return Entry("", [tensor("x", "f32", "N")], [value("f32", "N")], [N])


def test_threads(tmp_path: Path) -> None:
    entries = {f"f{i}": one(mesh([2]), collective("all_reduce", ["a"])) for i in range(4)} | {"alone": alone()}
    source = function("copy", "for (int64_t i = 0; i < s[0]; ++i) ((float *)b[1])[i] = ((const float *)b[0])[i];")
    (tmp_path / "artifact.tsr").write_bytes(artifact(entries, {"alone": "copy"}, source))
    ended = start(2, "threads", tmp_path)
    assert ended.reports == [True, True], ended.output


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_mpi4py_in_the_same_process(tmp_path: Path, order: str) -> None:
    (tmp_path / "artifact.tsr").write_bytes(artifact({"f": one(mesh([4]), collective("all_reduce", ["a"]))}))
    ended = start(4, "with_mpi4py", tmp_path, order)
    assert ended.reports == [[[4.0] * 4, 6, True]] * 4, ended.output
    assert ended.status == 0
