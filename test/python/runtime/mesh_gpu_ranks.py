# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What one rank with a fake GPU does in a test: ``python mesh_gpu_ranks.py CASE FOLDER ...``."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from mesh_ranks import CASES, FOLDER, case, caught, entry, group, reference, rt, sample  # before tessera

from fake_cuda import Driver, InterfaceArray, Memory  # isort: skip

driver = Driver()


class Call:
    """A call of an entry on a stream, which does not wait."""

    def __init__(self, f: Any, *inputs: np.ndarray, stream: int | None = None, device: int = 0) -> None:
        self.memory = [Memory(driver, x, device) for x in inputs]
        self.stream, self.device = stream or driver.stream(device), device
        arrays = [InterfaceArray(memory) for memory in self.memory]
        self.outputs = f(*arrays, stream=self.stream)

    def numpy(self) -> np.ndarray:
        """The result, waited for."""
        synchronize(self.stream, self.device)
        return to_numpy(self.outputs)


def synchronize(stream: int, device: int = 0) -> None:
    """Wait for a stream, as a framework would, without the interpreter's lock."""
    before = driver.context(device)
    driver.lib.cuStreamSynchronize(ctypes.c_void_p(stream))
    driver.lib.cuCtxSetCurrent(ctypes.c_void_p(before))


def to_numpy(array: Any) -> np.ndarray:
    """The values of an array in fake device memory."""
    described = array.__cuda_array_interface__
    shape, kind = described["shape"], np.dtype(described["typestr"])
    count = int(np.prod(shape)) * kind.itemsize
    return np.frombuffer(ctypes.string_at(described["data"][0], count), kind).reshape(shape)


def ones() -> np.ndarray:
    return np.ones(4, np.float32)


@case
def gpu_collectives() -> Any:
    """Each entry of the artifact against NumPy; a list of those that differ."""
    program = rt.load(FOLDER / "artifact.tsr")
    stream = driver.stream()
    wrong = []
    for name, described in json.loads(program.manifest)["entries"].items():
        [what], grid = described["collectives"], described["mesh"]
        ranks = group(grid, what["axes"], rt.rank())
        place = ranks.index(rt.rank())
        spread = len(described["inputs"]) == 2
        for size in [3, 0] if what["dtype"] == "f32" else [3]:
            inputs = [sample(r, name, what["dtype"], size * (len(ranks) if spread else 1)) for r in ranks]
            extra = [np.zeros(size, bool)] if spread else []
            got = Call(program.entry(name), inputs[place], *extra, stream=stream).numpy()
            if not np.array_equal(got, reference(what, inputs, place)):
                wrong.append([name, size, got.tolist(), reference(what, inputs, place).tolist()])
    return wrong


@case
def overlap() -> Any:
    """A call whose collective waits for another rank does not wait, nor does its stream until the result is wanted."""
    f = entry("f")
    Call(f, ones()).numpy()
    if rt.rank() == 1:
        time.sleep(1)
    began = time.monotonic()
    call = Call(f, ones() * (rt.rank() + 1))
    queued = time.monotonic() - began
    return [queued, call.numpy().tolist(), time.monotonic() - began]


@case
def graphs(how: str) -> Any:
    """Replays of a graph run the collectives anew; the eager call in between has a stream of its own."""
    f = entry("f")
    x = Memory(driver, ones())
    array = InterfaceArray(x)
    if how == "warm":
        Call(f, ones()).numpy()
        time.sleep(0.1)  # the watch is done with it, and its events are there for others
    graph = f.capture(array)
    totals = []
    for turn in range(3):
        ctypes.memmove(x.address, (ones() * (turn + rt.rank())).ctypes.data, 16)
        stream = driver.stream()
        graph.replay(stream=stream)
        synchronize(stream)
        totals.append(to_numpy(graph.outputs)[0].item())
        totals.append(Call(f, ones()).numpy()[0].item())
    return totals


def wait_out(call: Call) -> None:
    """Wait as a program does that never looks at the runtime: the error comes in the main thread."""
    synchronize(call.stream)
    for _ in range(1000):  # what a program goes on with
        time.sleep(0.01)
    raise AssertionError("no error came")


@case
def lost(doing: str, seconds: str) -> Any:
    """A good call; then rank 1 does something else, and the others wait for their GPUs."""
    rt.set_mesh_timeout(float(seconds))
    f = entry("f")
    Call(f, ones()).numpy()
    if rt.rank() == 1 and doing != "fault":
        (FOLDER / "1.json").write_text(json.dumps("went"))
        {
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "raise": lambda: sys.exit("an error of its own"),
            "hang": lambda: time.sleep(2 * float(seconds) + 2),
        }[doing]()
        return "went"
    began = time.monotonic()
    told = caught(lambda: wait_out(Call(f, ones())))
    waited = time.monotonic() - began
    again = caught(lambda: Call(f, ones()))
    count_aborts = ctypes.CDLL(os.environ["TESSERA_LIBNCCL"]).fake_nccl_aborts
    for _ in range(100):  # the error is told before NCCL is done
        if count_aborts() == 1:
            break
        time.sleep(0.01)
    return [told, again, waited, count_aborts()], 1


@case
def lost_in_a_graph() -> Any:
    """Rank 1 ends between two replays."""
    f = entry("f")
    graph = f.capture(InterfaceArray(Memory(driver, ones())))
    stream = driver.stream()
    graph.replay(stream=stream)
    synchronize(stream)
    if rt.rank() == 1:
        os._exit(3)

    def wait() -> None:
        graph.replay(stream=stream)
        synchronize(stream)
        time.sleep(10)

    told = caught(wait)
    return [told, caught(lambda: graph.replay(stream=stream))], 1


@case
def silent() -> Any:
    """A program that never asks ends with a failure all the same."""
    rt.set_mesh_timeout(4)
    f = entry("f")
    Call(f, ones()).numpy()
    if rt.rank() == 1:
        os._exit(0)
    library = ctypes.CDLL(
        next(
            line.split()[-1]
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "libtessera_runtime" in line
        )
    )
    library.tsr_mesh_on_failure(None, None)
    synchronize(Call(f, ones()).stream)
    return "ended"


@case
def first_call(seconds: str) -> Any:
    """What the first call raises, and the second."""
    rt.set_mesh_timeout(float(seconds))
    return [caught(lambda: Call(entry("f"), ones())), caught(lambda: Call(entry("f"), ones()))]


@case
def late(rank: str) -> Any:
    """One rank never comes to the meeting."""
    rt.set_mesh_timeout(1)
    if rt.rank() == int(rank):
        time.sleep(3)
        return "slept"
    return caught(lambda: Call(entry("f"), ones()))


@case
def slow_start() -> Any:
    """Rank 1 is late, and strangers come before it."""
    if rt.rank() == 1:
        time.sleep(1.5)
    return Call(entry("f"), ones()).numpy().tolist()


@case
def stops_between() -> Any:
    """A program that fails while a collective is under way: its memory is freed after that."""
    f, stops = entry("f"), entry("stops")
    Call(f, ones()).numpy()
    stream = driver.stream()
    driver.log()
    told = caught(lambda: Call(stops, ones(), stream=stream))
    log = driver.log(f"stream={stream:x}")
    return [told, [line.split()[0] for line in log], caught(lambda: Call(f, ones()))]


@case
def another_gpu() -> Any:
    """A rank's collectives stay on one GPU."""
    f = entry("f")
    first = Call(f, ones(), device=rt.rank() % 2).numpy().tolist()
    return [first, caught(lambda: Call(f, ones(), device=1 - rt.rank() % 2))]


@case
def threads() -> Any:
    """Threads that each have a stream; their calls come in one order on all ranks."""
    f, results = entry("f"), {}
    turn = threading.Condition()
    now = [0]

    def run(index: int) -> None:
        calls = []
        for i in range(10):
            with turn:
                turn.wait_for(lambda mine=4 * i + index: now[0] == mine)
                calls.append(Call(f, ones() * index))
                now[0] += 1
                turn.notify_all()
        results[index] = [call.numpy()[0].item() for call in calls]

    workers = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return all(results[i] == [2.0 * i] * 10 for i in range(4))


if __name__ == "__main__":
    report = CASES[sys.argv[1]](*sys.argv[3:])
    report, status = report if isinstance(report, tuple) else (report, 0)
    (FOLDER / f"{os.environ['REPORT']}.json").write_text(json.dumps(report))
    sys.exit(status)
