# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Print as JSON how long compilations take in a new process: ``python bench/cpu/compile_times.py``."""

import json
import time

import tessera
from tessera import Tensor


@tessera.function
def rms_norm(x: Tensor["B", "S", "D"], weight: Tensor["D"], eps: float = 1e-6) -> Tensor["B", "S", "D"]:
    rms = tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + eps)
    return (x / rms) * weight


@tessera.function
def swiglu(
    x: Tensor["B", "S", "D"],
    W_gate: Tensor["D", "D_ff"],
    W_up: Tensor["D", "D_ff"],
    W_down: Tensor["D_ff", "D"],
) -> Tensor["B", "S", "D"]:
    gate = tessera.nn.swish(x @ W_gate)
    up = x @ W_up
    return (gate * up) @ W_down


def main() -> None:
    seconds = {}
    # The first compilation starts the child process that runs the passes.
    for name, function in (("rms_norm, first", rms_norm), ("rms_norm", rms_norm), ("swiglu", swiglu)):
        start = time.perf_counter()
        tessera.compile(function, targets=["cpu:avx512"])
        seconds[name] = time.perf_counter() - start
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
