# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile every case, on a machine without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import tessera

from .case import Program
from .checks import make_checks
from .races import TINY, make_races

ROOT = Path(__file__).resolve().parents[2]
INDEX = "index.json"


def programs() -> dict[str, tuple[Program, bool]]:
    """Every program by name, and whether a check compares it with the CPU target."""
    found: dict[str, tuple[Program, bool]] = {TINY.name: (TINY, False)}
    for check in [*make_checks(), *(race.check for race in make_races())]:
        program, with_cpu = found.setdefault(check.program.name, (check.program, False))
        assert program.function is check.program.function, f"two programs are named {program.name}"
        found[program.name] = program, with_cpu or check.reference is None
    return found


def build_programs(folder: Path, targets: list[str], select: str, jobs: int) -> int:
    """Write ``<program>.tsr`` for each program, and an index of what is in them; return how many failed."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in programs() if select in name]
    start = time.perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        tasks = [pool.submit(build_some, names[i::jobs], folder, targets) for i in range(jobs)]
        built = {name: made for task in tasks for name, made in task.result().items()}
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout
    index = {"targets": targets, "commit": commit.strip(), "programs": dict(sorted(built.items()))}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")
    failed = [name for name in names if "error" in built[name]]
    for name in failed:
        print(f"{name}: {built[name]['error']}")
    for name in names:
        for kernel, spilled in built[name].get("spills", {}).items():
            print(f"{name}: {kernel} spills {spilled} bytes")
    seconds = time.perf_counter() - start
    print(f"{len(names) - len(failed)} of {len(names)} programs compiled for {', '.join(targets)} in {seconds:.0f} s")
    return 1 if failed else 0


def build_some(names: Iterable[str], folder: Path, targets: list[str]) -> dict[str, dict[str, Any]]:
    """Compile some programs, in a process that keeps a compiler."""
    sys.path.insert(0, str(ROOT / "test" / "python"))
    from op_coverage import operations

    known = programs()
    built: dict[str, dict[str, Any]] = {}
    for name in names:
        program, with_cpu = known[name]
        try:
            artifact = tessera.compile(
                program.function, targets=[*targets, *(["cpu"] if with_cpu else [])], **program.options
            )
            artifact.save(folder / f"{name}.tsr")
            built[name] = {"uses": sorted(operations(artifact.mlir("tessera").encode())), "spills": _spills(artifact)}
        except tessera.TesseraError as error:
            built[name] = {"error": str(error).splitlines()[0]}
    return built


def _spills(artifact: tessera.Artifact) -> dict[str, int]:
    """Bytes that kernels spill, by kernel and target, of those that do."""
    return {
        f"{kernel['name']} on {target}": facts["spills"]
        for kernel in artifact.inspect()["kernels"]
        for target, facts in kernel.get("targets", {}).items()
        if facts.get("spills")
    }
