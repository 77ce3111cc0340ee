# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Results as text: a GPU machine need not have more than PyTorch."""

from __future__ import annotations

from typing import Any


def print_results(result: dict[str, Any]) -> None:
    """Print what was measured, and every failure."""
    print(f"{result['machine']}, {result['date']}, torch {result['versions']['torch']}, commit {result['commit']}")
    if "checks" in result:
        rows = result["checks"]
        failed = [row for row in rows if "error" in row]
        checks = sum(row["checks"] for row in rows)
        print(f"\nnumerics: {len(rows) - len(failed)} of {len(rows)} programs right, {checks} checks")
        for row in failed:
            print(f"  {row['program']}: {row['error']}")
    if "races" in result:
        print(f"\n{'':36}{'us':>9}{'TB/s':>7}{'copy':>7}{'inductor':>10}{'eager':>7}   (how many times as fast we are)")
        for row in result["races"]:
            print(f"{row['race']:36}" + (row["error"] if "error" in row else _figures(row)))
    for title, unit in (("calls", "us until a call returns"), ("loads", "ms")):
        if title in result:
            print(f"\n{unit}: " + ", ".join(f"{name} {value:.2f}" for name, value in result[title].items()))


def _figures(row: dict[str, Any]) -> str:
    speed, wanted = row["speed"], row["wanted"]
    best = min(value for name, value in speed.items() if name != "copy")
    missed = [f"copy {wanted['copy']}"] if speed["copy"] < wanted["copy"] else []
    if wanted["best peer"] is not None and best < wanted["best peer"]:
        missed.append(f"peers {wanted['best peer']}")
    figures = f"{row['us']['tessera']:9.1f}{row['tb_per_s']:7.2f}{speed['copy']:7.2f}"
    figures += f"{speed['inductor']:10.2f}{speed['eager']:7.2f}"
    return figures + (f"   missed: {', '.join(missed)}" if missed else "")
