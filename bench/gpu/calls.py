# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a call costs until it returns, and how long an artifact takes to load."""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tessera
import torch

#: Fewer than the launches that a stream takes before it makes the caller wait.
CALLS = 200


def measure_calls(path: Path, *, rounds: int = 51) -> dict[str, float]:
    """Microseconds of calls that compute next to nothing, in turns, each batch on an idle GPU."""
    artifact = tessera.load(path)
    x, y = torch.ones(16, device="cuda"), torch.empty(16, device="cuda")
    bare = _launch_loop()
    stream = torch.cuda.current_stream().cuda_stream

    def timed(call: Callable[[], object]) -> Callable[[], float]:
        def batch() -> float:
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            return (time.perf_counter() - start) / CALLS * 1e6

        return batch

    batches: dict[str, Callable[[], float]] = {
        "bare launch": lambda: bare(CALLS, stream) / 1e3,
        "tessera": timed(lambda: artifact(x)),
        "tessera out=": timed(lambda: artifact(x, out=y)),
        "torch eager": timed(lambda: torch.add(x, x)),
        "torch eager out=": timed(lambda: torch.add(x, x, out=y)),
    }
    times: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(rounds):
        for name, batch in batches.items():
            times[name].append(batch())
            torch.cuda.synchronize()
    return {name: statistics.median(values) for name, values in times.items()}


def _launch_loop() -> Callable[[int, int], float]:
    """The loop in C, which the machine's own compiler makes."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "launch.so"
        source = Path(__file__).with_name("launch.c")
        subprocess.run(
            [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True
        )
        loaded = ctypes.CDLL(str(library))
    error = loaded.prepare()
    if error:
        raise RuntimeError(f"cannot load a kernel by the driver API: error {error}")
    loaded.launch_loop.argtypes = [ctypes.c_int, ctypes.c_void_p]
    loaded.launch_loop.restype = ctypes.c_double
    return loaded.launch_loop  # type: ignore[no-any-return]


def measure_loads(path: Path, *, count: int = 21) -> dict[str, float]:
    """Milliseconds to open an artifact of one kernel and prepare its entry, and to the end of its first call.

    Each time it is another file, which no process has loaded; the context is there already.
    """
    x = torch.ones(16, device="cuda")
    torch.cuda.synchronize()
    loads, firsts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            copied = shutil.copy(path, Path(folder) / f"{i}.tsr")
            start = time.perf_counter()
            artifact = tessera.load(copied)
            artifact.entry()
            loads.append((time.perf_counter() - start) * 1e3)
            artifact(x)
            torch.cuda.synchronize()
            firsts.append((time.perf_counter() - start) * 1e3)
    return {"load": statistics.median(loads), "load and first call": statistics.median(firsts)}
