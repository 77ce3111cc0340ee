# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The stubs of the extension modules say what these are; type checkers find them; a typed program runs."""

import importlib.util
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = runpy.run_path(str(ROOT / "tools" / "write_stubs.py"))


@pytest.mark.parametrize("module", STUBS["STUBS"])
def test_stubs_are_those_of_the_modules(module: str) -> None:
    for tool in ("nanobind", "ruff"):
        pytest.importorskip(tool, reason=f"{tool} is not installed")
    expected = STUBS["render"](module)
    assert STUBS["STUBS"][module].read_text() == expected, "write it again: python tools/write_stubs.py"


def test_the_package_says_that_it_is_typed() -> None:
    spec = importlib.util.find_spec("tessera")
    assert spec and spec.origin
    for name in ("py.typed", "_runtime.pyi", "_mlir/_mlir_libs/_tessera.pyi"):
        assert (Path(spec.origin).parent / name).exists(), name


def test_a_typed_program_runs() -> None:
    runpy.run_path(str(Path(__file__).with_name("user_program.py")), run_name="__main__")
