# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The lit suite as pytest tests, one for each file and FileCheck; and that it leaves nothing out."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEST = Path(__file__).resolve().parents[1]
ROOT = TEST.parent
FILES = sorted(file.relative_to(TEST) for file in TEST.rglob("*.mlir") if "python" not in file.parts)


def find_llvm_filecheck() -> str | None:
    """Find LLVM's FileCheck: named by the environment, on PATH, or in the wheel that the build takes LLVM from."""
    if path := os.environ.get("LLVM_FILECHECK") or shutil.which("FileCheck"):
        return path
    llvm = importlib.util.find_spec("llvm")
    for folder in (llvm and llvm.submodule_search_locations) or []:
        if (path := Path(folder) / "bin" / "FileCheck").exists():
            return str(path)
    return None


@pytest.mark.parametrize("file", FILES, ids=str)
@pytest.mark.parametrize("checker", ["pypi", "llvm"])
def test_lit(file: Path, checker: str, tmp_path: Path) -> None:
    pytest.importorskip("lit", reason="lit is not installed")
    environment = {**os.environ, "TESSERA_LIT_OUTPUT": str(tmp_path)}
    if checker == "llvm":
        llvm = find_llvm_filecheck()
        if llvm is None:
            pytest.skip("LLVM's FileCheck is not on PATH, and LLVM_FILECHECK is not set")
        environment["FILECHECK"] = llvm
    else:
        pytest.importorskip("filecheck", reason="PyPI's filecheck is not installed")
        environment.pop("FILECHECK", None)
    # lit has no __main__.
    command = [sys.executable, "-c", "import lit.main; lit.main.main()", "-v", "-j1", str(TEST / file)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


PASSES = sorted(
    (match[1], file)
    for file in (ROOT / "passes").glob("*/*.td")
    for match in re.finditer(r': Pass<"([^"]+)"', file.read_text())
)


@pytest.mark.parametrize(("name", "definition"), PASSES, ids=[name for name, _ in PASSES])
def test_every_pass_is_documented_and_tested(name: str, definition: Path) -> None:
    text = definition.read_text()
    for part in ["Before:\n", "After:\n", "Pre-condition:", "Post-condition:"]:
        assert part in text, f"{definition.name} lacks {part!r}"
    test = TEST / "Passes" / f"{name.removeprefix('tessera-')}.mlir"
    assert test.exists(), f"{name} has no test {test.relative_to(ROOT)}"
    assert name in "".join(re.findall(r"// RUN:.*", test.read_text())), f"{test.name} does not run {name}"


# An operation's td, up to the next one; classes stand for the operations that they define.
DEFINITION = re.compile(r"^(?:def|class) \w+.*?(?=^(?:def|class) |\Z)", re.MULTILINE | re.DOTALL)


def constraints() -> list[tuple[str, str]]:
    """Every label in the tds, with a regular expression of the operations that it belongs to."""
    found = []
    for dialect, prefix in [("Tessera", "tessera"), ("Runtime", "rt")]:
        definitions = [
            match[0]
            for file in sorted((ROOT / "dialects" / dialect).glob("*Ops.td"))
            for match in DEFINITION.finditer(file.read_text())
        ]
        for text in definitions:
            labels = re.findall(r"^    \* \((C\d+)\)", text, re.MULTILINE)
            if not labels:
                continue
            if text.startswith("class"):
                name = re.match(r"class (\w+)", text)[1]  # type: ignore[index]
                members = [m for d in definitions for m in re.findall(rf'^def \w+ : {name}<"(\w+)"', d)]
                operation = f"{prefix}\\.(?:{'|'.join(members)})"
            else:
                mnemonic = re.search(r'Op<"(\w+)"', text)
                assert mnemonic, text
                operation = f"{prefix}\\.{mnemonic[1]}"
            found += [(operation, label) for label in labels]
    return found


def test_every_constraint_is_tested() -> None:
    expected = "\n".join(
        line
        for file in TEST.rglob("*invalid*.mlir")
        for line in file.read_text().splitlines()
        if "expected-error" in line
    )
    labelled = constraints()
    assert len(labelled) > 30
    missing = [f"{op} ({label})" for op, label in labelled if not re.search(rf"'{op}' op \({label}\)", expected)]
    assert not missing, f"no test reaches {missing}"
