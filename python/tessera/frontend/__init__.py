# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The frontend: from the user's Python to the ``tessera`` dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tessera.frontend.annotations import donated
from tessera.frontend.dims import Size
from tessera.frontend.expressions import Dim, Symbol
from tessera.frontend.function import Function, function
from tessera.frontend.promotion import Policy, precision
from tessera.frontend.signature import Signature, TensorInfo
from tessera.frontend.tensor import Tensor
from tessera.frontend.trace import TracedEntry, TraceSpec

__all__ = [
    "Dim",
    "Function",
    "Policy",
    "Signature",
    "Size",
    "Symbol",
    "Tensor",
    "TensorInfo",
    "TraceSpec",
    "TracedEntry",
    "as_function",
    "donated",
    "function",
    "precision",
    "trace",
]


def as_function(target: Any, local_names: Mapping[str, Any] | None = None) -> Function[..., Any]:
    """The function to compile for a function, a module instance, or a plain Python callable.

    Parameters
    ----------
    target
        Any of these.
    local_names
        What a plain callable's annotations may use beside its globals.

    Raises
    ------
    SignatureError
        If it is none of these.
    """
    from tessera.nn.module import Module

    if isinstance(target, Function):
        return target
    if isinstance(target, Module):
        return target.as_function()
    return Function(target, local_names=local_names)


def trace(target: Any, spec: TraceSpec | None = None) -> TracedEntry:
    """Trace a function or a module instance to the ``tessera`` dialect.

    Parameters
    ----------
    target
        What ``@tessera.function`` made, a module instance, or a plain Python function.
    spec
        What it is traced for.

    Returns
    -------
    TracedEntry
        The verified MLIR module, the signature, and the closed-over weights.

    Raises
    ------
    TesseraError
        One of the classes of ``tessera.errors``, naming the user's line.
    """
    from tessera.frontend.trace import trace_entry

    function = as_function(target)
    return trace_entry(function, spec or TraceSpec())
