# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compare the CPU target with PyTorch's Inductor, XLA:CPU and NumPy in one process: ``python bench/cpu --help``."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jax
import ml_dtypes
import numpy as np
import rich.console
import tessera
import torch
import typer
from cases import Case, make_cases
from rich.table import Table
from tessera import Tensor
from timing import speed_ratio, time_side_by_side

PEERS = ("inductor", "xla", "numpy")


def to_torch(array: np.ndarray) -> torch.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def implementations(case: Case, target: str) -> dict[str, Callable[[], Any]]:
    """Every implementation as a call without arguments: ``name`` allocates its result, ``name out`` is given it.

    A preallocated result is ``out=`` for us and NumPy, a copy that Inductor fuses, and a donated argument for XLA.
    """
    dtype = tessera.bf16 if case.inputs[0].dtype == ml_dtypes.bfloat16 else tessera.f32
    artifact = tessera.compile(case.ours, targets=[target], dtype=dtype, static=case.static)
    torch_inputs = [to_torch(array) for array in case.inputs]
    jax_inputs = [jax.device_put(array) for array in case.inputs]
    out = np.empty(case.result_shape, case.inputs[0].dtype)
    torch_out = to_torch(np.empty_like(out))
    inductor = torch.compile(case.torch, dynamic=False)
    inductor_into = torch.compile(lambda out, *inputs: out.copy_(case.torch(*inputs)), dynamic=False)
    xla = jax.jit(case.jax)
    xla_into = jax.jit(lambda out, *inputs: case.jax(*inputs), donate_argnums=0, keep_unused=True)
    donated = [jax.device_put(np.empty_like(out))]

    def run_xla_into() -> Any:
        donated[0] = xla_into(donated[0], *jax_inputs).block_until_ready()
        return donated[0]

    calls: dict[str, Callable[[], Any]] = {
        "tessera": lambda: artifact(*case.inputs),
        "inductor": lambda: inductor(*torch_inputs),
        "xla": lambda: xla(*jax_inputs).block_until_ready(),
        "tessera out": lambda: artifact(*case.inputs, out=out),
        "inductor out": lambda: inductor_into(torch_out, *torch_inputs),
        "xla out": run_xla_into,
    }
    if case.numpy is not None:
        calls["numpy"] = lambda: case.numpy(*case.inputs)
    return calls


def check(case: Case, calls: dict[str, Callable[[], Any]]) -> float:
    """The largest error of our result against f64, in units of the result's largest element."""
    expected = case.reference(*(array.astype(np.float64) for array in case.inputs))
    scale = np.abs(expected).max()
    error = max(
        np.abs(np.asarray(calls[name](), np.float64) - expected).max() / scale for name in ("tessera", "tessera out")
    )
    limit = 2 * float(ml_dtypes.finfo(case.inputs[0].dtype).eps)
    assert error < max(limit, 1e-5), f"{case.title}: error {error}"
    return float(error)


def measure_cases(select: str, target: str, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for case in make_cases(select):
        torch._dynamo.reset()
        calls = implementations(case, target)
        error = check(case, calls)
        times = time_side_by_side(calls, rounds=rounds)
        row: dict[str, Any] = {"case": case.title, "error": error}
        row["us"] = {name: statistics.median(values) * 1e6 for name, values in times.items()}
        row["speed"] = {
            name: speed_ratio(times, "tessera out" if name.endswith(" out") else "tessera", name)
            for name in times
            if not name.startswith("tessera")
        }
        best = row["us"]["tessera out"] / 1e6
        row["rate"] = (case.operations or case.moved) / best / 1e9
        row["unit"] = "GFLOP/s" if case.operations else "GB/s"
        rows.append(row)
        print(f"{case.title}: done", file=sys.stderr)
    return rows


def measure_calls() -> dict[str, float]:
    """Microseconds of calls that compute next to nothing."""

    @tessera.function
    def tiny(x: Tensor["N"]) -> Tensor["N"]:
        return x + x

    artifact = tessera.compile(tiny)
    x, t = np.ones(16, np.float32), torch.ones(16)
    calls: dict[str, Callable[[], object]] = {
        "tessera, numpy": lambda: artifact(x),
        "tessera, torch": lambda: artifact(t),
        "np.add": lambda: np.add(x, x),
        "torch.add": lambda: torch.add(t, t),
    }
    return {name: statistics.median(times) * 1e6 for name, times in time_side_by_side(calls).items()}


def measure_compiles() -> dict[str, float]:
    """Seconds of `tessera.compile` in a process of its own, nothing cached."""
    command = [sys.executable, str(Path(__file__).with_name("compile_times.py"))]
    seconds: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return seconds


def describe_machine() -> dict[str, Any]:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "date": datetime.date.today().isoformat(),
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True
        ).stdout.strip(),
        "versions": {
            "torch": torch.__version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "command": "python bench/cpu " + " ".join(sys.argv[1:]),
    }


def print_table(result: dict[str, Any]) -> None:
    table = Table(
        title=f"{result['machine']['processor']}, {result['machine']['cores']} cores, {result['machine']['date']}"
    )
    for heading in ("", "µs", "inductor", "xla", "numpy", "µs out=", "inductor", "xla", "", ""):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in result["cases"]:
        speed = {name: f"{value:.2f}x" for name, value in row["speed"].items()}
        table.add_row(
            row["case"],
            f"{row['us']['tessera']:.1f}",
            *(speed.get(name, "") for name in PEERS),
            f"{row['us']['tessera out']:.1f}",
            *(speed[f"{name} out"] for name in PEERS[:2]),
            f"{row['rate']:.1f}",
            row["unit"],
        )
    console = rich.console.Console(width=120)
    console.print(table)
    console.print("Columns under a peer's name: how many times as fast we are.")
    for part, unit in (("calls", "µs a call"), ("compile", "s to compile")):
        console.print(unit + ": " + ", ".join(f"{name} {value:.2f}" for name, value in result.get(part, {}).items()))


def main(
    select: Annotated[str, typer.Option(help="only cases whose title contains this")] = "",
    target: Annotated[str, typer.Option(help="our target")] = "native",
    rounds: Annotated[int, typer.Option(help="rounds of measurement for each case")] = 21,
    output: Annotated[Path | None, typer.Option("--json", help="write the results there")] = None,
) -> None:
    """Measure kernels beside Inductor, XLA:CPU and NumPy, what a call costs, and how long compilations take."""
    result: dict[str, Any] = {"machine": describe_machine()}
    with torch.inference_mode():
        result["cases"] = measure_cases(select, target, rounds)
    if not select:
        result["calls"] = measure_calls()
        result["compile"] = measure_compiles()
    print_table(result)
    if output:
        output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
