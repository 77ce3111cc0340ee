# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measure how far elementwise functions are from f64, in units in the last place: ``python bench/cpu/accuracy.py``."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import rich
import tessera
import torch
from rich.table import Table
from tessera import Tensor

#: Each function with its reference in f64 and the range of arguments that is sampled.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[torch.Tensor], torch.Tensor], float, float]] = {
    "exp": (tessera.exp, torch.exp, -87, 88),
    "log": (tessera.log, torch.log, 1e-30, 1e30),
    "sqrt": (tessera.sqrt, torch.sqrt, 1e-30, 1e30),
    "rsqrt": (tessera.rsqrt, torch.rsqrt, 1e-30, 1e30),
    "tanh": (tessera.tanh, torch.tanh, -10, 10),
    "sigmoid": (tessera.sigmoid, torch.sigmoid, -80, 80),
    "erf": (tessera.erf, torch.erf, -5, 5),
    "sin": (tessera.sin, torch.sin, -1e6, 1e6),
    "cos": (tessera.cos, torch.cos, -1e6, 1e6),
}
SAMPLES = 1 << 22


def sample(low: float, high: float) -> np.ndarray:
    """Numbers of a range, half of them spread evenly and half by magnitude."""
    rng = np.random.default_rng(0)
    even = rng.uniform(low, high, SAMPLES // 2)
    least = max(low, 1e-30)
    scaled = np.exp(rng.uniform(np.log(least), np.log(high), SAMPLES // 2))
    return np.concatenate([even, scaled * (rng.choice([-1, 1], SAMPLES // 2) if low < 0 else 1)]).astype(np.float32)


def measure(
    function: Callable[[Any], Any], reference: Callable[..., Any], low: float, high: float
) -> tuple[float, float]:
    """The largest and the mean error in ulp of the exact result."""

    @tessera.function
    def apply(x: Tensor["N"]) -> Tensor["N"]:
        return function(x)

    x = sample(low, high)
    x = x[(x >= low) & (x <= high)]
    got = tessera.compile(apply, targets=["native"])(x).astype(np.float64)
    exact = reference(torch.from_numpy(x.astype(np.float64))).numpy()
    ulps = np.abs(got - exact) / np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    normal = np.abs(exact) >= np.finfo(np.float32).tiny
    return float(ulps[normal].max()), float(ulps[normal].mean())


def main() -> None:
    table = Table(title=f"f32, {SAMPLES} arguments each, {datetime.date.today().isoformat()}")
    for heading in ("function", "from", "to", "largest ulp", "mean ulp"):
        table.add_column(heading)
    for name, (function, reference, low, high) in FUNCTIONS.items():
        largest, mean = measure(function, reference, low, high)
        table.add_row(name, f"{low:g}", f"{high:g}", f"{largest:.2f}", f"{mean:.3f}")
    rich.print(table)


if __name__ == "__main__":
    main()
