# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled programs on 16 ranks, through a real MPI, against NumPy."""

import re
from pathlib import Path

import numpy as np
import pytest
import tessera
from launching import run_ranks
from mesh_programs import MESH, Divided, build_cases
from tessera import MeshTensor, ShardSpec, Tensor
from tessera.frontend import TraceSpec, trace


def test_every_collective_on_16_ranks(tmp_path: Path) -> None:
    cases = build_cases()
    arrays = {name: [array[0, 0, 0] for array in case.inputs] for name, case in cases.items()}
    entries = {name: case.function for name, case in cases.items()}
    tessera.compile(entries, targets="cpu", args=arrays).save(tmp_path / "cases.tsr")
    run_ranks("collectives", tmp_path)


def test_weights_that_ranks_divide(tmp_path: Path) -> None:
    artifact = tessera.compile(tessera.on_mesh(MESH)(Divided()), targets="cpu")
    described = artifact.inspect()["weights"]
    assert described["columns"] == {"dtype": "f32", "shape": [8, 16], "sharding": [[], ["data", "model"]]}
    assert described["shared"] == {"dtype": "f32", "shape": [32]}
    artifact.save(tmp_path / "weights.tsr")
    run_ranks("weights", tmp_path)


def test_direct_calls(tmp_path: Path) -> None:
    run_ranks("direct", tmp_path)


# -- without ranks -----------------------------------------------------------------------------------------------------


def test_sizes_are_a_ranks_own() -> None:
    seen: list[list[str]] = []

    @tessera.on_mesh(MESH)
    def f(
        x: MeshTensor["B", "D", ShardSpec("data", "model")], w: Tensor["D"], v: MeshTensor["D", ShardSpec("pipeline")]
    ) -> MeshTensor["B", "D", ShardSpec("data", "model")]:
        seen.append([str(x.shape[1]), str(w.shape[0]), str(v.shape[0])])
        return x * tessera.mesh_slice(w, "model")

    entry = trace(f).signature.to_manifest()
    assert entry["symbols"] == [
        {"name": "B", "min": 0, "max": None, "multiple_of": 2},
        {"name": "D", "min": 0, "max": None, "multiple_of": 4},
    ]
    assert [item["shape"] for item in entry["inputs"]] == [[["//", "B", 2], ["//", "D", 4]], ["D"], [["//", "D", 2]]]
    assert entry["inputs"][0]["sharding"] == [["data"], ["model"]]
    assert entry["outputs"][0]["sharding"] == [["data"], ["model"]]
    assert trace(f, TraceSpec(dims={"D": 64})).signature.to_manifest()["inputs"][0]["shape"] == [["//", "B", 2], 16]
    assert seen == [["D // 4", "D", "D // 2"], ["16", "64", "32"]]


def test_sizes_that_ranks_cannot_divide_are_refused_at_the_call() -> None:
    @tessera.on_mesh(tessera.Mesh([0], ["data"]))
    def alone(x: MeshTensor["N"]) -> MeshTensor["N"]:
        return tessera.mesh_reduce(x, axis="data")

    x = np.arange(3, dtype=np.float32)
    assert np.array_equal(alone(x), x)  # one rank needs nobody

    @tessera.on_mesh(MESH)
    def scatter(x: MeshTensor["N"]) -> MeshTensor["?"]:
        return tessera.reduce_scatter(x, "model")

    artifact = tessera.compile(scatter, targets="cpu")
    with pytest.raises(tessera.ShapeError, match=r"reduce_scatter: dimension 0: expected a multiple of 4.*got 3"):
        artifact(x)


def test_the_manifest_lists_collectives() -> None:
    artifact = tessera.compile(build_cases()["given"].function, targets="cpu", args=(np.zeros((4, 8), np.float32),))
    (row,) = artifact.inspect()["collectives"]
    assert row.pop("source").startswith("mesh_programs.py:")
    assert row == {"kind": "all_reduce", "axes": ["data"], "op": "sum", "dtype": "f32", "count": 32, "runs": 1}


def test_the_reference_compiles_for_gpus_without_one() -> None:
    """Its all-reduce is a call through the runtime's table, which is NCCL's on a GPU."""
    case = build_cases()["given"]
    artifact = tessera.compile(case.function, targets=["sm_90a", "cpu"], args=[case.inputs[0][0, 0, 0]])
    assert [row["kind"] for row in artifact.inspect()["collectives"]] == ["all_reduce"]
    assert artifact.inspect()["host_syncs"] == []
    for target in ("sm_90a", "cpu"):
        program = artifact.mlir("rt", target)
        assert program.count("rt.start_collective 0 <all_reduce, axes = [0], ranks = 2> of f32") == 1
        assert program.count("rt.wait_collective 0") == 1
    llvm = artifact.mlir("llvmir", "sm_90a")
    start, wait, run = (f"getelementptr i8, ptr %\\d+, i32 {offset}\\b" for offset in (96, 104, 128))
    assert re.search(run, llvm) and not re.search(start, llvm) and not re.search(wait, llvm)


def test_a_collective_beside_a_product() -> None:
    """Its start comes before the product's launch, and its wait after; a GPU runs both at a time."""

    @tessera.on_mesh(tessera.Mesh(np.arange(2), ["data"]))
    def beside(x: Tensor["S", "D"], w: Tensor["D", "F"], g: Tensor["N"]) -> tuple[Tensor["S", "F"], Tensor["N"]]:
        return x @ w, tessera.mesh_reduce(g, "data")

    artifact = tessera.compile(beside, targets="sm_90a")
    steps = re.findall(r"rt\.(launch|\w+_collective)", artifact.mlir("rt"))
    assert steps == ["start_collective", "launch", "wait_collective"]
    llvm = artifact.mlir("llvmir", "sm_90a")
    assert all(re.search(rf"getelementptr i8, ptr %\d+, i32 {offset}\b", llvm) for offset in (96, 104))


def test_mesh() -> None:
    assert MESH.shape == (2, 4, 2) and MESH.size == 16
    assert MESH.axis_size(("data", "pipeline")) == 4
    assert MESH.rank == 0 and MESH.coords == (0, 0, 0)
    assert repr(MESH) == "Mesh(data=2, model=4, pipeline=2)"
    assert MESH.part((4, 8), ShardSpec("data", "model")) == (slice(0, 2), slice(0, 2))
    assert hash(tessera.Mesh(MESH.devices, MESH.axis_names)) == hash(MESH)
