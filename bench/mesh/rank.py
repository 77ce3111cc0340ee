# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What one rank does: ``mpiexec -n 2 python -m bench.mesh.rank ARTIFACT ROUNDS SIZES``; rank 0 prints the figures."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI
from tessera import _runtime

WORLD = MPI.COMM_WORLD
SLICE_SECONDS = 0.05


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each call by its slowest rank, in turns, and how many times as long ours takes."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    repeats = {}
    for name, call in calls.items():
        call()
        began = time.perf_counter()
        call()
        once = WORLD.allreduce(time.perf_counter() - began, MPI.MAX)
        repeats[name] = max(1, min(2000, int(SLICE_SECONDS / once)))
    for _ in range(rounds):
        for name, call in calls.items():
            WORLD.Barrier()
            began = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            seconds = (time.perf_counter() - began) / repeats[name]
            times[name].append(WORLD.allreduce(seconds, MPI.MAX))
    return {
        name: {
            "median": statistics.median(seconds),
            "least": min(seconds),
            "ratio": statistics.median(ours / theirs for ours, theirs in zip(times["ours"], seconds, strict=True)),
        }
        for name, seconds in times.items()
    }


def main(artifact: str, rounds: str, sizes: str) -> None:
    """Compare one entry with the same collective by mpi4py."""
    f = _runtime.load(artifact).entry("f")
    measured: dict[str, Any] = {"library": MPI.Get_library_version().split("\n")[0], "sizes": {}}
    for size in json.loads(sizes):
        x = np.random.default_rng(WORLD.rank).standard_normal(size, dtype=np.float32)
        ours, theirs = np.empty_like(x), np.empty_like(x)
        calls = {
            "ours": lambda x=x, out=ours: f(x, out=out),
            "Iallreduce": lambda x=x, out=theirs: WORLD.Iallreduce(x, out).Wait(),
            "Allreduce": lambda x=x, out=theirs: WORLD.Allreduce(x, out),
        }
        measured["sizes"][size] = measure(calls, int(rounds))
        calls["ours"]()
        assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    if WORLD.rank == 0:
        print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
