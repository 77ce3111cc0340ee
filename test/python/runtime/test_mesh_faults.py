# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ranks that die, leave, hang or disagree: the others raise an error that says so, in time, and end."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from handmade import Entry, tensor, value
from meshes import Ended, artifact, collective, mesh, one, start
from programs import N, function
from tessera.dist import world
from tessera.errors import MeshError

HERE = r"\[TSR2910\] rank \d+: all_reduce\(sum\) over axis 'a' at model.py:12: "
SUM = collective("all_reduce", ["a"])


def write(folder: Path, size: int, name: str = "artifact.tsr", **others: dict[str, Any]) -> None:
    """An artifact with ``f``, an all-reduce over ``size`` ranks, and others."""
    entries = {"f": one(mesh([size]), SUM)}
    entries |= {other: one(mesh([size]), described) for other, described in others.items()}
    (folder / name).write_bytes(artifact(entries))


def check_survivors(ended: Ended, lost: int, told: str, within: float) -> None:
    """All but the lost rank raised what was expected, in time, and would raise again."""
    for rank, report in enumerate(ended.reports):
        if rank == lost:
            continue
        assert report, ended.output
        first, second, waited = report
        assert re.match(HERE + told, first), first
        assert second.startswith("[TSR2913] meshes take no more calls in this process after a failure: rank"), second
        assert waited < within
    assert ended.status != 0


@pytest.mark.parametrize("doing", ["kill", "raise"])
def test_a_rank_that_ends_is_missed_at_once(tmp_path: Path, doing: str) -> None:
    write(tmp_path, 4)
    check_survivors(start(4, "calls", tmp_path, doing, 2, 30), 2, "rank 2 has ended", within=10)


def test_sixteen_ranks_lose_one(tmp_path: Path) -> None:
    write(tmp_path, 16)
    check_survivors(start(16, "calls", tmp_path, "kill", 5, 60), 5, "rank 5 has ended", within=30)


def test_a_rank_that_hangs_is_missed_at_the_deadline(tmp_path: Path) -> None:
    write(tmp_path, 3)
    ended = start(3, "calls", tmp_path, "sleep", 1, 2)
    check_survivors(ended, 1, "no answer from rank 1 within 2 s", within=5)
    late = ended.reports[1]  # what the others sent before they gave up was there; the next call misses them
    assert late[0] is None or "have ended" in late[0]
    assert "have ended" in late[1]


def test_a_rank_that_leaves_ends_too(tmp_path: Path) -> None:
    write(tmp_path, 3)
    ended = start(3, "calls", tmp_path, "leave", 0, 2)
    check_survivors(ended, 0, "(no answer from rank 0 within 2 s|rank 0 has ended)", within=5)
    assert "tessera: rank 0: other ranks do not come to MPI's end" in ended.output
    assert ended.seconds < 12


def test_a_rank_whose_call_is_refused_is_out_of_step(tmp_path: Path) -> None:
    """Its next call must not exchange data with what the others still wait for."""
    write(tmp_path, 2)
    ended = start(2, "calls", tmp_path, "refuse", 1, 2)
    check_survivors(ended, 1, "no answer from rank 1 within 2 s", within=5)
    assert "[TSR2910] rank 1: f: no answer from rank 0 within 2 s" in ended.output


def test_mpi_that_does_not_start(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start(2, "never_starts", tmp_path, 1)
    assert ended.reports[0].startswith("[TSR2910] rank 0: f: starting MPI: not all ranks answer within 1 s"), (
        ended.output
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("g", "artifact.tsr", 4), "rank 1 calls 'g', the others 'f'"),
        (("f", "other.tsr", 4), "rank 1 runs another artifact, with other collectives"),
        (("f", "same.tsr", 4), "rank 1 runs another artifact"),
        (("f", "artifact.tsr", 5), "rank 1 calls it with arrays of other sizes"),
    ],
    ids=["entry", "collectives", "artifact", "sizes"],
)
def test_ranks_that_disagree(tmp_path: Path, call: tuple[str, str, int], told: str) -> None:
    write(tmp_path, 3, g=SUM)
    write(tmp_path, 3, "same.tsr")
    (tmp_path / "other.tsr").write_bytes(artifact({"f": one(mesh([3]), {**SUM, "op": "max"})}))
    ended = start(3, "disagree", tmp_path, *call)
    assert [report[0] for report in ended.reports] == [
        f"[TSR2911] rank {rank}: {call[0] if rank == 1 else 'f'}: the ranks disagree: {told}" for rank in range(3)
    ], ended.output
    assert [report[1] for report in ended.reports] == [[3.0] * 4] * 3  # nobody is out of step


def test_another_number_of_ranks(tmp_path: Path) -> None:
    write(tmp_path, 4)
    for size, who in [(2, "rank 1 of 2 for mpiexec (PMI_RANK, PMI_SIZE)"), (1, "rank 0 of 1")]:
        ended = start(size, "one_call", tmp_path, "f", **({"launcher": ["env"]} if size == 1 else {}))
        told = f"[TSR2041] f runs on a mesh of 4 ranks: this process is {who}; start it with `tessera launch -n 4`"
        assert ended.reports[-1] == [told], ended.output


def test_a_call_that_ends_with_a_collective_under_way(tmp_path: Path) -> None:
    entries = {
        "f": one(mesh([2]), SUM),
        "forgets": Entry("", [tensor("x", "f32", "N")], [value("f32", "N")], [N], mesh=mesh([2]), collectives=[SUM]),
        "strays": Entry("", [tensor("x", "f32", "N")], [value("f32", "N")], [N], mesh=mesh([2]), collectives=[SUM]),
    }
    source = function("strays", "return tsr_runtime->collective_start(1, b[0], b[1], s[0]);")
    source += function("forgets", "tsr_runtime->collective_start(0, b[0], b[1], s[0]);"
                       "return tsr_runtime->fail(2030, \"bad\", 0, 0);")  # fmt: skip
    (tmp_path / "artifact.tsr").write_bytes(artifact(entries, {"forgets": "forgets", "strays": "strays"}, source))
    ended = start(2, "one_call", tmp_path, "strays", "f", "forgets", "f")
    for rank, (strays, good, forgets, after) in enumerate(ended.reports):
        assert strays == "[TSR2903] compiled code runs collective 1 of 1 (strays)"
        assert good is None
        assert forgets == "[TSR2030] bad (forgets)"
        assert after == (
            "[TSR2913] meshes take no more calls in this process after a failure: "
            f"rank {rank}: all_reduce(sum) over axis 'a' at model.py:12 was under way when the call ended"
        )


def test_a_forked_child_is_no_rank(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start(2, "forked", tmp_path)
    told = (
        "[TSR2913] meshes take no more calls in this process after a failure: the process has forked from one of a mesh"
    )
    assert ended.reports == [[told, [2.0] * 4]] * 2, ended.output
    assert ended.status == 0


# ---- Who and with what


def test_without_mpi(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start(2, "one_call", tmp_path, "f", TESSERA_LIBMPI="/nowhere/libmpi_abi.so")
    assert [report[0][:60] for report in ended.reports] == [
        f"[TSR2909] rank {rank}: f: TESSERA_LIBMPI: /nowhere/libmpi_abi.so: cannot"[:60] for rank in range(2)
    ]


def test_the_standard_interface(tmp_path: Path) -> None:
    write(tmp_path, 2)
    [library] = (Path(sys.prefix) / "lib").glob("libmpi_abi.so.[0-9]")
    ended = start(2, "one_call", tmp_path, "f", TESSERA_LIBMPI=str(library))
    assert ended.reports == [[None], [None]], ended.output


WORLDS = [
    ({}, [0, 1, 0]),
    ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, [3, 4, 1]),
    ({"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"}, [2, 4, 0]),
    ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, [1, 2, 1]),
    ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0"}, [1, 2, 0]),
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, [0, 1, 0]),  # a batch script, no step
    ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "RANK": "9", "WORLD_SIZE": "16"}, [9, 16, 9]),
    ({"PMI_RANK": "2", "PMI_SIZE": "4", "TESSERA_RANK": "0", "TESSERA_WORLD_SIZE": "1"}, [0, 1, 0]),
    (
        {"PMI_RANK": "2", "PMI_SIZE": "4", "RANK": "1", "WORLD_SIZE": "4"},
        "[TSR2040] launchers contradict each other: this process is rank 1 of 4 for torchrun (RANK, WORLD_SIZE), and "
        "rank 2 of 4 for mpiexec (PMI_RANK, PMI_SIZE); set TESSERA_RANK and TESSERA_WORLD_SIZE to say which",
    ),
    ({"WORLD_SIZE": "4"}, "[TSR2040] RANK: expected a number of 0 or more, got none"),
    ({"RANK": "x", "WORLD_SIZE": "4"}, "[TSR2040] RANK: expected a number of 0 or more, got 'x'"),
    ({"RANK": "4", "WORLD_SIZE": "4"}, "[TSR2040] RANK is 4: expected less than WORLD_SIZE, which is 4"),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "expected"), WORLDS)
def test_world(tmp_path: Path, environment: dict[str, str], expected: Any) -> None:
    (tmp_path / "0.json").touch()
    ended = start(1, "where", tmp_path, launcher=["env"], **environment)
    assert ended.reports == [expected], ended.output


@pytest.mark.parametrize(("setting", "expected"), [("", 300), ("0.5", 0.5)])
def test_timeout(tmp_path: Path, setting: str, expected: float) -> None:
    ended = start(1, "patience", tmp_path, launcher=["env"], TESSERA_MESH_TIMEOUT=setting)
    assert ended.reports == [expected], ended.output


@pytest.mark.parametrize("setting", ["soon", "0", "-1", "inf", "nan", "5s"])
def test_timeout_that_is_none(tmp_path: Path, setting: str) -> None:
    ended = start(1, "patience", tmp_path, launcher=["env"], TESSERA_MESH_TIMEOUT=setting)
    assert ended.reports == [f"[TSR2042] TESSERA_MESH_TIMEOUT: expected seconds, more than 0, got '{setting}'"]


def test_timeout_set_in_python() -> None:
    before = world.timeout()
    world.set_timeout(7)
    assert world.timeout() == 7
    for seconds in (0, -1, float("inf"), float("nan")):
        with pytest.raises(MeshError, match=r"\[TSR2042\] timeout: expected seconds, more than 0, got "):
            world.set_timeout(seconds)
    assert world.timeout() == 7
    world.set_timeout(before)
    assert (world.rank(), world.world_size(), world.local_rank()) == (0, 1, 0)
