# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs whose collectives have symbolic sizes, run in loops, or depend on data, and calls of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tessera
from mesh_programs import MESH, distributed_norm, side_by_side
from tessera import MeshTensor, ShardSpec, Tensor


@tessera.on_mesh(MESH)
def every_kind(x: MeshTensor["B", "S", ShardSpec("data")], steps: Tensor["N"]) -> MeshTensor["?", "?"]:
    wide = tessera.all_gather(x, "model", dim=1)
    part = tessera.reduce_scatter(wide, "pipeline", dim=0)
    rolled = tessera.scan(lambda state, _: (tessera.mesh_shift(state, "model") + part, state[0]), part, steps)[0]
    swapped = tessera.all_to_all(rolled, ("data", "pipeline"), 1, 0)
    total = tessera.mesh_reduce(tessera.sum(swapped), axis=("model", "data"))
    return swapped + tessera.broadcast(total, "pipeline", root=1)


@tessera.on_mesh(MESH)
def nested_loops(x: MeshTensor["N"], y: Tensor["M"]) -> MeshTensor["N"]:
    def outer(state: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        inner = tessera.scan(lambda s, _: (tessera.mesh_reduce(s, "data", op="max"), s[0]), state, y[: y.shape[0] // 2])
        return tessera.mesh_shift(inner[0], "pipeline", offset=1, periodic=False), state[0]

    return tessera.scan(outer, x, y)[0]


@tessera.on_mesh(MESH)
def until(x: MeshTensor["N"], n: Tensor[tessera.int32]) -> MeshTensor["N"]:
    """How often it reduces depends on data."""
    return tessera.while_loop(
        lambda state: state[0] > 0,
        lambda state: (state[0] - 1, tessera.mesh_reduce(state[1], "model", op="max")),
        (n, x),
    )[1]


@tessera.on_mesh(MESH)
def perhaps(x: MeshTensor["N"], n: Tensor[tessera.int32]) -> MeshTensor["N"]:
    return tessera.cond(n > 0, lambda y: tessera.mesh_reduce(y, "model"), lambda y: y * 2, x)


PROGRAMS = {
    "every_kind": every_kind,
    "nested_loops": nested_loops,
    "norm": distributed_norm,
    "beside": side_by_side,
    "until": until,
    "perhaps": perhaps,
}
ARGUMENTS: dict[str, list[Any]] = {"beside": [np.zeros((4, 6), np.float32)]}


def calls(name: str) -> list[tuple[dict[str, int], list[Any]]]:
    """Sizes of the symbols, and a rank's arrays of these sizes."""

    def ones(*shape: int) -> Any:
        return np.ones(shape, np.float32)

    return {
        "every_kind": [
            ({"B": b, "S": s, "N": n}, [ones(b // 2, s), ones(n)]) for b, s, n in ((4, 1, 3), (12, 7, 1), (8, 5, 0))
        ],
        "nested_loops": [({"N": n, "M": m}, [ones(n), ones(m)]) for n, m in ((3, 5), (1, 2), (4, 1), (2, 0))],
        "norm": [({"B": b, "D": d}, [ones(b // 2, d // 4), ones(d // 4)]) for b, d in ((2, 4), (14, 8))],
        "beside": [({}, ARGUMENTS["beside"])] * 2,
        "until": [({"N": 9}, [ones(9), np.int32(n)]) for n in (0, 2)],
        "perhaps": [({"N": 7}, [ones(7), np.int32(n)]) for n in (1, 0)],
    }[name]
