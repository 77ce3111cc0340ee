# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Artifacts that run one collective, made as the runtime's tests make theirs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / "test" / "python" / "runtime")]

from handmade import Entry  # noqa: E402
from meshes import artifact, collective, mesh, one  # noqa: E402


def all_reduce(ranks: int) -> bytes:
    """``f(x[N]) -> [N]``: the sum over all ranks of f32, on the CPU."""
    return artifact({"f": one(mesh([ranks]), collective("all_reduce", ["a"]))})


def shapes(ranks: int, axes: int) -> list[list[int]]:
    """The meshes of this many ranks and axes; axes of one rank where the ranks are too few for others."""
    if axes == 1:
        return [[ranks]]
    least = 1 if ranks < 2**axes else 2
    sizes = [n for n in range(least, ranks // least ** (axes - 1) + 1) if ranks % n == 0]
    return [[n, *rest] for n in sizes for rest in shapes(ranks // n, axes - 1)]


def every_collective(ranks: int, dtypes: list[str], reducible: list[str], target: str) -> bytes:
    """An entry for each mesh of up to three axes, axis, collective, operation and dtype, named by them.

    Those on meshes of two axes run as beside other work of the program's.
    """
    entries: dict[str, Entry] = {}
    for shape in (shape for axes in (1, 2, 3) for shape in shapes(ranks, axes)):
        for axis, size in zip("abc"[: len(shape)], shape, strict=True):
            if size > 1 or ranks == 1:
                entries.update(over_axis(shape, axis, dtypes, reducible))
    beside = {name: "run_beside" for name, entry in entries.items() if len(entry.mesh["shape"]) == 2}
    return artifact(entries, beside, target=target)


def over_axis(shape: list[int], axis: str, dtypes: list[str], reducible: list[str]) -> dict[str, Entry]:
    grid = mesh(shape)
    described: list[dict[str, Any]] = [
        collective(kind, [axis], dtype, op=op)
        for kind in ("all_reduce", "reduce_scatter")
        for dtype in reducible
        for op in ("sum", "max", "min", "prod")
        if (dtype, op) != ("bool", "sum")
    ]
    described += [
        collective(kind, [axis], dtype)
        for kind in ("all_gather", "all_to_all", "broadcast", "shift")
        for dtype in dtypes
    ]
    described.append(collective("shift", [axis], periodic=False))

    def name(what: dict[str, Any]) -> str:
        return f"{shape} {axis} {what['kind']} {what['dtype']} {what.get('op', what.get('periodic', ''))}"

    return {name(what): one(grid, what) for what in described}
