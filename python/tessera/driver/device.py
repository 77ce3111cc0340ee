# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The GPU's half of a program: its kernels, from the nvvm stage to a cubin."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from tessera._mlir import ir
from tessera.driver.job import DeviceModule
from tessera.driver.locations import source_lines
from tessera.driver.ptxas import assemble

_OBJECT = re.compile(r'assembly = ("(?:[^"\\]|\\.)*")')


def read_kernels(module: ir.Operation) -> list[dict[str, Any]]:
    """Return what launches must know of each kernel of a module in the llvm and nvvm dialects."""
    found = []
    for device in _of_kind(module, "gpu.module"):
        for function in device.regions[0].blocks[0].operations:
            attributes = function.attributes
            if "gpu.kernel" in attributes or "nvvm.kernel" in attributes:
                found.append(
                    {
                        "name": ir.StringAttr(attributes["sym_name"]).value,
                        "threads": _integer(attributes, "tessera.threads", 0),
                        "cluster": _integer(attributes, "tessera.cluster", 1),
                        "dynamic_shared": _integer(attributes, "tessera.shared", 0),
                        "pdl": "tessera.pdl" in attributes,
                        "source": source_lines(function.location),
                    }
                )
    return found


def take_ptx(module: ir.Operation) -> str:
    """Remove the binaries that upstream's serialization left, and return their PTX; empty where there is none."""
    texts = []
    for binary in _of_kind(module, "gpu.binary"):
        for text in _OBJECT.findall(str(binary.attributes["objects"])):
            texts.append(ir.StringAttr(ir.Attribute.parse(text)).value)  # a string as MLIR writes it
        binary.erase()
    return "\n".join(texts)


def assemble_kernels(module: DeviceModule, architecture: str, ptxas: str, *, lineinfo: bool) -> None:
    """Make the cubin, and note what each kernel takes of a multiprocessor.

    Raises
    ------
    CompileError
        When ptxas refuses the PTX.
    """
    module.cubin, usage = assemble(module.ptx, architecture, ptxas=ptxas, lineinfo=lineinfo)
    for kernel in module.kernels:
        kernel.update(asdict(usage[kernel["name"]]))


def _of_kind(module: ir.Operation, name: str) -> list[Any]:
    return [op for op in module.regions[0].blocks[0].operations if op.operation.name == name]


def _integer(attributes: Any, name: str, default: int) -> int:
    return int(ir.IntegerAttr(attributes[name]).value) if name in attributes else default
