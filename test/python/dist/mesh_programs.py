# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs on a mesh of 16 ranks, and what they mean in NumPy for all ranks at once.

A reference takes arrays of the shape ``[2, 4, 2, ...]``, one tensor for each place of the mesh, and gives such arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import tessera
from tessera import MeshTensor, ShardSpec, Tensor

SHAPE = (2, 4, 2)
AXES = ("data", "model", "pipeline")
MESH = tessera.Mesh(devices=np.array(range(16)).reshape(SHAPE), axis_names=AXES)
Array = np.ndarray[Any, Any]


@dataclass
class Case:
    """A function on the mesh, with one argument for each ``inputs`` array and a reference."""

    function: Any
    inputs: list[Array]
    reference: Callable[..., Array]
    tolerance: float = 0.0


def grouped(x: Array, axes: tuple[str, ...]) -> Array:
    """``[n, others..., tensor...]``: the ranks of each group first, in the order of their places."""
    numbers = [AXES.index(axis) for axis in axes]
    x = np.moveaxis(x, numbers, range(len(axes)))
    return x.reshape(-1, *x.shape[len(axes) :])


def ungrouped(x: Array, axes: tuple[str, ...]) -> Array:
    """The inverse of ``grouped``."""
    numbers = [AXES.index(axis) for axis in axes]
    x = x.reshape(*(SHAPE[number] for number in numbers), *x.shape[1:])
    return np.moveaxis(x, range(len(axes)), numbers)


def numbers(seed: int, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Numbers that every rank makes alike."""
    random = np.random.default_rng(seed)
    if dtype == np.bool_:
        return random.random((*SHAPE, *shape)) < 0.3
    if np.issubdtype(dtype, np.integer):
        return random.integers(-5, 6, (*SHAPE, *shape)).astype(dtype)
    return random.standard_normal((*SHAPE, *shape)).astype(dtype)


def collective(call: Callable[[Any], Any]) -> Any:
    """A function of one tensor on the mesh."""

    def body(x: MeshTensor) -> MeshTensor:
        return call(x)

    return tessera.on_mesh(MESH)(body)


def in_groups(axes: tuple[str, ...], what: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A reference from what the ranks of one group do: ``[n, others..., tensor...]`` to the same."""
    return lambda x: ungrouped(what(grouped(x, axes)), axes)


def everywhere(x: Array, n: int) -> Array:
    return np.broadcast_to(x, (n, *x.shape))


def build_cases() -> dict[str, Case]:
    """Each collective, along each axis and along two, on each side of a tensor."""
    cases: dict[str, Case] = {}
    combine = {
        "sum": lambda g: g.sum(0, dtype=g.dtype),
        "mean": lambda g: g.mean(0),
        "max": lambda g: g.max(0),
        "min": lambda g: g.min(0),
        "prod": lambda g: g.prod(0, dtype=g.dtype),
    }
    groups: list[tuple[str, ...]] = [("data",), ("model",), ("pipeline",), ("data", "pipeline"), ("pipeline", "model")]
    for axes in groups:
        n = MESH.axis_size(axes)
        tag = "_".join(axes)
        axis: Any = axes if len(axes) > 1 else axes[0]
        for op, reduce in combine.items():
            if len(axes) > 1 and op != "sum":
                continue
            cases[f"reduce_{op}_{tag}"] = Case(
                collective(lambda x, axis=axis, op=op: tessera.mesh_reduce(x, axis=axis, op=op)),
                [numbers(1, (3, 5))],
                in_groups(axes, lambda g, reduce=reduce, n=n: everywhere(reduce(g.astype(np.float64)), n)),
                1e-6,
            )
        for dim in (0, 1):
            cases[f"gather_{tag}_{dim}"] = Case(
                collective(lambda x, axis=axis, dim=dim: tessera.all_gather(x, axis, dim=dim)),
                [numbers(2, (3, 5))],
                in_groups(axes, lambda g, n=n, dim=dim: everywhere(np.concatenate(list(g), axis=g.ndim - 3 + dim), n)),
            )
            cases[f"scatter_{tag}_{dim}"] = Case(
                collective(lambda x, axis=axis, dim=dim: tessera.reduce_scatter(x, axis, dim=dim, op="max")),
                [numbers(3, (8, 16))],
                in_groups(axes, lambda g, n=n, dim=dim: np.stack(np.split(g.max(0), n, axis=g.ndim - 3 + dim))),
            )
            cases[f"slice_{tag}_{dim}"] = Case(
                collective(lambda x, axis=axis, dim=dim: tessera.mesh_slice(x, axis, dim=dim)),
                [numbers(4, (8, 16))],
                in_groups(
                    axes,
                    lambda g, n=n, dim=dim: np.stack([np.split(g[i], n, axis=g.ndim - 3 + dim)[i] for i in range(n)]),
                ),
            )
        for split, concat in ((0, 1), (1, 0), (1, 1)):
            cases[f"all_to_all_{tag}_{split}{concat}"] = Case(
                collective(lambda x, axis=axis, s=split, c=concat: tessera.all_to_all(x, axis, s, c)),
                [numbers(5, (8, 16))],
                in_groups(axes, lambda g, n=n, s=split, c=concat: exchange(g, n, g.ndim - 3 + s, g.ndim - 3 + c)),
            )
        cases[f"broadcast_{tag}"] = Case(
            collective(lambda x, axis=axis, n=n: tessera.broadcast(x, axis, root=n - 1)),
            [numbers(6, (3,))],
            in_groups(axes, lambda g, n=n: everywhere(g[-1], n)),
        )
    for offset, periodic in ((1, True), (-1, True), (2, False), (-1, False)):
        cases[f"shift_{offset}_{periodic}".replace("-", "m")] = Case(
            collective(lambda x, o=offset, p=periodic: tessera.mesh_shift(x, "model", offset=o, periodic=p)),
            [numbers(7, (2, 3))],
            in_groups(("model",), lambda g, o=offset, p=periodic: shifted(g, o, p)),
        )
    for dtype in (ml_dtypes.bfloat16, np.float16, np.float64, np.int8, np.int16, np.int32, np.int64):
        name = np.dtype(dtype).name
        cases[f"sum_{name}"] = Case(
            collective(lambda x: tessera.mesh_reduce(x, axis="model", op="sum")),
            [numbers(8, (7,), dtype)],
            in_groups(("model",), lambda g: everywhere(g.astype(np.float64).sum(0).astype(g.dtype), 4)),
            2e-2 if name == "bfloat16" else 2e-3 if name == "float16" else 1e-12,
        )
    cases["any"] = Case(
        collective(lambda x: tessera.mesh_reduce(x, axis="model", op="max")),
        [numbers(9, (9,), np.bool_)],
        in_groups(("model",), lambda g: everywhere(g.any(0), 4)),
    )
    cases["mean_of_ints"] = Case(
        collective(lambda x: tessera.mesh_reduce(x, axis="model", op="mean")),
        [numbers(10, (9,), np.int32)],
        in_groups(("model",), lambda g: everywhere(g.mean(0), 4)),
        1e-6,
    )
    cases["gather_bools"] = Case(
        collective(lambda x: tessera.all_gather(x, "model", dim=1)),
        [numbers(11, (3, 5), np.bool_)],
        in_groups(("model",), lambda g: everywhere(np.concatenate(list(g), axis=g.ndim - 2), 4)),
    )
    cases["place"] = Case(
        collective(lambda x: x + tessera.axis_index("model") * tessera.axis_size("data")),
        [numbers(12, (3,), np.int64)],
        lambda x: x + 2 * np.arange(4).reshape(1, 4, 1, 1),
    )
    cases["rank_0_tensor"] = Case(
        collective(lambda x: tessera.mesh_shift(tessera.mesh_reduce(x, axis="data"), "model")),
        [numbers(13, ())],
        lambda x: np.roll(everywhere(x.sum(0), 2), 1, axis=1),
        1e-6,
    )
    return cases | programs()


def exchange(g: Array, n: int, split: int, concat: int) -> Array:
    pieces = [np.split(g[i], n, axis=split) for i in range(n)]
    return np.stack([np.concatenate([pieces[j][i] for j in range(n)], axis=concat) for i in range(n)])


def shifted(g: Array, offset: int, periodic: bool) -> Array:
    result = np.roll(g, offset, axis=0)
    if not periodic:
        result[:offset] = 0 if offset > 0 else result[:offset]
        if offset < 0:
            result[offset:] = 0
    return result


# -- programs of more than one step ------------------------------------------------------------------------------------


@tessera.on_mesh(MESH)
def distributed_norm(
    x: MeshTensor["B", "D", ShardSpec("data", "model")], weight: MeshTensor["D", ShardSpec("model")]
) -> MeshTensor["B", "D", ShardSpec("data", "model")]:
    squares = tessera.mesh_reduce(tessera.mean(x**2, dim=-1, keepdim=True), axis="model", op="mean")
    return x / tessera.sqrt(squares + 1e-6) * weight


@tessera.on_mesh(MESH)
def in_a_loop(x: MeshTensor) -> MeshTensor:
    return tessera.scan(lambda state, _: (tessera.mesh_shift(state, "model") + x, state), x, tessera.zeros(5, 1))[0]


@tessera.on_mesh(MESH)
def side_by_side(x: MeshTensor) -> MeshTensor:
    total = tessera.mesh_reduce(x, axis="data")
    largest = tessera.mesh_reduce(x, axis="model", op="max")
    return total * tessera.exp(-(x * x)) + largest


def norm_reference(x: Array, weight: Array) -> Array:
    """``x`` differs along data and model, and repeats along pipeline, as a divided array does."""
    squares = (x.astype(np.float64) ** 2).mean(-1, keepdims=True).mean(1, keepdims=True)
    return x / np.sqrt(squares + 1e-6) * weight[..., None, :]


def loop_reference(x: Array) -> Array:
    state = x
    for _ in range(5):
        state = np.roll(state, 1, axis=1) + x
    return state


def beside_reference(x: Array) -> Array:
    return x.sum(0, keepdims=True) * np.exp(-(x * x)) + x.max(1, keepdims=True)


def programs() -> dict[str, Case]:
    """Programs in which collectives meet computation."""
    return {
        "distributed_norm": Case(distributed_norm, [numbers(20, (3, 8)), numbers(21, (8,))], norm_reference, 1e-5),
        "in_a_loop": Case(in_a_loop, [numbers(22, (4,))], loop_reference, 1e-5),
        "side_by_side": Case(side_by_side, [numbers(23, (40, 30))], beside_reference, 1e-5),
        "given": Case(given(), [numbers(24, (4, 8))], lambda x: everywhere(x.mean(0), 2), 1e-6),
    }


def given() -> Any:
    """The reference's own example."""
    mesh = tessera.Mesh(devices=np.array(range(16)).reshape(2, 4, 2), axis_names=["data", "model", "pipeline"])

    @tessera.on_mesh(mesh)
    def mesh_reduce(x: MeshTensor) -> MeshTensor:
        return tessera.mesh_reduce(x, axis="data", op="mean")

    return mesh_reduce


# -- weights that ranks divide -----------------------------------------------------------------------------------------


@tessera.module
class Divided:
    """Weights cut in each way: in the file they are whole."""

    def __init__(self) -> None:
        whole = np.arange(8 * 16, dtype=np.float32).reshape(8, 16) / 100
        self.columns = tessera.nn.Parameter(whole, sharding=ShardSpec(None, ("data", "model")))
        self.rows = tessera.nn.Parameter(whole, sharding=ShardSpec("model"))
        self.both = tessera.nn.Parameter(whole, sharding=ShardSpec("pipeline", "data"))
        self.shared = tessera.nn.Parameter(np.arange(32, dtype=np.float32))

    def forward(self, x: Tensor["B", 8]) -> tuple[Tensor, ...]:
        return (
            x @ tessera.all_gather(self.columns, ("data", "model"), dim=1),
            tessera.all_gather(self.rows, "model"),
            tessera.all_gather(tessera.all_gather(self.both, "pipeline"), "data", dim=1),
            self.shared * 1.0,
        )
