# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime builds without LLVM, and runs an artifact in a Python process that has no compiler and from C."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tessera
from tessera import Tensor

ROOT = Path(__file__).resolve().parents[3]

RUN = """
import sys
sys.modules["llvmlite"] = sys.modules["tessera._mlir"] = None  # importing them fails
import numpy as np
import tessera
assert tessera.__file__.startswith(sys.argv[1])
result = tessera.load("double.tsr")(np.arange(5, dtype=np.float32))
assert result.tolist() == [0, 2, 4, 6, 8]
"""


@tessera.function
def double(x: Tensor["N"]) -> Tensor["N"]:
    return x * 2


def test_it_builds_without_llvm_and_runs_an_artifact(tmp_path: Path) -> None:
    for package in ("nanobind", "boost_headers"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed")
    build, package = tmp_path / "build", tmp_path / "package"
    options = ["-DTESSERA_BUILD_COMPILER=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    python = f"-DPython3_EXECUTABLE={sys.executable}"
    subprocess.run(
        [cmake, "-S", ROOT, "-B", build, python, f"-DPython_EXECUTABLE={sys.executable}", *options], check=True
    )
    subprocess.run([cmake, "--build", build, "-j2"], check=True)
    assert "LLVM" not in (build / "CMakeCache.txt").read_text()
    # What a deployment image needs: the package's Python files, the extension and the library.
    shutil.copytree(
        ROOT / "python" / "tessera", package / "tessera", ignore=shutil.ignore_patterns("_mlir", "bin", "lib", "*.so")
    )
    (package / "tessera" / "lib").mkdir()
    for library in build.rglob("_runtime*.so"):
        shutil.copy(library, package / "tessera")
    for library in build.rglob("libtessera_runtime*.so"):
        shutil.copy(library, package / "tessera" / "lib")
    tessera.compile(double).save(tmp_path / "double.tsr")
    environment = {"PYTHONPATH": str(package), "PATH": ""}
    command = [sys.executable, "-c", RUN, str(package)]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    run_from_c(build, tmp_path)


def run_from_c(build: Path, folder: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler is not None
    (library,) = build.rglob("libtessera_runtime.so")
    options = [f"-I{ROOT / 'runtime' / 'include'}", f"-L{library.parent}", f"-Wl,-rpath,{library.parent}"]
    source = ROOT / "examples" / "c" / "run_artifact.c"
    subprocess.run(
        [compiler, "-std=c99", source, *options, "-ltessera_runtime", "-o", folder / "run_artifact"], check=True
    )
    command = [folder / "run_artifact", "double.tsr", "double", "N=3"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[1:] == ["output 0: f32[3] = 0 2 4"], run.stdout
