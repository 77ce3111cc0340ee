# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Time all-reduces on the CPU beside those of mpi4py, over one library, in one process: ``python -m bench.mesh``."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import rich.console
import typer
from rich.table import Table

from bench.mesh import artifacts

ROOT = Path(__file__).parents[2]
SIZES = {"4 B": 1, "64 KiB": 1 << 14, "1 MiB": 1 << 18, "64 MiB": 1 << 24}


def run_ranks(ranks: int, rounds: int) -> dict[str, Any]:
    """Start the ranks and collect what rank 0 measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "all_reduce.tsr"
        path.write_bytes(artifacts.all_reduce(ranks))
        launcher = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks)]
        command = [sys.executable, "-m", "bench.mesh.rank", str(path), str(rounds), json.dumps(list(SIZES.values()))]
        done = subprocess.run([*launcher, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main(
    ranks: Annotated[list[int] | None, typer.Option(help="Ranks to measure with; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns that each takes.")] = 31,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Print, for each size, microseconds and how many times as long as mpi4py's calls ours takes."""
    figures: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "command": "python -m bench.mesh",
        "ranks": {count: run_ranks(count, rounds) for count in ranks or [2, 4]},
    }
    table = Table("ranks", "size", "ours µs", "Iallreduce µs", "Allreduce µs", "ours / Iallreduce", "ours / Allreduce")
    for count, measured in figures["ranks"].items():
        figures["library"] = measured["library"]
        for size, elements in SIZES.items():
            row = measured["sizes"][str(elements)]
            times = [f"{row[name]['median'] * 1e6:.1f}" for name in ("ours", "Iallreduce", "Allreduce")]
            ratios = [f"{row[name]['ratio']:.2f}" for name in ("Iallreduce", "Allreduce")]
            table.add_row(str(count), size, *times, *ratios)
    rich.console.Console().print(table)
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    typer.run(main)
