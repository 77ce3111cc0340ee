# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The one place where the driver calls the frontend."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from tessera import tree
from tessera.driver.build import Traced
from tessera.dtypes import array_dtype
from tessera.errors import ArgumentError, CompileError
from tessera.frontend import Function, TraceSpec, trace
from tessera.frontend.declaration import Leaf
from tessera.frontend.promotion import current_policy

__all__ = ["BoundCall", "Function", "TraceSpec", "bind_call", "current_policy", "trace_entry"]


_DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged


@dataclass(frozen=True)
class BoundCall:
    """What a direct call asks for: its kind, what to trace where the kind is new, and the GPU that holds its arrays."""

    key: Hashable
    spec: TraceSpec
    device: int | None = None


def trace_entry(function: Callable[..., Any], spec: TraceSpec) -> Traced:
    """Trace a function or module as an entry.

    Raises
    ------
    CompileError
        When this installation has the runtime only.
    TesseraError
        When the function cannot be traced.
    """
    try:
        from tessera.driver.pipeline import bytecode
    except ModuleNotFoundError as error:
        raise CompileError(
            f"[TSR4001] cannot compile: this installation has no compiler (no module '{error.name}'): "
            "expected a build of Tessera with TESSERA_BUILD_COMPILER=ON; artifacts can be loaded and run"
        ) from None

    traced = trace(function, spec)
    return Traced(traced.name, bytecode(traced.module), traced.signature.to_manifest(), traced.weights)


def bind_call(function: Function[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> BoundCall:
    """Say what kind a call is of: dtypes, ranks, structure and compile-time values, but no sizes of symbols.

    Raises
    ------
    ArgumentError
        When the arguments don't fit the parameters.
    """
    declaration = function.declaration
    key: list[Hashable] = []
    device: int | None = None
    for name, value in declaration.arguments(declaration.bind(args, kwargs), set(), {}).items():
        leaves, structure = tree.flatten(value, name)
        key.append(repr(structure))
        for path, leaf in leaves:
            if not isinstance(leaf, Leaf):
                key.append((type(leaf.value), leaf.value))
                continue
            if leaf.value is None:
                raise ArgumentError(f"[TSR1101] {function.name}(): missing argument '{path}'")
            device = _cuda_device(leaf.value) if device is None else device  # the runtime refuses arrays on several
            shape = tuple(getattr(leaf.value, "shape", ()))
            # Without an annotation, the code is for this very shape.
            key.append((array_dtype(leaf.value) or type(leaf.value), shape if leaf.spec is None else len(shape)))
    return BoundCall(tuple(key), TraceSpec(args=args, kwargs=kwargs), device)


def _cuda_device(array: Any) -> int | None:
    """The number of the GPU that an array of any library lies on; None for one that the CPU can read."""
    if hasattr(array, "__dlpack_device__"):
        kind, number = array.__dlpack_device__()
        return int(number) if int(kind) in _DLPACK_CUDA else None
    return 0 if hasattr(array, "__cuda_array_interface__") else None  # that protocol does not name the GPU
