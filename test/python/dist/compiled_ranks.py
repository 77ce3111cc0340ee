# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What each rank of a test runs: ``python compiled_ranks.py CASE FOLDER``. It ends with status 0 if all is right."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import partition_programs
import tessera
from mesh_programs import MESH, Divided, build_cases
from tessera import ShardSpec
from tessera.dist import device_put, explain, gather
from tolerance import assert_close
from traffic_programs import PROGRAMS, calls


def collectives(folder: Path) -> list[str]:
    """Every case of ``mesh_programs``, on this rank's arrays."""
    artifact = tessera.load(folder / "cases.tsr")
    wrong = []
    for name, case in build_cases().items():
        inputs = [np.asarray(array[MESH.coords], order="C") for array in case.inputs]
        result = artifact.entry(name)(*inputs)
        expected = case.reference(*case.inputs)[MESH.coords]
        close = np.allclose(
            np.asarray(result, np.float64), np.asarray(expected, np.float64), case.tolerance, case.tolerance
        )
        if result.shape != expected.shape or not close:
            wrong.append(f"{name}: {result!r:.200} instead of {expected!r:.200}")
    return wrong


def weights(folder: Path) -> list[str]:
    """Weights that ranks divide, from the file and replaced."""
    artifact = tessera.load(folder / "weights.tsr")
    module = Divided()
    x = np.random.default_rng(0).standard_normal((3, 8), dtype=np.float32)
    wrong = []
    for scale in (1, 3):
        if scale != 1:
            artifact.set_weight("rows", module.rows.numpy() * scale)
        product, rows, both, shared = artifact(x)
        for name, got, expected in [
            ("columns", product, x @ module.columns.numpy()),
            ("rows", rows, module.rows.numpy() * scale),
            ("both", both, module.both.numpy()),
            ("shared", shared, module.shared.numpy()),
        ]:
            if not np.allclose(got, expected, 1e-5, 1e-5):
                wrong.append(f"{name} x {scale}: {got!r:.200} instead of {expected!r:.200}")
    return wrong


def partitioned(folder: Path) -> list[str]:
    """Programs that the compiler divided, on this rank's parts, against the same programs on one process."""
    artifact = tessera.load(folder / "partitioned.tsr")
    alone = tessera.load(folder / "alone.tsr")
    wrong = []
    for name, case in partition_programs.build().items():
        parts = [device_put(array, MESH, spec) for array, spec in zip(case.inputs, case.specs, strict=True)]
        result = artifact.entry(name)(*parts)
        expected = device_put(np.asarray(alone.entry(name)(*case.inputs)), MESH, case.result)
        if result.shape != expected.shape or not np.allclose(result, expected, 1e-4, 1e-5):
            wrong.append(f"{name}: {result!r:.200} instead of {expected!r:.200}")
    return wrong


def direct(_: Path) -> list[str]:
    """Functions called on arrays, without an artifact."""
    spec = ShardSpec("model", ("data", "pipeline"))
    whole = np.random.default_rng(0).standard_normal((8, 12), dtype=np.float32)
    part = device_put(whole, MESH, spec)
    back = gather(part, MESH, spec)
    wrong = [] if np.array_equal(back, whole) else ["device_put and gather"]
    case = build_cases()["given"]
    result = case.function(case.inputs[0][MESH.coords])
    return wrong if np.allclose(result, case.inputs[0].mean(0)[MESH.coords[1:]], 1e-6) else [*wrong, "given"]


def layers(folder: Path) -> list[str]:
    """Each entry of ``layers.tsr`` on this rank's parts of whole arrays, against its part of the whole result."""
    artifact = tessera.load(folder / "layers.tsr")
    wrong = []
    for name, signature in artifact.inspect()["signature"].items():
        arrays = pickle.loads((folder / f"{name}.pickle").read_bytes())
        *inputs, expected = (
            device_put(array, MESH, ShardSpec.from_manifest(value.get("sharding", [])))
            for array, value in zip(arrays, [*signature["inputs"], *signature["outputs"]], strict=True)
        )
        result = artifact.entry(name)(*inputs)
        try:
            # What cancels does so in f32: next to the one rounding of a narrow result that is nothing.
            scale = np.abs(expected).max() if expected.itemsize >= 4 else None
            assert_close(result, expected, terms=64, operations=4, scale=scale)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
    return wrong


def llama(folder: Path) -> list[str]:
    """The example's model, step by step, against the tokens and logits of one process."""
    sys.path.append(str(Path(__file__).resolve().parents[3] / "examples" / "language_models"))
    from parallel_llama import generate

    prompts, expected = pickle.loads((folder / "llama.pickle").read_bytes())
    wrong = []
    steps = generate(tessera.load(folder / "llama.tsr"), prompts)
    for number, ((tokens, logits), (own_tokens, own_logits)) in enumerate(zip(expected, steps, strict=False)):
        if not np.array_equal(tokens, own_tokens):
            wrong.append(f"tokens of step {number}: {own_tokens} instead of {tokens}")
        difference = np.abs(logits - own_logits).max() / np.abs(logits).max()
        if not difference < 2e-5:
            wrong.append(f"logits of step {number}: off by {difference}")
    return wrong


def refusals(folder: Path) -> list[str]:
    """Calls that every rank has to refuse: an id that no rank has, and parts of different sizes."""
    artifact = tessera.load(folder / "refusals.tsr")
    unequal = np.ones((3, 8 if MESH.coords[1] == 2 else 4), np.float32)
    wrong = []
    for name, array, code in [("look_up", np.array([[0, 32]]), "TSR2030"), ("normalize", unequal, "TSR2911")]:
        try:
            wrong.append(f"{name}: {artifact.entry(name)(array)!r}")
        except tessera.TesseraError as error:
            wrong += [] if error.code == code else [f"{name}: {error}"]
    return wrong


def traffic(folder: Path) -> list[str]:
    """What was predicted of each collective, against what the runtime counted."""
    artifact = tessera.load(folder / "traffic.tsr")
    wrong = []
    for name in PROGRAMS:
        entry = artifact.entry(name)
        foreseen = [[0, 0, 0] for _ in entry.mesh_traffic()]
        for dims, arrays in calls(name):
            entry(*arrays)
            for row, sums in zip(explain(artifact, "h100-8", entry=name, **dims), foreseen, strict=True):
                runs = int(arrays[1]) if row.runs is None else row.runs
                for i, each in enumerate((1, row.given, row.got)):
                    sums[i] += runs * int(each if each is not None else -1)
        counted = [[row["calls"], row["given"], row["got"]] for row in entry.mesh_traffic()]
        if counted != foreseen or not all(calls for calls, *_ in counted):
            wrong.append(f"{name}: counted {counted}, foreseen {foreseen}")
    return wrong


if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    cases: list[Any] = [collectives, weights, partitioned, direct, layers, llama, refusals, traffic]
    wrong = {case.__name__: case for case in cases}[name](folder)
    (folder / f"{name}.{MESH.rank}.json").write_text(json.dumps(wrong))
    sys.exit(bool(wrong))
