# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where the time of a call goes: `Profile`."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tessera.errors import ArgumentError

if TYPE_CHECKING:
    from tessera.entry import EntryPoint


@dataclass(frozen=True)
class KernelTime:
    """The launches of one kernel in a call.

    Attributes
    ----------
    name
        The kernel's; of a call that was timed as a whole, the entry's.
    source
        The lines that it computes, ``file.py:12``, the one of its result first.
    launches
        How many there are in a call.
    microseconds
        Of all launches of a call: the median over calls.
    share
        Of the time of all rows, from 0 to 1.
    """

    name: str
    source: tuple[str, ...]
    launches: int
    microseconds: float
    share: float


@dataclass(frozen=True)
class Profile:
    """The times of a call's kernels, the longest first. Prints as a table.

    Attributes
    ----------
    entry
        The name of the entry point.
    rows
        One for each kernel.
    repeats
        How many calls were measured.
    """

    entry: str
    rows: tuple[KernelTime, ...]
    repeats: int

    @property
    def microseconds(self) -> float:
        """The time of all kernels; gaps between them are no part of it."""
        return sum(row.microseconds for row in self.rows)

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"{self.entry}: {self.microseconds:.1f} us, median of {self.repeats} calls")
        table.title_justify = "left"
        for column in ("kernel", "source"):
            table.add_column(column, overflow="fold")
        for column in ("launches", "us", "share"):
            table.add_column(column, justify="right")
        for row in self.rows:
            cells = row.name, " ".join(row.source), str(row.launches), f"{row.microseconds:.1f}", f"{row.share:.1%}"
            table.add_row(*cells)
        text = io.StringIO()
        Console(file=text, width=120).print(table)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def profile(entry: EntryPoint, call: Callable[..., Any], repeats: int = 10) -> Profile:
    """Time the kernels of ``call(on_kernel=...)``, which observes a call of an entry point; see `Artifact.profile`."""
    if repeats < 1:
        raise ArgumentError(f"[TSR4006] repeats: expected 1 or more, got {repeats}")
    runs: list[list[tuple[str, float]]] = []
    for _ in range(1 + repeats):
        runs.append([])
        call(on_kernel=lambda *launch: runs[-1].append(launch))
    del runs[0]  # code is loaded and memory taken in it
    times = {
        name: statistics.median(sum(time for other, time in run if other == name) for run in runs)
        for name in dict.fromkeys(name for run in runs for name, _ in run)
    }
    total = sum(times.values()) or 1.0
    sources = kernel_sources(entry.manifest, entry.modules)
    rows = [
        KernelTime(name, sources.get(name, ()), sum(other == name for other, _ in runs[-1]), time, time / total)
        for name, time in times.items()
    ]
    return Profile(entry.name, tuple(sorted(rows, key=lambda row: -row.microseconds)), repeats)


def kernel_sources(manifest: Mapping[str, Any], modules: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The lines of each kernel, by its name: of an entry's kernels, and of the modules' for GPUs."""
    listed = [*manifest.get("kernels", ()), *(kernel for module in modules.values() for kernel in module["kernels"])]
    return {kernel["name"]: tuple(kernel.get("source", ())) for kernel in listed}
