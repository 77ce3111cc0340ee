# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NumPy functions called on traced tensors: ufuncs with a tensor form are taken over, others refused with the fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import tessera
from tessera.frontend.source import diagnostic

#: ufuncs whose name differs from the operation's.
_UFUNCS = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "power": "pow",
    "float_power": "pow",
    "mod": "remainder",
    "negative": "neg",
    "absolute": "abs",
    "fabs": "abs",
    "rint": "round",
    "invert": "bitwise_not",
    "conjugate": "asarray",
    "positive": "asarray",
    "fmax": "maximum",
    "fmin": "minimum",
}

#: NumPy functions whose name differs from the operation's.
_FUNCTIONS = {
    "concatenate": "concat",
    "amax": "max",
    "amin": "min",
    "swapaxes": "transpose",
    "take_along_axis": "gather",
    "expand_dims": "unsqueeze",
    "around": "round",
    "repeat": "repeat",
    "array_split": "split",
    "hstack": "concat",
    "vstack": "concat",
}


def call_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A ufunc with a traced operand."""
    name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
    operation = getattr(tessera.ops, name, None)
    if method != "__call__" or kwargs or operation is None:
        call = f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        raise _refused(call, name if operation is not None and method == "__call__" else None)
    return operation(*inputs)


def refuse_function(function: Any) -> NoReturn:
    """A NumPy function that is no ufunc, with a traced operand."""
    name = _FUNCTIONS.get(function.__name__, function.__name__)
    raise _refused(f"numpy.{function.__name__}", name if hasattr(tessera.ops, name) else None)


def _refused(call: str, name: str | None) -> Exception:
    return diagnostic(
        "TSR1407",
        f"{call}: expected a function of tensors, got one of NumPy arrays, whose values are not known while tracing",
        help=f"use tessera.{name} (with dim= for axis=)" if name else "compute it from the operations in tessera.ops",
    )
