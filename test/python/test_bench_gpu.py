# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""bench/gpu without a GPU: its cases are whole, and its harness tells right from wrong, on the CPU target."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def bench(*arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))}
    command = [sys.executable, "-m", "bench.gpu", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_build_and_check(tmp_path: Path) -> None:
    built = bench("build", tmp_path, "--target", "cpu", "--jobs", "1", "--select", "norm-bf16")
    assert "3 of 3 programs compiled for cpu" in built
    output = bench("run", tmp_path, "--device", "cpu", "--select", "norm-bf16", "--out", tmp_path / "result.json")
    assert "3 of 3 programs right" in output
    result = json.loads((tmp_path / "result.json").read_text())
    assert all(0 < row["worst"] <= 1 for row in result["checks"])
    assert ["tessera.reduce_sum", "f32", "cpu", sum(row["checks"] for row in result["checks"])] in result["counts"]


def test_names_and_inputs() -> None:
    from bench.gpu.build import programs
    from bench.gpu.checks import make_checks
    from bench.gpu.races import make_races

    assert len(programs()) > 600  # and no two of one name
    generator = torch.Generator("cpu").manual_seed(0)
    for check in make_checks():
        value = check.inputs[0]
        if value.nbytes < 10_000:
            made = value.make(generator)
            assert made.shape == value.shape and made.nbytes == value.nbytes
    assert len({race.title for race in make_races()}) == len(make_races())


@pytest.mark.parametrize(
    ("dtype", "got", "want", "right"),
    [
        ("float32", 1.0, 1.0 + 1e-7, True),
        ("float32", 1.0, 1.0 + 1e-5, False),
        ("bfloat16", 1.0, 1.003, True),
        ("bfloat16", 1.0, 1.01, False),
        ("float32", math.nan, math.nan, True),
        ("float32", math.nan, 1.0, False),
        ("float32", 0.0, 1e-3, False),
        ("float16", math.inf, 1e6, True),
        ("float8_e4m3fn", math.nan, 1e3, True),
        ("int32", 3, 3, True),
        ("int32", 3, 4, False),
    ],
)
def test_what_is_right(dtype: str, got: Any, want: Any, right: bool) -> None:
    from bench.gpu.accuracy import difference

    wide = torch.tensor([want], dtype=torch.int64 if dtype == "int32" else torch.float64)
    assert (difference(torch.tensor([got], dtype=getattr(torch, dtype)), wide) <= 1) is right


def test_poison_is_no_number() -> None:
    from bench.gpu.accuracy import poison

    assert poison(torch.zeros(3, dtype=torch.float8_e4m3fn)).float().isnan().all()
    assert poison(torch.zeros((), dtype=torch.bfloat16)).isnan()
