# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera explain``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from tessera.artifact import pick_entry
from tessera.cli.options import parse_sizes
from tessera.container import Container
from tessera.dist.cluster import find_cluster
from tessera.dist.scaling import Forecast, forecast
from tessera.errors import ArgumentError


def explain(path: Path, cluster: str, dims: Iterable[str], entry: str | None, *, as_json: bool) -> None:
    """Print what the collectives of an artifact's entries move and take, entry by entry."""
    machines, sizes = find_cluster(cluster), parse_sizes(dims)
    with Container(path) as container:
        manifest = container.manifest
    entries = _entries(path, manifest, entry)
    known = {name: [symbol["name"] for symbol in facts["symbols"]] for name, facts in entries.items()}
    if unknown := sizes.keys() - {symbol for symbols in known.values() for symbol in symbols}:
        raise ArgumentError(f"[TSR4006] --dim: no entry on a mesh has a symbol '{min(unknown)}'")
    forecasts = {
        name: forecast(name, facts, machines, {key: size for key, size in sizes.items() if key in known[name]})
        for name, facts in entries.items()
    }
    if as_json:
        typer.echo(json.dumps({name: _document(rows) for name, rows in forecasts.items()}, indent=2))
    else:
        for name, rows in forecasts.items():
            _print(name, entries[name]["mesh"], cluster, rows)


def _entries(path: Path, manifest: Mapping[str, Any], entry: str | None) -> dict[str, Any]:
    """The entry of that name, or all that are on a mesh."""
    if entry is not None:
        return dict([pick_entry(manifest, entry)])
    entries = {name: facts for name, facts in manifest["entries"].items() if "mesh" in facts}
    if not entries:
        raise ArgumentError(f"[TSR4006] {path}: expected an entry on a mesh, got ones that a single process runs")
    return entries


def _document(rows: list[Forecast]) -> dict[str, Any]:
    return {"collectives": [asdict(row) for row in rows], "total": _totals(rows)}


def _totals(rows: list[Forecast]) -> dict[str, float | None]:
    """Sums over a call; None where a collective's part of it depends on data."""
    totals: dict[str, float | None] = {}
    for key in ("given", "got", "sent", "seconds"):
        parts = [row.total(getattr(row, key)) for row in rows]
        totals[key] = None if None in parts else sum(part for part in parts if part is not None)
    return totals


def _print(name: str, mesh: Mapping[str, Any], cluster: str, rows: list[Forecast]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    axes = ", ".join(f"{axis}={size}" for axis, size in zip(mesh["axes"], mesh["shape"], strict=True))
    table = Table(box=None, pad_edge=False)
    for title in ("collective", "over", "by", "at"):
        table.add_column(title)
    for title in ("runs", "given", "got", "sent", "time"):
        table.add_column(title, justify="right")
    for row in rows:
        algorithm = row.plan.algorithm if row.plan else "?"
        texts = (row.kind, f"{' '.join(row.axes)} ({row.ranks})", algorithm, row.source)
        numbers = map(_count, (row.runs, row.given, row.got, row.sent))
        table.add_row(*map(escape, texts), *numbers, _time(row.seconds))
    total = _totals(rows)
    table.add_section()
    table.add_row(
        "a call", *[""] * 4, *(_count(total[key]) for key in ("given", "got", "sent")), _time(total["seconds"])
    )
    console = Console(highlight=False)
    console.print(f"[bold]{escape(name)}[/bold] on {escape(axes)}, ranks of {escape(cluster)}", soft_wrap=True)
    console.print(table)


def _count(number: float | None) -> str:
    return "?" if number is None else f"{number:,}"


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds * 1e6:,.1f} us"
