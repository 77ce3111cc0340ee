# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Write docs/coverage.md from what test runs recorded: ``python tools/write_coverage.py FILE...``.

Each file is from one run of ``pytest --coverage-json=FILE``; those of several machines go into one page.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tessera.dtypes import ALL

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = [*(dtype.name for dtype in ALL), "index"]
INTRODUCTION = """\
# What the tests cover

<!-- Written by tools/write_coverage.py from test runs; do not edit. -->

How many passing tests compiled an operation and ran it, by the dtypes of its operands and results. A test that calls
what an earlier one compiled is not counted again. Arithmetic on narrow floats is that on f32, between casts
([promotion.md](promotion.md)); `index` is the type of sizes.
"""


def dialect_operations() -> list[str]:
    """Every operation that the dialect defines."""
    files = sorted((ROOT / "dialects" / "Tessera").glob("*.td"))
    text = "".join(file.read_text() for file in files)
    return sorted("tessera." + name for name in re.findall(r'^def \w+ : \w+Op<"(\w+)"', text, re.MULTILINE))


def render(runs: list[dict[str, Any]], known: list[str]) -> str:
    """The page.

    Parameters
    ----------
    runs
        What ``--coverage-json`` wrote: ``date``, ``machine``, ``command`` and ``counts``, which are lists of operation,
        dtype, target and number of tests.
    known
        The operations of the dialect.
    """
    lines = [INTRODUCTION, "| run on | machine | command |", "|---|---|---|"]
    lines += [f"| {run['date']} | {run['machine']} | `{run['command']}` |" for run in runs]
    counts: Counter[tuple[str, str, str]] = Counter()
    for run in runs:
        for operation, dtype, target, tests in run["counts"]:
            counts[target, operation, dtype] += tests
    for target in sorted({key[0] for key in counts}):
        lines += ["", f"## {target}", "", *table(target, counts, known)]
    return "\n".join(lines) + "\n"


def table(target: str, counts: Counter[tuple[str, str, str]], known: list[str]) -> list[str]:
    covered = {key[1] for key in counts if key[0] == target}
    lines = ["| operation | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for operation in sorted(covered):
        cells = [str(counts[target, operation, column] or "") for column in COLUMNS]
        lines.append(f"| {operation.removeprefix('tessera.')} | " + " | ".join(cells) + " |")
    missing = [f"`{name.removeprefix('tessera.')}`" for name in known if name not in covered]
    return [*lines, "", f"Not covered: {', '.join(missing) or 'none'}."]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python tools/write_coverage.py FILE...")
    runs = [json.loads(Path(file).read_text()) for file in sys.argv[1:]]
    (ROOT / "docs" / "coverage.md").write_text(render(runs, dialect_operations()))
