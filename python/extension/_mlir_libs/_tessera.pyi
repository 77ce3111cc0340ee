# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tessera's dialects, passes and translation, for MLIR's Python bindings."""

import tessera._mlir.ir

mlir_version: str

def register_dialects(registry: tessera._mlir.ir.DialectRegistry) -> None:
    """Makes Tessera's dialects and those that its pipelines use known to a registry."""

def describe_collective(what: tessera._mlir.ir.Attribute) -> str:
    """The facts of an rt.mesh attribute, as JSON."""

def translate_to_llvmir(module: tessera._mlir.ir.Operation) -> str:
    """LLVM IR, as text, of a module that is wholly in the llvm dialect."""
