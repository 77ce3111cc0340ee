# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operations outside a trace: each becomes a function of its tensors, compiled for their exact shapes, and runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tessera import tree
from tessera.array import Array, wrap
from tessera.frontend.declaration import is_array
from tessera.frontend.function import Function
from tessera.frontend.source import diagnostic
from tessera.frontend.traced import Traced

_functions: dict[Any, Function[..., Any]] = {}
_LIMIT = 1024


def run(operation: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Compute an operation on concrete arrays; tensors in the result are ``Array``."""
    leaves, structure = tree.flatten([list(args), dict(kwargs)])
    arrays = [leaf for _, leaf in leaves if is_array(leaf)]
    for array in arrays:
        if isinstance(array, Traced):
            raise diagnostic(
                "TSR1406",
                f"{array!r} used after its function was traced: expected an array, got a tensor without a value",
                help="return the tensor from the function; don't keep it in a global variable or a list",
            )
    key = _key(operation, structure, leaves)
    function = _functions.get(key) if key is not None else None
    if function is None:
        function = _function(operation, structure, [leaf for _, leaf in leaves], len(arrays))
        if key is not None:
            if len(_functions) >= _LIMIT:
                _functions.pop(next(iter(_functions)))
            _functions[key] = function
    return wrap(function(*(array if isinstance(array, Array) else wrap(array) for array in arrays)))


def _key(operation: Callable[..., Any], structure: tree.Tree, leaves: list[tuple[str, Any]]) -> Any:
    constants = tuple((type(leaf), leaf) if not is_array(leaf) else None for _, leaf in leaves)
    key = operation, repr(structure), constants
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _function(operation: Callable[..., Any], structure: tree.Tree, leaves: list[Any], count: int) -> Function[..., Any]:
    is_tensor = [is_array(leaf) for leaf in leaves]
    constants = [None if tensor else leaf for leaf, tensor in zip(leaves, is_tensor, strict=True)]

    def call(*arrays: Any) -> Any:
        remaining = iter(arrays)
        values = [next(remaining) if t else c for t, c in zip(is_tensor, constants, strict=True)]
        args, kwargs = tree.unflatten(structure, values)
        return operation(*args, **kwargs)

    kind = inspect.Parameter.POSITIONAL_ONLY
    parameters = [inspect.Parameter(f"a{i}", kind) for i in range(count)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__name__ = call.__qualname__ = operation.__name__
    return Function(call)
