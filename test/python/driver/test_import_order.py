# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tessera beside other packages that bring an LLVM or an MLIR of their own into the process, in both orders."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

COMPILE = """
import numpy as np
import tessera
from tessera import Tensor

@tessera.function
def f(x: Tensor["N"]) -> Tensor["N"]:
    return tessera.exp(x) + 1

def compile_and_run():
    x = np.linspace(-1, 1, 37, dtype=np.float32)
    result = tessera.compile(f, in_process=True)(x)
    np.testing.assert_allclose(result, np.exp(x) + 1, rtol=1e-6)
"""
USE = {
    "torch": "import torch; assert torch.add(torch.ones(2), 1).sum() == 4",
    "jax": "import jax; assert jax.jit(lambda x: x + 1)(1.0) == 2",
    "llvmlite": "from llvmlite import binding; assert 'ret void' in str(binding.parse_assembly("
    "'define void @f() { ret void }'))",
}


@pytest.mark.parametrize("first", ["tessera", "peer"])
@pytest.mark.parametrize("peer", USE)
def test_both_work(peer: str, first: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed")
    parts = [COMPILE, USE[peer]] if first == "tessera" else [USE[peer], COMPILE]
    program = tmp_path / "program.py"
    program.write_text("\n".join([*parts, "compile_and_run()", USE[peer], "compile_and_run()"]))
    result = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
