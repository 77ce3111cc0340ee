# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Modules: classes whose attributes are parameters and other modules, and whose ``forward`` is traced."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from tessera.frontend.function import Function
from tessera.frontend.scope import is_tracing
from tessera.frontend.source import diagnostic
from tessera.nn.parameter import Parameter

C = TypeVar("C", bound=type)


class Module:
    """Base of modules; ``@tessera.module`` makes any class one."""

    forward: Any

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its path, such as ``layers.0.weight``; one shared by two paths comes once."""
        seen: set[int] = set()
        for path, value in _walk(self, prefix):
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter."""
        return (parameter for _, parameter in self.named_parameters())

    def state_dict(self) -> dict[str, Any]:
        """The parameters' values by path, as NumPy arrays that share their memory."""
        return {path: parameter.numpy() for path, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Take the parameters' values from ``state``.

        Raises
        ------
        ArgumentError
            If names are missing or unexpected (unless ``strict`` is False), or a shape or dtype differs. Nothing is
            changed then.
        """
        own = dict(self.named_parameters())
        missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if strict and (missing or unexpected):
            raise diagnostic(
                "TSR1506",
                f"state dict: expected {len(own)} parameters, got {len(state)}; "
                f"missing: {', '.join(missing) or 'none'}; unexpected: {', '.join(unexpected) or 'none'}",
                help="pass strict=False to load what fits",
            )
        for path in own.keys() & state.keys():
            shape, dtype = tuple(state[path].shape), Parameter(state[path]).dtype
            if shape != own[path].shape or dtype != own[path].dtype:
                raise diagnostic(
                    "TSR1506",
                    f"state dict: '{path}': expected {own[path].dtype.name}{list(own[path].shape)}, "
                    f"got {dtype.name}{list(shape)}",
                )
        for path in own.keys() & state.keys():
            own[path].load(state[path])

    def as_function(self) -> Function[..., Any]:
        """The function that ``forward`` is, with this module's parameters as weights named by path."""
        function = self.__dict__.get("_tessera_function")
        if function is None:
            forward = getattr(self, "forward", None)
            if forward is None:
                raise diagnostic(
                    "TSR1007",
                    f"module {type(self).__name__}: expected a method 'forward' to compile, got none",
                    help="define forward(self, x: Tensor[...])",
                )
            function = _ModuleFunction(self, forward)
            self.__dict__["_tessera_function"] = function
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_tracing():
            return self.forward(*args, **kwargs)
        return self.as_function()(*args, **kwargs)


class _ModuleFunction(Function[..., Any]):
    """A module's ``forward``, whose weights have the module's names for them."""

    def __init__(self, module: Module, forward: Any) -> None:
        if isinstance(forward, Function):
            forward = forward.python
        super().__init__(forward, name=type(module).__name__)
        self._module = module

    def weight_names(self) -> dict[int, str]:
        """Names of parameters by identity."""
        return {id(parameter): path for path, parameter in self._module.named_parameters()}


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Parameters and modules among the attributes of a module, through lists, tuples and dicts."""
    if isinstance(value, Parameter):
        yield path, value
        return
    if isinstance(value, Module):
        items: Any = ((k, v) for k, v in vars(value).items() if not k.startswith("_tessera"))
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, Mapping):
        items = value.items()
    else:
        return
    for key, item in items:
        yield from _walk(item, f"{path}.{key}" if path else str(key))


def module(cls: C) -> C:
    """Make a class a module: its instances have parameters by path, and ``forward`` (or ``__call__``) is traced.

    Examples
    --------
    >>> @tessera.module
    ... class Scale:
    ...     def __init__(self, size: int):
    ...         self.weight = tessera.nn.Parameter(tessera.ones(size))
    ...     def forward(self, x: Tensor["B", "D"]) -> Tensor["B", "D"]:
    ...         return x * self.weight
    """
    if not inspect.isclass(cls):
        raise diagnostic(
            "TSR1007",
            f"@tessera.module: expected a class, got {cls!r:.60}",
            help="decorate functions with @tessera.function",
        )
    if issubclass(cls, Module):
        return cls
    members: dict[str, Any] = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__wrapped__": cls}
    if "__call__" in vars(cls):
        # The class's own call is what is traced; calling an instance traces it.
        members["__call__"] = Module.__call__
        if not hasattr(cls, "forward"):
            members["forward"] = vars(cls)["__call__"]
    made = type(cls.__name__, (cls, Module), members)
    made.__qualname__ = cls.__qualname__
    functools.update_wrapper(made, cls, updated=())
    return made  # type: ignore[return-value]
