# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera bench``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from tessera.artifact import load
from tessera.cli.app import USAGE, fail
from tessera.cli.arrays import evaluate, numpy_dtype, random_array
from tessera.cli.options import parse_sizes
from tessera.cli.running import argument_inputs, pick_entry
from tessera.description import signature_text
from tessera.entry import time_calls

_DEFAULT_SIZE = 128


def bench(
    path: Path,
    entry_name: str | None,
    dims: Sequence[str],
    warmup: int,
    seconds: float,
    *,
    fresh: bool,
    as_json: bool,
) -> None:
    """Time an entry on random arrays and print percentiles."""
    entry = pick_entry(load(path), entry_name)
    sizes = choose_sizes(entry.manifest["symbols"], parse_sizes(dims))

    def shape_of(item: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(evaluate(size, sizes) for size in item["shape"])

    generator = np.random.default_rng(0)
    inputs = [random_array(item["dtype"], shape_of(item), generator) for item in argument_inputs(entry)]
    outputs = [np.empty(shape_of(item), numpy_dtype(item["dtype"])) for item in entry.manifest["outputs"]]
    function = entry.runtime_entry
    out = outputs[0] if len(outputs) == 1 else tuple(outputs)
    times = time_calls(
        (lambda: function(*inputs)) if fresh else (lambda: function(*inputs, out=out)), warmup=warmup, seconds=seconds
    )
    moved = sum(array.nbytes for array in (*inputs, *outputs))
    rate = moved / times["median"] / 1e3
    if as_json:
        document = {"artifact": path.name, "entry": entry.name, "dims": sizes, "out": not fresh, "unit": "us", **times}
        typer.echo(json.dumps({**document, "bytes": moved, "gb_per_s": rate}))
        return
    given = ", ".join(f"{name}={size}" for name, size in sizes.items()) or "no symbols"
    typer.echo(f"{signature_text(entry.name, entry.manifest)} at {given}")
    keys = ("min", "p10", "median", "mean", "p90", "p99")
    typer.echo(f"  {times['runs']} runs, us: " + "  ".join(f"{key} {times[key]:.2f}" for key in keys))
    typer.echo(f"  arguments and results: {moved} bytes, {rate:.2f} GB/s at the median")


def choose_sizes(symbols: Sequence[Mapping[str, Any]], given: Mapping[str, int]) -> dict[str, int]:
    """Return a size for every symbol: the one given, or one near 128 that its range allows."""
    names = [symbol["name"] for symbol in symbols]
    for name in given:
        if name not in names:
            raise fail(USAGE, f"--dim: unknown symbol '{name}': expected one of {', '.join(names) or '(none)'}")
    sizes = {}
    for symbol in symbols:
        multiple, low, high = symbol.get("multiple_of", 1), symbol.get("min", 0), symbol.get("max")
        size = max(low, -(-_DEFAULT_SIZE // multiple) * multiple)
        if high is not None and size > high:
            size = high // multiple * multiple
        sizes[symbol["name"]] = given.get(symbol["name"], size)
    return sizes
