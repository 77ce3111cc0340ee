# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What compiling for GPUs needs of NVIDIA's: ``ptxas``, and the bitcode library of math functions, ``libdevice``.

Both come as wheels (``pip install 'tessera-compiler[cuda]'``) or with a CUDA toolkit. No driver and no GPU is needed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tessera.errors import ToolError

_WHEELS = "nvidia.cu13"  # the package into which all of NVIDIA's wheels for CUDA 13 put their files
_LIBDEVICE = "nvvm/libdevice/libdevice.10.bc"
_HELP = "install it with: pip install 'tessera-compiler[cuda]'"


@dataclass(frozen=True)
class Toolkit:
    """The tools that were found.

    Attributes
    ----------
    ptxas
        The path of the assembler.
    root
        The folder that has libdevice at ``nvvm/libdevice/libdevice.10.bc``.
    ptxas_version, libdevice_version
        What they are, for the manifest: ``"13.0.88"``.
    """

    ptxas: str
    root: str
    ptxas_version: str
    libdevice_version: str

    @property
    def versions(self) -> dict[str, str]:
        """The versions as the manifest's ``producer`` records them."""
        return {"ptxas": self.ptxas_version, "libdevice": self.libdevice_version}


def find_toolkit(ptxas: str | os.PathLike[str] | None = None) -> Toolkit:
    """Find the tools of this machine.

    Parameters
    ----------
    ptxas
        The assembler to use. Otherwise it is what ``TESSERA_PTXAS`` names, that of the wheel nvidia-cuda-nvcc, that of
        ``CUDA_HOME``, or the first on ``PATH``, whichever is first.

    Raises
    ------
    ToolError
        When one is missing; it names all the places.
    """
    path = _find_ptxas(ptxas)
    root = _find_libdevice(path)
    return Toolkit(path, root, _ptxas_version(path, os.stat(path).st_mtime_ns), _libdevice_version(root))


def _find_ptxas(asked: str | os.PathLike[str] | None) -> str:
    # What is asked for by name must not give way to something else.
    for source, named in (("ptxas=", asked), ("TESSERA_PTXAS", os.environ.get("TESSERA_PTXAS"))):
        if named:
            found = shutil.which(named)
            if found is None:
                raise ToolError(f"[TSR4008] {source}: expected the program ptxas, got {os.fspath(named)!r}")
            return os.path.abspath(found)
    for root in toolkit_folders():
        path = root / "bin" / "ptxas"
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which("ptxas")
    if found is None:
        raise ToolError(
            "[TSR4008] compiling for a GPU needs ptxas: expected it as compile(ptxas=...), in the environment variable "
            f"TESSERA_PTXAS, in the wheel nvidia-cuda-nvcc, in $CUDA_HOME/bin ({_cuda_home()}) or on PATH, got none; "
            f"{_HELP}"
        )
    return os.path.abspath(found)


def _find_libdevice(ptxas: str) -> str:
    beside = Path(ptxas).resolve().parents[1]  # a toolkit's bin/ptxas has it at ../nvvm
    for root in (*toolkit_folders(), beside):
        if (root / _LIBDEVICE).is_file():
            return str(root)
    raise ToolError(
        f"[TSR4008] compiling for a GPU needs libdevice: expected {_LIBDEVICE} in the wheel nvidia-nvvm, in "
        f"$CUDA_HOME ({_cuda_home()}) or beside {ptxas}, got none; {_HELP}"
    )


def toolkit_folders() -> Iterator[Path]:
    """Return the folders that are laid out as a CUDA toolkit: the wheels', then ``CUDA_HOME``."""
    try:
        spec = importlib.util.find_spec(_WHEELS)
    except ModuleNotFoundError:  # no package `nvidia` at all
        spec = None
    if spec is not None:
        yield from map(Path, spec.submodule_search_locations or ())
    home = os.environ.get("CUDA_HOME")
    if home:
        yield Path(home)


def _cuda_home() -> str:
    return os.environ.get("CUDA_HOME") or "not set"


@functools.cache
def _ptxas_version(path: str, _modified: int) -> str:
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"[TSR4008] {path}: expected the program ptxas, got one that cannot be run: {error}") from None
    match = re.search(r"\bV(\d+\.\d+\.\d+)", text)
    if match is None:
        raise ToolError(f"[TSR4008] {path}: expected the program ptxas, got one whose --version says {text[:80]!r}")
    return match[1]


@functools.cache
def _libdevice_version(root: str) -> str:
    """The version by a toolkit's list, by the wheel's metadata, or else by what is in the file."""
    versions = Path(root) / "version.json"
    try:
        if versions.is_file():
            return str(json.loads(versions.read_text())["libnvvm"]["version"])
        if Path(root).parts[-2:] == tuple(_WHEELS.split(".")):
            return importlib.metadata.version("nvidia-nvvm")
    except (KeyError, TypeError, ValueError, importlib.metadata.PackageNotFoundError):
        pass
    return "sha256 " + hashlib.sha256((Path(root) / _LIBDEVICE).read_bytes()).hexdigest()[:16]
