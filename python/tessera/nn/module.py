# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Modules: classes whose attributes are parameters and other modules, and whose ``forward`` is traced."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from tessera.array import to_numpy
from tessera.container import write_atomically
from tessera.frontend.function import Function
from tessera.frontend.scope import is_tracing
from tessera.frontend.source import diagnostic
from tessera.nn.parameter import Parameter
from tessera.weights import Path, Rename, WeightsFile, check_weights, read_weights

C = TypeVar("C", bound=type)


class Module:
    """Base of modules; ``@tessera.module`` makes any class one."""

    forward: Any

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its path, such as ``layers.0.weight``; one shared by two paths comes once."""
        seen: set[int] = set()
        for path, value in walk(self, prefix):
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter."""
        return (parameter for _, parameter in self.named_parameters())

    def state_dict(self) -> dict[str, Any]:
        """The parameters' values by path, as NumPy arrays that share their memory."""
        return {path: parameter.numpy() for path, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, cast: bool = False) -> None:
        """Take the parameters' values from ``state``.

        Arrays are copied, but for those that nobody can write to, such as memory-mapped files, which are used in place.

        Parameters
        ----------
        state
            Arrays of any library by path, each of the parameter's shape and dtype.
        strict
            Whether the names have to be those of the parameters; if not, what is in both is taken.
        cast
            Whether floats of another dtype are converted to the parameter's, as ``astype`` does. What is beyond the
            dtype's range becomes infinity, or NaN in fp8_e4m3.

        Raises
        ------
        ArgumentError
            If names are missing or unexpected (unless ``strict`` is False), or a shape or dtype differs. Nothing is
            changed then.
        """
        self._take({name: to_numpy(array) for name, array in state.items()}, "state dict", strict, cast)

    def save_safetensors(self, path: Path) -> None:
        """Write the parameters' values to a safetensors file, whole or not at all; one shared by two paths once."""
        write_atomically(path, WeightsFile(self.state_dict()))

    def load_safetensors(
        self,
        path_or_paths: Path | Iterable[Path],
        strict: bool = True,
        cast: bool = False,
        rename: Rename | None = None,
    ) -> None:
        """Take the parameters' values from safetensors files.

        The files are mapped and not read: parameters that need no conversion take no memory of their own, and are
        read-only. Replace such a file, don't rewrite it in place.

        Parameters
        ----------
        path_or_paths
            One file, or several that have different tensors.
        strict, cast
            As for ``load_state_dict``.
        rename
            Gives the path of the parameter that a name in the files means, or None to leave the tensor out.

        Raises
        ------
        ArgumentError
            If names are missing, unexpected (unless ``strict`` is False) or there twice, or a shape or dtype differs.
            Nothing is changed then.
        ArtifactError
            If a file is damaged or truncated. Nothing is changed then.
        OSError
            If a file cannot be opened.
        """
        paths = [path_or_paths] if isinstance(path_or_paths, (str, os.PathLike)) else list(path_or_paths)
        self._take(read_weights(paths, rename), ", ".join(map(str, paths)), strict, cast)

    def _take(self, arrays: Mapping[str, Any], source: str, strict: bool, cast: bool) -> None:
        own = dict(self.named_parameters())
        expected = {path: (parameter.dtype, parameter.shape) for path, parameter in own.items()}
        for path in check_weights(expected, arrays, source, strict=strict, cast=cast):
            own[path].load(arrays[path], cast=cast)

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


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters, and all else that is no module, among a module's attributes, through lists, tuples and dicts."""
    if isinstance(value, Module):
        items: Any = _attributes(value).items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, Mapping):
        items = value.items()
    else:
        yield path, value
        return
    for key, item in items:
        yield from walk(item, f"{path}.{key}" if path else str(key))


def with_parameters(value: Any, replacements: Mapping[int, Any]) -> Any:
    """A copy of a module, or of a container of modules, with others for its parameters, by identity."""
    if isinstance(value, Parameter):
        return replacements[id(value)]
    if isinstance(value, Module):
        made = object.__new__(type(value))
        vars(made).update({key: with_parameters(item, replacements) for key, item in _attributes(value).items()})
        return made
    if type(value) in (list, tuple):
        return type(value)(with_parameters(item, replacements) for item in value)
    if type(value) is dict:
        return {key: with_parameters(item, replacements) for key, item in value.items()}
    return value


def _attributes(module: Module) -> dict[str, Any]:
    return {key: value for key, value in vars(module).items() if not key.startswith("_tessera")}


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
