# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Artifacts that run one collective, made as the runtime's tests make theirs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / "test" / "python" / "runtime")]

from meshes import artifact, collective, mesh, one  # noqa: E402


def all_reduce(ranks: int) -> bytes:
    """``f(x[N]) -> [N]``: the sum over all ranks of f32, on the CPU."""
    return artifact({"f": one(mesh([ranks]), collective("all_reduce", ["a"]))})


def every_collective(ranks: int, dtypes: list[str], reducible: list[str], target: str) -> bytes:
    """An entry for each collective, operation and dtype, named by them."""
    grid = mesh([ranks])
    described: list[dict[str, Any]] = [
        collective(kind, ["a"], dtype, op=op)
        for kind in ("all_reduce", "reduce_scatter")
        for dtype in reducible
        for op in ("sum", "max", "min", "prod")
        if (dtype, op) != ("bool", "sum")
    ]
    described += [
        collective(kind, ["a"], dtype)
        for kind in ("all_gather", "all_to_all", "broadcast", "shift")
        for dtype in dtypes
    ]
    described.append(collective("shift", ["a"], periodic=False))
    names = [f"{what['kind']} {what['dtype']} {what.get('op', what.get('periodic', ''))}" for what in described]
    return artifact(dict(zip(names, (one(grid, what) for what in described), strict=True)), target=target)
