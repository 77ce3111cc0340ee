# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The lit suite of the dialects, the passes and tessera-opt: ``lit test``, or ``pytest test/python/test_lit.py``.

Environment
-----------
TESSERA_OPT
    The tessera-opt to test; otherwise the installed package's, or that of a CMake tree in ``build/``.
FILECHECK
    The FileCheck to use, LLVM's or another; otherwise PyPI's ``filecheck``.
TESSERA_LIT_OUTPUT
    Where tests write; otherwise ``build/test``.
"""

import importlib.util
import os
import shlex
import sys
from pathlib import Path

import lit.formats

SOURCE = Path(__file__).resolve().parent
ROOT = SOURCE.parent


def find_tessera_opt() -> str:
    """Find the tool without importing the package, which may be broken by what is being tested."""
    if path := os.environ.get("TESSERA_OPT"):
        return path
    package = importlib.util.find_spec("tessera")
    folders = [Path(folder) / "bin" for folder in (package and package.submodule_search_locations) or []]
    for folder in [*folders, ROOT / "build" / "bin"]:
        if (folder / "tessera-opt").exists():
            return str(folder / "tessera-opt")
    lit_config.fatal("no tessera-opt found: install the package, build into build/, or set TESSERA_OPT")


def find_filecheck() -> str:
    if path := os.environ.get("FILECHECK"):
        return shlex.quote(path)
    if importlib.util.find_spec("filecheck"):
        return f"{shlex.quote(sys.executable)} -m filecheck"
    lit_config.fatal("no FileCheck found: pip install filecheck, or set FILECHECK")


config.name = "Tessera"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.excludes = ["python"]
config.test_source_root = str(SOURCE)
config.test_exec_root = os.environ.get("TESSERA_LIT_OUTPUT", str(ROOT / "build" / "test"))

# Whole words only, so that names of files and of passes stay.
for tool, command in {"tessera-opt": shlex.quote(find_tessera_opt()), "FileCheck": find_filecheck()}.items():
    config.substitutions.append((rf"(?<![\w./-]){tool}(?![\w./-])", command.replace("\\", r"\\")))
