# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Check and time what was built, on a machine with a GPU."""

from __future__ import annotations

import datetime
import json
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import tessera
import torch

from .accuracy import difference, poison
from .build import INDEX
from .calls import measure_calls, measure_loads
from .case import Check, Race
from .checks import make_checks
from .races import TINY, make_races
from .table import print_results
from .timing import median, slots, speed_ratio, time_side_by_side


def run_programs(folder: Path, out: Path | None, only: str | None, select: str, device: str, seed: int) -> int:
    """Run the parts asked for, print a table and write the results; return 1 if a result is wrong."""
    index = json.loads((folder / INDEX).read_text())
    result: dict[str, Any] = {**describe_machine(device), "commit": index["commit"], "targets": index["targets"]}
    for part, measure in PARTS.items():
        if only in (None, part):
            result |= measure(folder, index, select, device, seed)
            if out is not None:  # what is there so far, as later parts may take the device down
                out.write_text(json.dumps(result, indent=1) + "\n")
    print_results(result)
    wrong = [row for row in [*result.get("checks", ()), *result.get("races", ())] if "error" in row]
    return 1 if wrong else 0


def _checks(folder: Path, index: dict[str, Any], select: str, device: str, seed: int) -> dict[str, Any]:
    checks = [check for check in make_checks() if select in check.program.name]
    rows = run_checks(folder, checks, index, device, seed)
    return {"checks": rows, "counts": count_uses(rows, index, target_of(device))}


def _races(folder: Path, index: dict[str, Any], select: str, device: str, seed: int) -> dict[str, Any]:
    races = [race for race in make_races() if select in race.check.program.name]
    return {"races": [run_race(folder, race, seed) for race in races]}


def _calls(folder: Path, index: dict[str, Any], select: str, device: str, seed: int) -> dict[str, Any]:
    path = folder / f"{TINY.name}.tsr"
    return {"calls": measure_calls(path), "loads": measure_loads(path)}


PARTS = {"checks": _checks, "races": _races, "calls": _calls}


def target_of(device: str) -> str:
    """The target whose code runs there."""
    from tessera import _runtime

    if device == "cpu":
        return "cpu"
    return str(_runtime.cuda_devices()[0][1])


def describe_machine(device: str) -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "machine": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "command": " ".join(["python -m bench.gpu", *(Path(argument).name or argument for argument in sys.argv[1:])]),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()},
    }


def run_checks(
    folder: Path, checks: Sequence[Check], index: dict[str, Any], device: str, seed: int
) -> list[dict[str, Any]]:
    """One row a program: how many checks, and the largest error in units of what is allowed; or the first failure."""
    rows: dict[str, dict[str, Any]] = {}
    generator = torch.Generator(device).manual_seed(seed)
    for check in checks:
        name = check.program.name
        row = rows.setdefault(name, {"program": name, "checks": 0, "worst": 0.0})
        if "error" in row:
            continue
        if "error" in index["programs"].get(name, {}):
            row["error"] = f"not compiled: {index['programs'][name]['error']}"
            continue
        shapes = ", ".join(f"{value.dtype}{list(value.shape)}" for value in check.inputs)
        try:
            worst = run_check(_load(folder, name), check, generator)
        except Exception as error:  # of any kind: the others are still to be run
            row["error"] = f"{shapes}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            continue
        row["checks"] += 1
        row["worst"] = max(row["worst"], worst)
        if worst > 1:
            row["error"] = f"{shapes}: {worst:.3g} times the error that is allowed"
    return list(rows.values())


_loaded: dict[str, tessera.Artifact] = {}


def _load(folder: Path, name: str) -> tessera.Artifact:
    """An artifact; the one loaded last is kept, as the checks of a program follow each other."""
    if name not in _loaded:
        _loaded.clear()
        _loaded[name] = tessera.load(folder / f"{name}.tsr")
    return _loaded[name]


def run_check(artifact: tessera.Artifact, check: Check, generator: torch.Generator) -> float:
    """The largest error of results written over poisoned memory, in units of what is allowed."""
    inputs = [value.make(generator) for value in check.inputs]
    allocated = _flat(artifact(*inputs))
    outs = [poison(torch.empty_like(value)) for value in allocated]
    artifact(*inputs, out=outs[0] if len(outs) == 1 else tuple(outs))
    wide = [_widened(value) for value in inputs]
    if check.reference is None:
        wanted = _flat(artifact(*(value.cpu() for value in inputs)))
        wanted = [value.to(generator.device) for value in wanted]
    else:
        wanted = _flat(check.reference(*wide))
    scale = check.scale(*wide) if callable(check.scale) else check.scale
    bounds: dict[str, Any] = {"terms": check.terms, "operations": check.operations, "scale": scale}
    worst = 0.0
    for got, again, want in zip(allocated, outs, wanted, strict=True):
        if want is not None:
            worst = max(worst, difference(got, want, **bounds), difference(again, want, **bounds))
    return worst


def _flat(results: Any) -> list[Any]:
    if isinstance(results, (tuple, list)):
        return [leaf for result in results for leaf in _flat(result)]
    return [results]


def _widened(value: torch.Tensor) -> torch.Tensor:
    if value.dtype == torch.bool:
        return value
    return value.double() if value.dtype.is_floating_point else value.to(torch.int64)


def count_uses(rows: Iterable[dict[str, Any]], index: dict[str, Any], target: str) -> list[list[Any]]:
    """Passing checks by operation, dtype and target: what tools/write_coverage.py makes docs/coverage.md of."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if "error" not in row:
            counts.update({tuple(use): row["checks"] for use in index["programs"][row["program"]]["uses"]})
    return [[*use, target, count] for use, count in sorted(counts.items())]


def run_race(folder: Path, race: Race, seed: int) -> dict[str, Any]:
    """Check a program, then time it, its peers, and a copy of the bytes that must move."""
    row: dict[str, Any] = {"race": race.title}
    generator = torch.Generator("cuda").manual_seed(seed)
    try:
        artifact = _load(folder, race.check.program.name)
        row["worst"] = run_check(artifact, race.check, generator)
    except Exception as error:  # of any kind: the others are still to be run
        return {**row, "error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    if row["worst"] > 1:
        return {**row, "error": f"{row['worst']:.3g} times the error that is allowed"}
    count = slots(race.moved)
    inputs = [[value.make(generator) for value in race.check.inputs] for _ in range(count)]
    torch._dynamo.reset()
    calls: dict[str, Callable[..., Any]] = {"tessera": artifact, "copy": _copier(race.moved, count)}
    for name, peer in race.peers.items():
        calls[name] = torch.compile(peer, dynamic=False) if name == "inductor" else peer
    with torch.no_grad():
        times = time_side_by_side(calls, inputs)
    row["us"] = {name: median(times, name) for name in times}
    row["tb_per_s"] = race.moved / row["us"]["tessera"] / 1e6
    row["speed"] = {name: speed_ratio(times, "tessera", name) for name in times if name != "tessera"}
    row["wanted"] = {"copy": race.wanted[0], "best peer": race.wanted[1]}
    return row


def _copier(moved: int, count: int) -> Callable[..., torch.Tensor]:
    """A device copy that reads half of the bytes and writes the other half, over as many buffers as the others."""
    sources = [torch.empty(moved // 2, dtype=torch.uint8, device="cuda").fill_(i) for i in range(count)]
    at = 0

    def copy(*_: Any) -> torch.Tensor:
        nonlocal at
        at = (at + 1) % count
        return sources[at].clone()

    return copy
