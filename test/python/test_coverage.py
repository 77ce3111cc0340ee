# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The record of what tests cover, and the page made of it."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tessera.driver.targets import parse_targets

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "coverage.md"

TESTS = """
import numpy as np
import pytest
import tessera
from tessera import Tensor

@tessera.function
def sines(x: Tensor["N"]) -> Tensor["N"]:
    return tessera.sin(x)

def test_direct_call():
    sines(np.ones(3, np.float32))

def test_that_compiles_nothing_new():
    sines(np.ones(5, np.float32))

def test_another_dtype():
    sines(np.ones(3, np.float64))

def test_compiled_for_two_targets():
    tessera.compile(sines, targets=["cpu", "native"])(np.ones(3, np.float32))

def test_failure():
    assert tessera.cos(np.ones(3, np.float32)).sum() == 0

@pytest.mark.xfail
def test_expected_failure():
    assert tessera.cos(np.ones(3, np.float64)).sum() == 0

def test_refused():
    with pytest.raises(tessera.TesseraError):
        sines(np.ones((3, 3), np.float32))
"""


@pytest.mark.parametrize("options", [[], ["-n2"]], ids=["one process", "workers"])
def test_what_passing_tests_compile_is_counted(options: list[str], tmp_path: Path) -> None:
    if options:
        pytest.importorskip("xdist")
    (tmp_path / "test_sines.py").write_text(TESTS)
    paths = [str(ROOT / "test" / "python"), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TESSERA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "pytest", "-p", "op_coverage", "-p", "no:cacheprovider", "test_sines.py"]
    run = subprocess.run(
        [*command, *options, "--coverage-json=made.json"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "1 failed, 5 passed, 1 xfailed" in run.stdout, run.stdout + run.stderr
    made = json.loads((tmp_path / "made.json").read_text())
    target = parse_targets("native")[0].name
    counts = {tuple(use): count for *use, count in made["counts"]}
    assert counts["tessera.sin", "f64", target] == 1
    # Workers don't share what they compiled: two of them may each have compiled it.
    assert counts["tessera.sin", "f32", target] in ({2, 3} if options else {2})
    assert {key[0] for key in counts if key[1] != "index"} == {"tessera.bind_shape", "tessera.sin"}
    assert {key[2] for key in counts} == {target}
    assert made["command"].endswith(" ".join(["test_sines.py", *options])) and made["machine"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["date"])


def writer() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "write_coverage.py"))


def test_the_page() -> None:
    runs = [
        {"date": "2026-01-02", "machine": "A", "command": "pytest a", "counts": [["tessera.add", "f32", "cpu", 2]]},
        {
            "date": "2026-01-03",
            "machine": "B",
            "command": "pytest b",
            "counts": [["tessera.add", "f32", "cpu", 3], ["tessera.add", "bool", "gpu", 1]],
        },
    ]
    page = writer()["render"](runs, ["tessera.add", "tessera.sub"])
    assert "| 2026-01-02 | A | `pytest a` |\n| 2026-01-03 | B | `pytest b` |\n" in page
    cpu, gpu = page.split("\n## ")[1:]
    assert cpu.startswith("cpu\n") and gpu.startswith("gpu\n")
    assert "| operation | f64 | f32 | f16 |" in cpu
    assert "| add |  | 5 |  |  |  |  |  |  |  |  |  |  |\n" in cpu
    assert "| add |  |  |  |  |  |  |  |  |  |  | 1 |  |\n" in gpu
    assert cpu.count("Not covered: `sub`.") == gpu.count("Not covered: `sub`.") == 1


def test_the_page_speaks_of_every_operation() -> None:
    page = PAGE.read_text()
    for target in page.split("\n## ")[1:]:
        rows = re.findall(r"^\| (\w+) \|", target, re.MULTILINE)
        missing = re.findall(r"`(\w+)`", target.rpartition("Not covered:")[2])
        named = {"tessera." + name for name in [*rows, *missing]} - {"tessera.operation"}
        assert named == set(writer()["dialect_operations"]()), "run the tests and tools/write_coverage.py again"
