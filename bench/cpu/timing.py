# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Time several implementations of one thing side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

#: Longer than OpenBLAS's workers spin (2^26 clock ticks).
IDLE_SECONDS = 0.06


def time_side_by_side(
    calls: Mapping[str, Callable[[], object]], *, rounds: int = 21, slice_seconds: float = 0.02
) -> dict[str, list[float]]:
    """Measure each implementation for a slice of every round, in turns, so that all meet the same noise.

    Worker threads of some implementations spin for tens of milliseconds after a call, on cores that the next one needs:
    a pause goes before each slice, and the first calls of it, a quarter of its time, are not counted.

    Returns
    -------
    dict
        Seconds per call by implementation, one figure a round.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        once = time.perf_counter() - start
        repeats[name] = max(4, int(slice_seconds / max(once, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            count = repeats[name]
            time.sleep(IDLE_SECONDS)
            for _ in range(count // 4):
                call()
            start = time.perf_counter()
            for _ in range(count):
                call()
            times[name].append((time.perf_counter() - start) / count)
    return times


def speed_ratio(times: Mapping[str, list[float]], ours: str, peer: str) -> float:
    """How many times as fast ours is: the median over rounds of the peer's time by ours."""
    return statistics.median(theirs / mine for mine, theirs in zip(times[ours], times[peer], strict=True))
