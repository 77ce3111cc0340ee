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


@dataclass(frozen=True)
class BoundCall:
    """What a direct call asks for: its kind, and what to trace where the kind is new."""

    key: Hashable
    spec: TraceSpec


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
    for name, value in declaration.arguments(declaration.bind(args, kwargs), set(), {}).items():
        leaves, structure = tree.flatten(value, name)
        key.append(repr(structure))
        for path, leaf in leaves:
            if not isinstance(leaf, Leaf):
                key.append((type(leaf.value), leaf.value))
                continue
            if leaf.value is None:
                raise ArgumentError(f"[TSR1101] {function.name}(): missing argument '{path}'")
            shape = tuple(getattr(leaf.value, "shape", ()))
            # Without an annotation, the code is for this very shape.
            key.append((array_dtype(leaf.value) or type(leaf.value), shape if leaf.spec is None else len(shape)))
    return BoundCall(tuple(key), TraceSpec(args=args, kwargs=kwargs))
