# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs for whole tensors, divided by the compiler, on 16 ranks against one process."""

import inspect
from pathlib import Path
from typing import Any

import partition_programs
import tessera
from launching import run_ranks
from tessera import ShardSpec


def test_programs_that_the_compiler_divides(tmp_path: Path) -> None:
    cases = partition_programs.build()
    entries = {name: case.function for name, case in cases.items()}
    artifact = tessera.compile(entries, targets="cpu", dtypes={"ids": tessera.int64})
    artifact.save(tmp_path / "partitioned.tsr")
    for name, case in cases.items():
        entry = artifact.manifest["entries"][name]
        assert [(row["kind"], row["axes"]) for row in entry["collectives"]] == case.collectives, name
        (output,) = entry["outputs"]
        assert ShardSpec.from_manifest(output["sharding"]) == case.result, name
    alone = {name: one_process(case.function) for name, case in cases.items()}
    arrays = {name: case.inputs for name, case in cases.items()}
    tessera.compile(alone, targets="cpu", args=arrays).save(tmp_path / "alone.tsr")
    run_ranks("partitioned", tmp_path)


def one_process(function: Any) -> Any:
    """The same body on whole tensors, without a mesh."""

    def body(**arrays: Any) -> Any:
        return function.python(**arrays)

    names = function.declaration.python.parameters
    body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    return body
