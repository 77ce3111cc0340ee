# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Artifacts made by hand: C compiled by the system's compiler, a manifest and a zip written here.

The runtime is tested against the documented format and object ABI, not against what our compiler happens to write.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

try:
    from tessera import _runtime as rt
except ImportError:  # a build tree of the runtime alone, with the extension on sys.path
    import _runtime as rt  # type: ignore[no-redef]

__all__ = ["Entry", "build", "compile_c", "header_dir", "rt", "tensor", "value"]

OBJECT = "host/x86_64-linux-gnu/cpu.o"
TRIPLE = "x86_64-linux-gnu"

# What a host object may use of the C compiler: nothing from outside, no state, no calls made up from loops.
CFLAGS = ["-O2", "-fPIC", "-c", "-ffreestanding", "-fno-tree-loop-distribute-patterns", "-fno-stack-protector"]

PRELUDE = """
#include "tessera/runtime.h"
const tsr_api *tsr_runtime;
#define WORKSPACE(name) \\
  int64_t name##_ws(const int64_t *s) __asm__(#name ".workspace"); \\
  int64_t name##_ws(const int64_t *s)
"""


def header_dir() -> Path:
    """The folder of ``tessera/runtime.h``: installed beside the package, or in the source tree."""
    installed = Path(rt.__file__).parent / "include"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "runtime" / "include"


@cache
def compile_c(source: str, *flags: str) -> bytes:
    """Compile C to a host object. ``PRELUDE`` comes before it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "the runtime's tests compile small C functions: install gcc"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "object.c"
        path.write_text(PRELUDE + source)
        target = path.with_suffix(".o")
        command = [compiler, *CFLAGS, *flags, "-I", str(header_dir()), str(path), "-o", str(target)]
        subprocess.run(command, check=True)
        return target.read_bytes()


def tensor(name: str, dtype: str, *shape: Any, **fields: Any) -> dict[str, Any]:
    """An input of a manifest."""
    return {"name": name, "dtype": dtype, "shape": list(shape), "kind": "argument", "donated": False, **fields}


def value(dtype: str, *shape: Any) -> dict[str, Any]:
    """An output of a manifest."""
    return {"name": "", "dtype": dtype, "shape": list(shape)}


@dataclass
class Entry:
    """One entry of an artifact; ``source`` defines a C function of its name."""

    source: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    symbols: list[dict[str, Any]] = field(default_factory=list)
    guards: list[dict[str, Any]] = field(default_factory=list)
    workspace: bool = False
    mesh: dict[str, Any] | None = None
    collectives: list[dict[str, Any]] = field(default_factory=list)

    def manifest(self, name: str, objects: dict[str, list[str]]) -> dict[str, Any]:
        variants = [
            {
                "target": Path(path).stem.replace("-", ":"),
                "triple": TRIPLE,
                "object": path,
                "symbol": name,
                "features": features,
                "workspace": f"{name}.workspace" if self.workspace else None,
            }
            for path, features in objects.items()
        ]
        return {
            "symbols": self.symbols,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "guards": self.guards,
            "variants": variants,
            "collectives": self.collectives,
            **({"mesh": self.mesh} if self.mesh else {}),
        }


def pack(members: dict[str, bytes], manifest: dict[str, Any]) -> bytes:
    """The archive: manifest first, members stored and aligned to 256 bytes."""
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in members.items()
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            info = zipfile.ZipInfo(name)
            used = stream.tell() + 30 + len(name)
            info.extra = b"\0\0" + ((-used - 4) % 256).to_bytes(2, "little") + bytes((-used - 4) % 256)
            archive.writestr(info, data)
    return stream.getvalue()


def build(
    entries: dict[str, Entry],
    *,
    weights: dict[str, Any] | None = None,
    objects: dict[str, bytes] | None = None,
    features: dict[str, list[str]] | None = None,
    **overrides: Any,
) -> bytes:
    """A ``.tsr`` of these entries.

    Parameters
    ----------
    weights
        NumPy arrays for ``weights.safetensors``.
    objects, features
        Object members in place of the compiled source, and the CPU features that each needs.
    overrides
        Fields of the manifest.
    """
    if objects is None:
        objects = {OBJECT: compile_c("\n".join(dict.fromkeys(entry.source for entry in entries.values())))}
    members = dict(objects)
    if weights is not None:
        from safetensors.numpy import save

        members["weights.safetensors"] = save(weights)
    needs = {path: (features or {}).get(path, []) for path in objects}
    manifest = {
        "format": 1,
        "abi": 1,
        "producer": {"tessera": "test"},
        "entries": {name: entry.manifest(name, needs) for name, entry in entries.items()},
        **overrides,
    }
    return pack(members, manifest)
