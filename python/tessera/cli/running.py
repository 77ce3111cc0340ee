# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera run``."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from tessera._runtime import DeviceArray
from tessera.artifact import Artifact, load
from tessera.cli.app import FAILED, USAGE, fail
from tessera.cli.arrays import Array, read_array
from tessera.comparison import compare, tolerance
from tessera.container import write_atomically
from tessera.entry import EntryPoint
from tessera.errors import ArgumentError
from tessera.profile import profile as measure
from tessera.values import place_arrays


def pick_entry(artifact: Artifact, name: str | None) -> EntryPoint:
    """Return an entry by name, or the only one; a wrong name is wrong usage."""
    try:
        return artifact.entry(name)
    except ArgumentError as error:
        raise fail(USAGE, str(error)) from None


def argument_inputs(entry: EntryPoint) -> list[Mapping[str, Any]]:
    """The inputs that a call passes: all but the weights."""
    return [item for item in entry.manifest["inputs"] if item.get("kind", "argument") == "argument"]


def run_artifact(
    path: Path,
    entry_name: str | None,
    inputs: Sequence[str],
    outputs: Sequence[Path],
    expected: Sequence[Path],
    rtol: float | None,
    atol: float | None,
    *,
    target: str | None,
    profile: bool,
    against: str | None,
) -> None:
    """Run an entry on files; write the results and compare them."""
    artifact = load(path, target=target)
    entry = pick_entry(artifact, entry_name)
    arrays = read_inputs(entry, inputs)
    if against is not None:
        return trace_values(artifact, entry, arrays, target, against, rtol, atol)
    arrays = place_arrays(entry, target, arrays)
    declared = entry.manifest["outputs"]
    for option, files in (("output", outputs), ("expect", expected)):
        if len(files) > len(declared):
            raise fail(USAGE, f"--{option}: expected at most {len(declared)} files, got {len(files)}")
    returned = entry.runtime_entry(*arrays)
    results: list[Array] = [on_cpu(item) for item in (returned if isinstance(returned, tuple) else (returned,))]
    for result, item, file in zip(results, declared, outputs, strict=False):
        buffer = io.BytesIO()
        np.save(buffer, result)
        write_atomically(file, (buffer.getvalue(),))
        typer.echo(f"wrote {file}: {item['dtype']}{list(result.shape)}")
    if not outputs and not expected and not profile:
        for result, item in zip(results, declared, strict=True):
            typer.echo(f"{item['name'] or 'result'}: {item['dtype']}{list(result.shape)}\n{result}")
    if profile:
        typer.echo(measure(entry, functools.partial(entry.runtime_entry.observe, *arrays)))
    failed = False
    for result, item, file in zip(results, declared, expected, strict=False):
        default = tolerance(item["dtype"])
        want = read_array(file, item["dtype"])
        same, text = compare(result, want, default if rtol is None else rtol, default if atol is None else atol)
        typer.echo(f"{item['name'] or 'result'} against {file}: {'ok' if same else 'DIFFERS'}: {text}")
        failed |= not same
    if failed:
        raise typer.Exit(FAILED)


def trace_values(
    artifact: Artifact,
    entry: EntryPoint,
    arrays: Sequence[Array],
    target: str | None,
    against: str,
    rtol: float | None,
    atol: float | None,
) -> None:
    """Compare what kernels compute for two targets, and name the first value that differs."""
    targets = [variant["target"] for variant in entry.manifest["variants"]]
    if target is None:
        target = next((name for name in (*entry.modules, *reversed(targets)) if name != against), against)
    for name in (target, against):
        if name not in targets:
            raise fail(USAGE, f"--trace-values: no code for '{name}' in the artifact: it is for {', '.join(targets)}")
    found = artifact.compare_flat(entry.name, arrays, target, against, rtol, atol)
    typer.echo(str(found))
    if found.difference is not None:
        raise typer.Exit(FAILED)


def on_cpu(array: Any) -> Array:
    """A result of a call, in CPU memory."""
    result: Array = array.numpy() if isinstance(array, DeviceArray) else array
    return result


def read_inputs(entry: EntryPoint, texts: Sequence[str]) -> list[Array]:
    """Read ``x.npy`` in order and ``name=x.npy`` by name, into the manifest's order."""
    items = argument_inputs(entry)
    names = [item["name"] for item in items]
    given: dict[str, Path] = {}
    free = iter(names)
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or Path(text).is_file():
            name, file = next((n for n in free if n not in given), ""), text
        if name not in names:
            raise fail(USAGE, f"--input: expected at most {len(names)} inputs, of {', '.join(names)}; got {text!r}")
        given[name] = Path(file)
    missing = [name for name in names if name not in given]
    if missing:
        raise fail(USAGE, f"--input: missing {', '.join(missing)}; the entry takes {', '.join(names)}")
    return [read_array(given[item["name"]], item["dtype"]) for item in items]
