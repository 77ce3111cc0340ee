# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trace to text, or trace and run by the reference interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tessera
from interpreter import Interpreter
from tessera.array import to_numpy
from tessera.frontend import TracedEntry, TraceSpec, trace
from tessera.frontend.expressions import evaluate


def text_of(function: Any, **spec: Any) -> str:
    """The IR of a function."""
    return str(trace(function, TraceSpec(**spec)).module)


def interpret(entry: TracedEntry, *args: Any, **kwargs: Any) -> Any:
    """Run a traced entry on arrays, as the runtime would: bind symbols, check guards, pass weights."""
    signature = entry.signature
    flat = [to_numpy(a) for a in signature.flatten_call(args, kwargs)]
    symbols: dict[str, int] = {}
    manifest = signature.to_manifest()
    inputs = [row for row in manifest["inputs"] if row["kind"] == "argument"]
    pairs = [
        (size, n)
        for row, array in zip(inputs, flat, strict=True)
        for size, n in zip(row["shape"], array.shape, strict=True)
    ]
    for size, n in pairs:
        if isinstance(size, str):
            assert symbols.setdefault(size, n) == n, f"{size} is {symbols[size]} and {n}"
    for size, n in pairs:
        assert evaluate(size, symbols) == n, f"{size} is not {n}"
    for guard in manifest["guards"]:
        left, right = evaluate(guard["left"], symbols), evaluate(guard["right"], symbols)
        assert left == right, f"guard {guard['message']}: {left} != {right}"
    weights = [to_numpy(array) for array in entry.weights.values()]
    results = Interpreter(entry.module).run(entry.name, [*flat, *weights], symbols)
    for row, result in zip(manifest["outputs"], results, strict=True):
        assert [evaluate(size, symbols) for size in row["shape"]] == list(result.shape)
    return signature.unflatten_outputs(results)


def run(function: Callable[..., Any], *args: Any, symbolic: bool = False, **spec: Any) -> Any:
    """Trace a function of arrays and interpret it; ``symbolic`` makes every size an anonymous symbol."""
    arrays = [np.asarray(a) if isinstance(a, (list, np.ndarray, np.generic)) else a for a in args]
    if symbolic:
        body = function

        def function(*values: Any) -> Any:  # type: ignore[misc]
            return body(*values)

        import inspect

        kind = inspect.Parameter.POSITIONAL_ONLY
        function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(f"a{i}", kind, annotation=tessera.Tensor[("?",) * a.ndim]) for i, a in enumerate(arrays)]
        )
        function.__name__ = getattr(body, "__name__", "f")
    target = function if isinstance(function, tessera.Function) else tessera.Function(_positional(function, len(args)))
    entry = trace(target, TraceSpec(args=tuple(arrays), **spec))
    return interpret(entry, *arrays)


def _positional(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function with ``count`` plain parameters, for lambdas and operations that take options."""
    import inspect

    if hasattr(function, "__signature__"):
        return function

    def call(*args: Any) -> Any:
        return function(*args)

    kind = inspect.Parameter.POSITIONAL_ONLY
    call.__signature__ = inspect.Signature([inspect.Parameter(f"a{i}", kind) for i in range(count)])  # type: ignore[attr-defined]
    return call
