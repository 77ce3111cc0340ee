# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The formatters and checkers that CONTRIBUTING.md names find nothing; the runtime's stub names what is there."""

import ast
import importlib.util
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
    run(sys.executable, "-m", "ruff", *command, "--no-cache", "python", "test", "bench", "examples")


def test_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    run(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path))


def public(names: list[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def test_the_stub_of_the_runtime_names_what_is_there() -> None:
    from tessera import _runtime

    stub = ast.parse((ROOT / "python/tessera/_runtime.pyi").read_text())
    defined = [node for node in stub.body if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AnnAssign))]
    names = {
        node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else node.name: node
        for node in defined
        if not isinstance(node, ast.AnnAssign) or isinstance(node.target, ast.Name)
    }
    assert public(list(names)) == public(dir(_runtime))
    for name, node in names.items():
        if isinstance(node, ast.ClassDef):
            members = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            members += [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]  # type: ignore[union-attr]
            assert public(members) == public(dir(getattr(_runtime, name))), name


def test_the_package_says_that_it_is_typed() -> None:
    spec = importlib.util.find_spec("tessera")
    assert spec and spec.origin
    folder = Path(spec.origin).parent
    assert (folder / "py.typed").exists()
    assert (folder / "_runtime.pyi").exists()
