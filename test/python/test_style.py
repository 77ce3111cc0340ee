# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The formatters and checkers that CONTRIBUTING.md names find nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    str(file.relative_to(ROOT))
    for folder in ("dialects", "passes", "runtime", "tools", "python/extension", "examples")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in {".cpp", ".h", ".c"}
)


def run(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_clang_format() -> None:
    path = Path(sys.executable).with_name("clang-format")
    found = str(path) if path.exists() else shutil.which("clang-format")
    if found is None:
        pytest.skip("clang-format is not installed")
    assert SOURCES
    run(found, "--dry-run", "--Werror", *SOURCES)


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=lambda command: command[0])
def test_ruff(command: tuple[str, ...]) -> None:
    pytest.importorskip("ruff", reason="ruff is not installed")
    run(sys.executable, "-m", "ruff", *command, "--no-cache")


def test_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    run(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path))
