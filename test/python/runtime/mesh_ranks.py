# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What one rank does in a test of meshes: ``python mesh_ranks.py CASE FOLDER ...``, under a launcher."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

# The package without what its __init__ imports: sixteen ranks share two processors.
package = sys.modules["tessera"] = types.ModuleType("tessera")
package.__path__ = [os.environ["TESSERA_PACKAGE"]]

from tessera import _runtime as rt  # noqa: E402

CASES: dict[str, Callable[..., Any]] = {}
DTYPES = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "int8": np.int8,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn, "fp8_e5m2": ml_dtypes.float8_e5m2, "int16": np.int16, "int32": np.int32,
    "int64": np.int64, "bool": np.bool_,
}  # fmt: skip


FOLDER = Path(sys.argv[2])


def case(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function one that a test can ask for; it returns the rank's report, and perhaps its status."""
    CASES[function.__name__] = function
    return function


def entry(name: str, file: str = "artifact.tsr") -> Any:
    """An entry of the artifact that the test wrote."""
    return rt.load(FOLDER / file).entry(name)


def caught(function: Callable[[], Any]) -> str | None:
    """The message of the error that a call raises."""
    try:
        function()
    except Exception as error:
        return str(error)
    return None


def ones(size: int = 4) -> np.ndarray:
    """Data where the values don't matter."""
    return np.ones(size, np.float32)


# ---- What collectives mean, in NumPy: from the inputs of all ranks of a group to one rank's output

REDUCE = {"sum": np.add.reduce, "max": np.maximum.reduce, "min": np.minimum.reduce, "prod": np.multiply.reduce}


def reference(described: dict[str, Any], inputs: list[np.ndarray], place: int) -> np.ndarray:
    """The output of the rank at a place in its group."""
    size = len(inputs)
    kind = described["kind"]
    chunks = [np.split(x, size) if kind in ("reduce_scatter", "all_to_all") else [x] for x in inputs]
    if kind == "all_reduce":
        return REDUCE[described["op"]](np.stack(inputs), axis=0, dtype=inputs[0].dtype)
    if kind == "reduce_scatter":
        return REDUCE[described["op"]](np.stack([c[place] for c in chunks]), axis=0, dtype=inputs[0].dtype)
    if kind == "all_gather":
        return np.concatenate(inputs)
    if kind == "all_to_all":
        return np.concatenate([c[place] for c in chunks])
    if kind == "broadcast":
        return inputs[described["root"]]
    source = place - described["offset"]
    if described["periodic"]:
        return inputs[source % size]
    return inputs[source] if 0 <= source < size else np.zeros_like(inputs[0])


def group(grid: dict[str, Any], axes: list[str], rank: int) -> list[int]:
    """The ranks of a group in order: NumPy's transpose brings the axes that the group runs along to the front."""
    devices = np.array(grid["devices"]).reshape(grid["shape"])
    along = [grid["axes"].index(axis) for axis in axes]
    others = [i for i in range(devices.ndim) if i not in along]
    table = devices.transpose(along + others).reshape(-1, *(devices.shape[i] for i in others))
    at = np.argwhere(table == rank)[0]
    return table[(slice(None), *at[1:])].tolist()


def sample(rank: int, name: str, dtype: str, size: int) -> np.ndarray:
    """Small whole numbers, so that every order of adding gives the same."""
    values = (np.arange(size) * 7 + rank * 13 + rank * rank + sum(name.encode())) % 5 - 2
    return (np.abs(values) % 2 if dtype == "bool" else values).astype(DTYPES[dtype])


@case
def collectives() -> Any:
    """Each entry of the artifact, with several sizes, against NumPy; a list of those that differ."""
    program = rt.load(FOLDER / "artifact.tsr")
    wrong = []
    for name, described in json.loads(program.manifest)["entries"].items():
        [what], grid = described["collectives"], described["mesh"]
        ranks = group(grid, what["axes"], rt.rank())
        spread = len(described["inputs"]) == 2
        for size in [3] if what["dtype"] != "f32" else [0, 5, 70_000 // len(ranks)]:
            inputs = [sample(r, name, what["dtype"], size * (len(ranks) if spread else 1)) for r in ranks]
            place = ranks.index(rt.rank())
            extra = [np.zeros(size, bool)] if spread else []
            got = program.entry(name)(inputs[place], *extra)
            if not np.array_equal(got, reference(what, inputs, place)):
                wrong.append([name, size, got.tolist()[:8], reference(what, inputs, place).tolist()[:8]])
    return wrong


@case
def programs() -> Any:
    """Several collectives at a time, in a loop, and where this rank is."""
    program = rt.load(FOLDER / "artifact.tsr")
    x = np.array([rt.rank() + 1.0, 2.0], np.float32)
    return {
        "overlap": [y.tolist() for y in program.entry("overlap")(x)],
        "loop": program.entry("loop")(x).tolist(),
        "place": program.entry("place")(np.zeros(3, np.int64)).tolist(),
    }


# ---- What goes wrong


@case
def calls(doing: str, rank: str, seconds: str) -> Any:
    """Two good calls; then one rank does something else, and the others call again, twice."""
    rt.set_mesh_timeout(float(seconds))
    f = entry("f")
    assert f(ones()).tolist() == f(ones()).tolist() == [rt.world_size()] * 4
    if rt.rank() == int(rank):
        (FOLDER / f"{rank}.json").write_text(json.dumps("went"))
        {
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "leave": lambda: sys.exit(0),
            "raise": lambda: sys.exit("an error of its own"),
            "sleep": lambda: time.sleep(2 * float(seconds)),
            "refuse": lambda: caught(lambda: f(np.ones(4))) and f(ones()),
        }[doing]()
    began = time.monotonic()
    first = caught(lambda: f(ones()))
    waited = time.monotonic() - began
    return [first, caught(lambda: f(ones())), waited], 1


@case
def disagree(name: str, file: str, size: str) -> Any:
    """Rank 1 calls another entry, of another file, or with another size; all call the usual one afterwards."""
    rt.set_mesh_timeout(5)
    odd = rt.rank() == 1
    told = caught(lambda: entry(name if odd else "f", file if odd else "artifact.tsr")(ones(int(size) if odd else 4)))
    return [told, entry("f")(ones()).tolist()]


@case
def one_call(*names: str) -> Any:
    """What each entry's call raises, or gives."""
    rt.set_mesh_timeout(5)
    return [caught(lambda name=name: entry(name)(ones())) for name in names]


@case
def never_starts(rank: str) -> Any:
    """One rank never calls an entry on the mesh: MPI does not even start."""
    rt.set_mesh_timeout(1)
    if rt.rank() == int(rank):
        time.sleep(2)
        return "slept"
    return caught(lambda: entry("f")(ones()))


@case
def threads() -> Any:
    """Each thread calls an entry of its own, and one that is on no mesh; their calls take turns."""
    rounds, results, turn = 20, {}, threading.Condition()
    turns = iter(range(4 * rounds))
    now = [next(turns)]

    def run(index: int) -> None:
        f, alone = entry(f"f{index}"), entry("alone")
        got = []
        for _ in range(rounds):
            with turn:  # all ranks in one order
                turn.wait_for(lambda: now[0] % 4 == index)
                got.append(f(ones() * (index + 1)).tolist())
                now[0] = next(turns, -1)
                turn.notify_all()
            got.append(alone(ones()).tolist())
        results[index] = got

    workers = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    size = rt.world_size()
    return all(results[i] == [[size * (i + 1.0)] * 4, [1.0] * 4] * rounds for i in range(4))


@case
def with_mpi4py(order: str) -> Any:
    """Collectives of ours and of mpi4py's in one process, whoever starts MPI."""
    f = entry("f")
    if order == "ours first":
        f(ones())
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    theirs = world.allreduce(world.rank)
    return [f(ones()).tolist(), theirs, world.rank == rt.rank()]


@case
def where() -> Any:
    """Who this process is."""
    return caught(rt.rank) or [rt.rank(), rt.world_size(), rt.local_rank()]


@case
def patience() -> Any:
    """How long this process would wait."""
    return caught(rt.mesh_timeout) or rt.mesh_timeout()


@case
def forked() -> Any:
    """A child is no rank; its parent still is."""
    f = entry("f")
    f(ones())
    child = os.fork()
    if child == 0:
        (FOLDER / f"child {rt.rank()}").write_text(str(caught(lambda: f(ones()))))
        sys.exit(0)
    os.waitpid(child, 0)
    return [(FOLDER / f"child {rt.rank()}").read_text(), f(ones()).tolist()]


if __name__ == "__main__":
    report = CASES[sys.argv[1]](*sys.argv[3:])
    report, status = report if isinstance(report, tuple) else (report, 0)
    name = "0.json" if sys.argv[1] in ("where", "patience") else f"{rt.rank()}.json"
    (FOLDER / name).write_text(json.dumps(report))
    sys.exit(status)
