# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile two functions to one artifact, then load and run it in another process, which has no compiler.

Run it with ``python examples/quickstart.py``. The results are checked against NumPy in 64-bit floats.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tessera
from tessera import Tensor

# mypy: disable-error-code="name-defined, type-arg, valid-type"

ARTIFACT = "quickstart.tsr"


# The text of the API reference, as it stands.
# fmt: off
@tessera.function
def rms_norm(x: Tensor["B", "S", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["B", "S", "D"]:
    rms = tessera.sqrt(tessera.mean(x ** 2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight


@tessera.function
def swiglu(x: Tensor["B", "S", "D"], W_gate: Tensor["D","D_ff"],
           W_up: Tensor["D","D_ff"], W_down: Tensor["D_ff","D"]) -> Tensor["B", "S", "D"]:
    gate = tessera.nn.swish(x @ W_gate)
    up = x @ W_up
    return (gate * up) @ W_down
# fmt: on


def compile_and_save(folder: Path) -> None:
    """What happens ahead of time: Python source to one file."""
    start = time.perf_counter()
    artifact = tessera.compile({"rms_norm": rms_norm, "swiglu": swiglu}, targets=("cpu", "cpu:avx512"))
    seconds = time.perf_counter() - start
    artifact.save(folder / ARTIFACT)
    print(f"compiled {ARTIFACT} in {seconds:.2f} s: {(folder / ARTIFACT).stat().st_size} bytes")
    for signature in artifact.inspect()["signature"].values():
        print(f"  {signature['text']}")
    print(f"  for {', '.join(artifact.inspect()['targets'])}; every size is a symbol: one artifact serves them all")


def load_and_check(folder: Path) -> list[dict[str, Any]]:
    """What happens where the artifact is used: load, call, and compare with NumPy in f64."""
    artifact = tessera.load(folder / ARTIFACT)
    generator = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for batch, sequence, width, hidden in ((1, 1, 64, 128), (2, 128, 256, 512), (3, 77, 129, 301)):
        x = generator.standard_normal((batch, sequence, width), np.float32)
        weight = generator.standard_normal(width, np.float32)
        gate, up = (generator.standard_normal((width, hidden), np.float32) / width**0.5 for _ in range(2))
        down = generator.standard_normal((hidden, width), np.float32) / hidden**0.5
        # Errors are in units of what rounding the terms of the longest sum to f32 may add up to.
        rows.append(check("rms_norm", artifact.rms_norm, (x, weight), reference_rms_norm(x, weight), 8))
        rows.append(check("swiglu", artifact.swiglu, (x, gate, up, down), reference_swiglu(x, gate, up, down), hidden))
    return rows


def reference_rms_norm(x: Any, weight: Any, eps: float = 1e-6) -> Any:
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def reference_swiglu(x: Any, w_gate: Any, w_up: Any, w_down: Any) -> Any:
    x, w_gate, w_up, w_down = (a.astype(np.float64) for a in (x, w_gate, w_up, w_down))
    gate = x @ w_gate
    return (gate / (1 + np.exp(-gate)) * (x @ w_up)) @ w_down


def check(name: str, function: Any, inputs: tuple[Any, ...], expected: Any, length: int) -> dict[str, Any]:
    result = function(*inputs)
    error = float(np.max(np.abs(result - expected)))
    allowed = float(np.finfo(np.float32).eps * length**0.5 * 4 * max(1.0, np.max(np.abs(expected))))
    return {
        "function": name,
        "x": "x".join(map(str, inputs[0].shape)),
        "max error": error,
        "allowed": allowed,
        "median us": function.benchmark(*inputs, seconds=0.1)["median"],
        "ok": bool(error <= allowed),
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) == 3 and sys.argv[1] == "--load":
            rows = load_and_check(Path(sys.argv[2]))
            without = not any(name.startswith(("llvmlite", "tessera._mlir")) for name in sys.modules)
            print(json.dumps({"rows": rows, "without compiler": without}))
            return 0
        compile_and_save(Path(folder))
        command = [sys.executable, __file__, "--load", folder]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print("loaded and run by another process" + (", without the compiler:" if answer["without compiler"] else ":"))
    print(f"  {'function':10} {'x':10} {'max error':>10} {'allowed':>10} {'median us':>10}")
    for row in answer["rows"]:
        numbers = f"{row['max error']:10.2e} {row['allowed']:10.2e} {row['median us']:10.1f}"
        print(f"  {row['function']:10} {row['x']:10} {numbers}  {'ok' if row['ok'] else 'WRONG'}")
    right = all(row["ok"] for row in answer["rows"])
    print("all results are right to rounding" if right else "some results are WRONG")
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())
