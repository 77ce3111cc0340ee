# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera inspect``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from tessera.container import Container
from tessera.description import describe, size_text


def show(path: Path, *, as_json: bool, verify: bool) -> None:
    """Print an artifact's description; with ``verify``, check every digest first."""
    with Container(path) as container:
        if verify:
            container.verify()
        description = describe(container.manifest)
    if as_json:
        typer.echo(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        _print(path, description)


def _print(path: Path, description: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    versions = ", ".join(f"{name} {version}" for name, version in description["versions"].items())
    console.print(f"[bold]{escape(str(path))}[/bold]  ({escape(versions)})")
    console.print(f"targets: {', '.join(description['targets'])}")
    for signature in description["signature"].values():
        console.print(f"\n[bold]{escape(signature['text'])}[/bold]", soft_wrap=True)
        for symbol in signature["symbols"]:
            console.print(f"  {escape(_symbol_text(symbol))}")
        for name, value in signature["static"].items():
            console.print(f"  {escape(f'{name} = {value!r}')}, compiled in")
        for guard in signature["guards"]:
            text = f"{size_text(guard['left'])} == {size_text(guard['right'])}: {guard['message']}"
            console.print(f"  guard {escape(text)}", soft_wrap=True)
    for title in ("kernels", "weights", "collectives", "host_syncs"):
        if description[title]:
            console.print(f"\n{title}:")
            items = description[title]
            for item in items.items() if isinstance(items, Mapping) else items:
                console.print(f"  {escape(_item_text(item))}", soft_wrap=True)
                targets = item.get("targets", {}) if isinstance(item, Mapping) else {}
                for target, facts in targets.items():
                    console.print(f"    on {target}: {escape(_item_text(facts))}", soft_wrap=True)
    table = Table(title="\nmembers", title_justify="left", box=None)
    table.add_column("name")
    table.add_column("bytes", justify="right")
    table.add_column("sha256")
    for name, member in description["members"].items():
        table.add_row(escape(name), str(member["size"]), member["sha256"][:16])
    console.print(table)


def _symbol_text(symbol: Mapping[str, Any]) -> str:
    low, high, multiple = symbol.get("min", 0), symbol.get("max"), symbol.get("multiple_of", 1)
    text = f"{symbol['name']}: from {low}" if high is None else f"{symbol['name']}: {low} to {high}"
    return text if multiple == 1 else f"{text}, a multiple of {multiple}"


def _item_text(item: Any) -> str:
    if isinstance(item, tuple):
        name, weight = item
        return f"{name}: {weight['dtype']}[{', '.join(map(size_text, weight['shape']))}]"
    if isinstance(item, Mapping):
        return ", ".join(
            f"{key} {size_text(value) if key in ('count', 'runs') else value}"
            for key, value in item.items()
            if value is not None and not isinstance(value, Mapping)
        )
    return str(item)
