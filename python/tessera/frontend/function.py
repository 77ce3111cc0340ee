# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``@tessera.function``: a Python function that can be traced, compiled and called."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, overload

from tessera.frontend.declaration import Declaration
from tessera.frontend.mesh import Mesh
from tessera.frontend.promotion import Policy, use_policy
from tessera.frontend.scope import current_scope, is_tracing
from tessera.frontend.source import diagnostic

P = ParamSpec("P")
R = TypeVar("R")


class Function(Generic[P, R]):
    """What ``@tessera.function`` makes of a function.

    A call on arrays compiles for the device that holds them, caches, and runs; a call inside another traced function
    is a call in the compiled program.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        policy: Policy | None = None,
        local_names: Mapping[str, Any] | None = None,
        mesh: Mesh | None = None,
        partition: bool = False,
    ) -> None:
        if not callable(function) or isinstance(function, type):
            raise diagnostic(
                "TSR1007",
                f"@tessera.function: expected a function, got {function!r:.60}",
                help="decorate classes with @tessera.module",
            )
        self.python = function
        self.name: str = name or str(getattr(function, "__name__", type(function).__name__))
        self.policy = policy
        #: The mesh that the function runs on, every rank with its own part.
        self.mesh = mesh
        #: Whether its body is for whole tensors, which the compiler divides.
        self.partition = partition
        self.declaration = Declaration(function, local_names or {})
        self._direct: Callable[..., Any] | None = None
        functools.update_wrapper(self, function)

    def weight_names(self) -> dict[int, str]:
        """Names of closed-over arrays by identity, where they have one besides their variable's."""
        return {}

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    # Arrays of NumPy, torch and others in place of tensors: the result is of their kind.
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_tracing():
            from tessera.frontend.calls import call_function

            self._check_mesh()
            with use_policy(self.policy):
                return call_function(self, self.declaration, self.python, args, kwargs)
        if self._direct is None:
            from tessera.driver.jit import jit

            self._direct = jit(self)
        return self._direct(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: bound to the instance, which is then a closed-over value."""
        if instance is None:
            return self
        # One function for each instance, kept with it, so that what it compiled is found again.
        kept: dict[Any, Any] = instance.__dict__.setdefault("_tessera_methods", {})
        if self not in kept:
            bound = functools.partial(self.python, instance)
            functools.update_wrapper(bound, self.python)
            bound.__signature__ = _without_first(inspect.signature(self.python))  # type: ignore[attr-defined]
            kept[self] = Function(bound, name=self.name, policy=self.policy, mesh=self.mesh, partition=self.partition)
        return kept[self]

    def _check_mesh(self) -> None:
        """In a trace: a function on a mesh is part of a program on that mesh."""
        scope = current_scope()
        if scope is None or self.mesh is None:
            return
        if scope.module.partition != self.partition:
            expected, got = ("parts", "whole tensors") if self.partition else ("whole tensors", "parts")
            raise diagnostic(
                "TSR1604",
                f"call of '{self.name}': expected a function on {expected}, as its caller is, got one on {got}",
                help="give both functions partition=True, or neither",
            )
        if scope.module.mesh != self.mesh:
            raise diagnostic(
                "TSR1604",
                f"call of '{self.name}': expected a caller on its mesh, {self.mesh}, got one on "
                f"{scope.module.mesh or 'none'}",
                help="decorate the caller with @tessera.on_mesh(mesh)",
            )

    def on_mesh(self, mesh: Mesh, partition: bool = False) -> Function[P, R]:
        """Make of this function one that runs on a mesh."""
        placed = copy.copy(self)
        placed.mesh, placed.partition = mesh, partition
        placed._direct = None
        return placed

    def __repr__(self) -> str:
        return f"<tessera.function {self.name}{inspect.signature(self.python)}>"


def _without_first(signature: inspect.Signature) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


@overload
def function(function: Callable[P, R], /) -> Function[P, R]: ...


@overload
def function(
    *, name: str | None = None, policy: Policy | None = None
) -> Callable[[Callable[P, R]], Function[P, R]]: ...


def function(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, policy: Policy | None = None
) -> Any:
    """Make a Python function compilable. Annotations give its signature.

    Parameters
    ----------
    function
        The function, where the decorator is used without arguments.
    name
        The entry's name in artifacts, if not the function's.
    policy
        The numeric policy for its body (``tessera.Policy``).

    Raises
    ------
    SignatureError
        If the annotations make no signature.

    Examples
    --------
    >>> @tessera.function
    ... def scale(x: Tensor["B", "D"], factor: float = 2.0) -> Tensor["B", "D"]:
    ...     return x * factor
    """
    local_names = dict(sys._getframe(1).f_locals)
    if function is not None:
        return Function(function, name=name, policy=policy, local_names=local_names)
    return lambda function: Function(function, name=name, policy=policy, local_names=local_names)
