# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Time several implementations on a GPU side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

#: What a GPU's L2 holds where the driver does not say: an H100's.
L2_BYTES = 50 << 20
#: Long enough for Python to enqueue a round while the GPU is held back.
HOLD_CYCLES = 8_000_000


def slots(bytes_of_a_call: int) -> int:
    """How many sets of buffers a case rotates over: together more than twice the L2."""
    l2 = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", L2_BYTES)
    return max(2, -(-2 * l2 // bytes_of_a_call) + 1)


def time_side_by_side(
    calls: Mapping[str, Callable[..., Any]], inputs: Sequence[Sequence[torch.Tensor]], *, rounds: int = 61
) -> dict[str, list[float]]:
    """Measure each implementation once a round, in turns, by CUDA events around calls on buffers that left the caches.

    The GPU is held back while a round is enqueued, so that no time of Python's is between the events. Results are kept
    until their set of buffers is used again: every implementation allocates in each call and writes to cold memory.

    Parameters
    ----------
    calls
        Implementations by name, which take a set of inputs.
    inputs
        Sets of inputs to rotate over.

    Returns
    -------
    dict
        Microseconds per call by implementation, one figure a round.
    """
    kept: list[Any] = [None] * len(inputs)
    at = 0

    def run(call: Callable[..., Any], repeats: int) -> tuple[torch.cuda.Event, torch.cuda.Event]:
        nonlocal at
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            at = (at + 1) % len(inputs)
            kept[at] = call(*inputs[at])
        end.record()
        return start, end

    repeats = {}
    for name, call in calls.items():
        run(call, 3)
        torch.cuda.synchronize()
        start, end = run(call, 3)
        end.synchronize()
        once = start.elapsed_time(end) / 3
        # Events are some microseconds apart with nothing between them.
        repeats[name] = max(1, min(20, round(0.2 / max(once, 0.01))))
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for _ in range(rounds):
        torch.cuda._sleep(HOLD_CYCLES)
        events = {name: run(calls[name], repeats[name]) for name in order}
        torch.cuda.synchronize()
        for name, (start, end) in events.items():
            times[name].append(start.elapsed_time(end) * 1e3 / repeats[name])
        order.append(order.pop(0))  # each follows each
    return times


def median(times: Mapping[str, Sequence[float]], name: str) -> float:
    """The median time of an implementation."""
    return statistics.median(times[name])


def speed_ratio(times: Mapping[str, Sequence[float]], ours: str, peer: str) -> float:
    """How many times as fast ours is: the median over rounds of the peer's time by ours."""
    return statistics.median(theirs / mine for mine, theirs in zip(times[ours], times[peer], strict=True))
