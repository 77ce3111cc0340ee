# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Collectives on GPUs: a fake driver and a fake NCCL, ranks that meet as torchrun's do."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from handmade import Entry, tensor, value
from meshes import artifact, collective, free_port, mesh, one, start_on_gpus
from programs import N, function

SUM = collective("all_reduce", ["a"])
LABEL = "all_reduce(sum) over axis 'a' at model.py:12"
# Seconds, well beyond the one for which ranks wait for what an ended one may have sent.
FAR = 5
KINDS = ["all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "shift"]


# At once, on the call's stream; or beside what else the program does, on NCCL's.
HOW = pytest.mark.parametrize("how", ["run", "run_beside"])


def write(folder: Path, size: int, how: str = "run") -> None:
    (folder / "artifact.tsr").write_bytes(artifact({"f": one(mesh([size]), SUM)}, {"f": how}, target="sm_90a"))


@HOW
def test_every_collective(tmp_path: Path, how: str) -> None:
    grid = mesh([2, 2], [3, 1, 0, 2])
    described = [
        collective(kind, axes, dtype, op=op)
        for kind in ("all_reduce", "reduce_scatter")
        for axes, dtype in [(["a"], "f32"), (["b"], "f64"), (["b", "a"], "f16"), (["a"], "int8"), (["a", "b"], "int64")]
        for op in ("sum", "max", "min", "prod")
    ]
    described += [collective("all_reduce", ["b"], "int32"), collective("all_reduce", ["b"], "bool", op="max")]
    for axes, dtype in [(["a"], "f32"), (["b", "a"], "int16"), (["a", "b"], "bool")]:
        described += [collective(kind, axes, dtype) for kind in KINDS[2:]]
    described += [collective("broadcast", ["a", "b"], root=3)]
    described += [
        collective("shift", ["a", "b"], offset=offset, periodic=periodic)
        for offset in (-1, 0, 2, 4)
        for periodic in (True, False)
    ]
    entries = {f"{i} {what['kind']}": one(grid, what) for i, what in enumerate(described)}
    entries["in place"] = one(grid, collective("all_reduce", ["a", "b"]))
    symbols = {**dict.fromkeys(entries, how), "in place": "run_in_place"}
    (tmp_path / "artifact.tsr").write_bytes(artifact(entries, symbols, target="sm_90a"))
    ended = start_on_gpus(4, "gpu_collectives", tmp_path)
    assert ended.reports == [[]] * 4, ended.output
    assert ended.statuses == [0] * 4


def test_a_rank_alone(tmp_path: Path) -> None:
    """It copies, without NCCL; or with it, to try an installation out."""
    grid = mesh([1])
    described = [collective(kind, ["a"]) for kind in KINDS]
    described += [collective("shift", ["a"], offset=offset, periodic=False) for offset in (0, 1)]
    entries = {f"{i}": one(grid, what) for i, what in enumerate(described)}
    (tmp_path / "artifact.tsr").write_bytes(artifact(entries, target="sm_90a"))
    for environment in [{"TESSERA_LIBNCCL": "/nowhere"}, {"TESSERA_MESH_LOOPBACK": "1"}]:
        ended = start_on_gpus(1, "gpu_collectives", tmp_path, **environment)
        assert (ended.reports, ended.statuses) == ([[]], [0]), ended.output


@HOW
@pytest.mark.parametrize("fault", ["", "defer@2", "lag@2"])
def test_calls_do_not_wait(tmp_path: Path, how: str, fault: str) -> None:
    write(tmp_path, 2, how)
    ended = start_on_gpus(2, "overlap", tmp_path, faults={0: fault})
    assert ended.statuses == [0, 0], ended.output
    queued, result, waited = ended.reports[0]
    assert result == ended.reports[1][1] == [3.0] * 4
    assert waited > 0.9
    assert queued < 0.4 if fault != "defer@2" else 0.4 < queued < 0.9


@HOW
@pytest.mark.parametrize("before", ["warm", "cold"])
def test_graphs(tmp_path: Path, how: str, before: str) -> None:
    write(tmp_path, 2, how)
    ended = start_on_gpus(2, "graphs", tmp_path, before)
    assert ended.reports == [[1, 2, 3, 2, 5, 2]] * 2, ended.output


@HOW
def test_threads(tmp_path: Path, how: str) -> None:
    write(tmp_path, 2, how)
    ended = start_on_gpus(2, "threads", tmp_path)
    assert ended.reports == [True, True], ended.output


@HOW
@pytest.mark.parametrize(
    ("doing", "timeout", "told"),
    [
        ("kill", FAR, "rank 1 has ended"),
        ("raise", FAR, "rank 1 has ended"),
        ("hang", 2, "no answer from rank 1 within 2 s"),
    ],
)
def test_a_rank_is_lost(tmp_path: Path, how: str, doing: str, timeout: int, told: str) -> None:
    """Nobody waits on the host; the error comes where the program waits for its GPU."""
    write(tmp_path, 3, how)
    ended = start_on_gpus(3, "lost", tmp_path, doing, timeout)
    for rank in (0, 2):
        first, second, waited, aborts = ended.reports[rank]
        assert first == f"[TSR2910] rank {rank}: {LABEL}: {told}", ended.output
        assert (
            second
            == f"[TSR2913] meshes take no more calls in this process after a failure: rank {rank}: {LABEL}: {told}"
        )
        assert waited < 6
        assert aborts == 1  # all ranks' communicator, whose flag the group's shares
        assert ended.statuses[rank] == 1


def test_rank_0_is_lost(tmp_path: Path) -> None:
    """The others' connections go through it."""
    write(tmp_path, 3)
    ended = start_on_gpus(3, "lost", tmp_path, "fault", FAR, faults={0: "fail@2"})
    assert ended.reports[0][0].startswith("[TSR2912] rank 0"), ended.output
    for rank in (1, 2):
        assert ended.reports[rank][0] == f"[TSR2910] rank {rank}: {LABEL}: rank 0 has ended"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            "fail@2",
            "[TSR2912] rank 1: {}: NCCL failed: remote process exited or there was a network error (as the test ",
        ),
        ("refuse@2", "[TSR2912] rank 1: {}: NCCL failed: a fake error (as the test ordered)"),
        ("hang@2", "[TSR2910] rank 1: {}: all ranks have come, but it is not done within 2 s"),
        ("stall@2", "[TSR2910] rank 1: {}: all ranks have come, but it is not done within 2 s"),
    ],
)
def test_nccl_fails(tmp_path: Path, fault: str, told: str) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "lost", tmp_path, "fault", 2, faults={1: fault})
    assert ended.reports[1][0].startswith(told.format(LABEL)), ended.output
    assert ended.reports[0][0].startswith(f"[TSR2910] rank 0: {LABEL}: "), ended.output
    assert all(report[1].startswith("[TSR2913] ") and report[2] < 6 for report in ended.reports)


def test_nccl_fails_as_a_rank_has_ended(tmp_path: Path) -> None:
    """The error is about the rank, whoever sees it first."""
    write(tmp_path, 2)
    ended = start_on_gpus(2, "lost", tmp_path, "kill", FAR, faults={0: "refuse@2"})
    assert ended.reports[0][0].startswith(f"[TSR2910] rank 0: {LABEL}: rank 1 has ended"), ended.output


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            "init-hang",
            r"\[TSR2910\] rank 1: f: all ranks have come, but it is not done within 2 s|.*no answer from rank 0",
        ),
        ("init-error", r"\[TSR2912\] rank 1: f: ncclCommInitRankConfig failed: remote process exited"),
        ("split-hang", r"\[TSR2910\] rank 1: f: "),
        ("split-error", r"\[TSR2912\] rank 1: f: ncclCommSplit failed: remote process exited"),
    ],
)
def test_communicators_that_are_not_made(tmp_path: Path, fault: str, told: str) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "first_call", tmp_path, 2, faults={1: fault})
    assert re.match(told, ended.reports[1][0]), ended.output
    assert ended.reports[0][0].startswith("[TSR2910] rank 0: f: "), ended.reports
    assert all(report[1].startswith("[TSR2913] ") for report in ended.reports)
    assert ended.seconds < 10


def test_a_rank_is_lost_between_replays(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "lost_in_a_graph", tmp_path)
    told, after = ended.reports[0]
    assert re.match(r"\[TSR2910\] rank 0: (a replay of f|a mesh): rank 1 has ended", told), ended.output
    assert after.startswith("[TSR2913] ")


def test_a_failure_that_nobody_asks_for(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "silent", tmp_path)
    assert ended.reports[0] == "ended"
    assert ended.statuses == [1, 0]
    assert f"tessera: rank 0: {LABEL}: rank 1 has ended" in ended.output


def test_a_program_that_stops_between(tmp_path: Path) -> None:
    stops = Entry("", [tensor("x", "f32", "N")], [value("f32", "N")], [N], mesh=mesh([2]), collectives=[SUM])
    source = function(
        "stops", 'tsr_runtime->collective_start(0, b[0], b[1], s[0]); tsr_runtime->fail(2030, "bad", 0, 0);'
    )
    entries = {"f": one(mesh([2]), SUM), "stops": stops}
    (tmp_path / "artifact.tsr").write_bytes(artifact(entries, {"stops": "stops"}, source, target="sm_90a"))
    ended = start_on_gpus(2, "stops_between", tmp_path)
    for told, log, after in ended.reports:
        assert told == "[TSR2030] bad (stops)", ended.output
        assert log[-1] == "cuMemFreeAsync" or "cuStreamWaitEvent" in log
        assert log.index("cuEventRecord") < log.index("cuStreamWaitEvent")
        assert "was under way when the call ended" in after


def test_one_gpu_a_rank(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "another_gpu", tmp_path, FAKE_CUDA_DEVICES="9.0,9.0")
    for rank, (first, told) in enumerate(ended.reports):
        assert first == [2.0] * 4
        assert told == (
            f"[TSR2011] rank {rank}: f: this rank's collectives run on GPU {rank}, as its first call's did: "
            f"got arrays on GPU {1 - rank}"
        )


# ---- Meeting


def test_the_coordinator(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "first_call", tmp_path, 5, MASTER_ADDR="", TESSERA_COORDINATOR=f"localhost:{free_port()}")
    assert ended.reports == [[None, None]] * 2, ended.output


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"MASTER_ADDR": ""}, "the ranks know no place to meet: set TESSERA_COORDINATOR to host:port of rank 0"),
        ({"TESSERA_COORDINATOR": "here"}, "TESSERA_COORDINATOR: expected host:port, got 'here'"),
        ({"TESSERA_COORDINATOR": "nowhere.invalid:80"}, "nowhere.invalid:80: "),
    ],
    ids=["none", "malformed", "unknown"],
)
def test_no_place_to_meet(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "first_call", tmp_path, 1, **environment)
    assert ended.reports[1][0].startswith(f"[TSR2915] rank 1: f: {told}"), ended.output


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    write(tmp_path, 2)
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        ended = start_on_gpus(2, "first_call", tmp_path, 1, TESSERA_COORDINATOR=f"127.0.0.1:{port}")
    assert ended.reports[0][0].startswith(f"[TSR2915] rank 0: f: rank 0 cannot listen at port {port}: "), ended.output
    assert ended.reports[1][0] == f"[TSR2910] rank 1: f: no welcome from rank 0 at 127.0.0.1:{port} within 1 s"


def test_strangers_at_the_door(tmp_path: Path) -> None:
    """Who connects and is no rank is sent away, or left alone while it says nothing."""
    write(tmp_path, 2)
    port, answers = free_port(), []

    def knock() -> None:
        while True:
            with suppress(ConnectionRefusedError):
                silent = socket.create_connection(("127.0.0.1", port))
                break
            time.sleep(0.05)
        with socket.create_connection(("127.0.0.1", port)) as browser:
            browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answers.append(browser.recv(1))
        silent.close()

    stranger = threading.Thread(target=knock)
    stranger.start()
    ended = start_on_gpus(2, "slow_start", tmp_path, TESSERA_COORDINATOR=f"127.0.0.1:{port}")
    stranger.join()
    assert ended.reports == [[2.0] * 4] * 2, ended.output
    assert answers == [b""]


def test_two_ranks_with_one_number(tmp_path: Path) -> None:
    write(tmp_path, 3)
    ended = start_on_gpus(3, "first_call", tmp_path, 2, environments={2: {"RANK": "1"}})
    assert "expects no rank 1 of 3, or has it already" in str(ended.reports), ended.output


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_does_not_come(tmp_path: Path, rank: int) -> None:
    write(tmp_path, 3)
    ended = start_on_gpus(3, "late", tmp_path, rank)
    told: list[Any] = [ended.reports[other] for other in range(3) if other != rank]
    expected = "no answer from rank 0 at 127.0.0.1:" if rank == 0 else "no answer from rank 1 within 1 s"
    assert all(expected in each for each in told), ended.output


def test_without_nccl(tmp_path: Path) -> None:
    write(tmp_path, 2)
    ended = start_on_gpus(2, "first_call", tmp_path, 2, TESSERA_LIBNCCL="/nowhere/libnccl.so.2")
    assert ended.reports[0][0].startswith("[TSR2914] rank 0: f: TESSERA_LIBNCCL: /nowhere/libnccl.so.2: "), ended.output
