# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The state of a function while it is traced: its sizes, guards and weights."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tessera.dtypes import DType
from tessera.frontend import dims
from tessera.frontend.builder import FunctionBuilder, ModuleBuilder, Value
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.expressions import Symbol
from tessera.frontend.leading import Leading
from tessera.frontend.mesh import Mesh, ShardSpec
from tessera.frontend.source import diagnostic, user_frames, user_python_frames


@dataclass(frozen=True)
class Guard:
    """An equality of sizes that a call must satisfy: the runtime checks it before any work."""

    left: SizeLike
    right: SizeLike
    message: str
    source: str


@dataclass
class Weight:
    """An array that the function closes over, passed as a trailing argument: on a mesh, a rank's part of it."""

    name: str
    array: Any
    shape: tuple[int, ...]
    dtype: DType
    value: Value
    sharding: ShardSpec | None = None


@dataclass
class ModuleState:
    """What all functions of one module share."""

    builder: ModuleBuilder
    #: Traced callees by function and signature.
    callees: dict[Any, Any] = field(default_factory=dict)
    #: Names of weights by identity, from the entry's module or closure.
    weight_names: dict[int, str] = field(default_factory=dict)
    used_names: dict[str, int] = field(default_factory=dict)
    #: Functions being traced now, to find recursion.
    active: list[Any] = field(default_factory=list)
    random_calls: Iterator[int] = field(default_factory=itertools.count)
    mesh: Mesh | None = None
    #: Whether the compiler divides the function over the mesh, whose body is for whole tensors.
    partition: bool = False


_ids = itertools.count(1)


class Scope:
    """One function being traced."""

    def __init__(self, module: ModuleState, name: str) -> None:
        self.id = next(_ids)
        self.module = module
        self.name = name
        self.builder: FunctionBuilder
        self.guards: list[Guard] = []
        self.weights: dict[Any, Weight] = {}
        #: The leading dimensions, if nothing says how many there are.
        self.leading: Leading | None = None
        self.regions: list[int] = [self.id]
        self._equal: dict[Symbol, SizeLike] = {}
        self._anonymous = itertools.count()

    # -- sizes -------------------------------------------------------------------------------------------------------

    def anonymous(self, **facts: Any) -> Symbol:
        """A fresh symbol for a dimension that has no name."""
        return Symbol(f"?{next(self._anonymous)}", scope=self.id, **facts)

    def resolve(self, size: SizeLike) -> SizeLike:
        """The size, with anonymous symbols replaced by what guards say they equal."""
        if not self._equal or isinstance(size, int):
            return size
        return dims.substitute(size, lambda s: self.resolve(self._equal[s]) if s in self._equal else dims.size_of(s))

    def proven_equal(self, left: SizeLike, right: SizeLike) -> bool | None:
        return dims.proven_equal(self.resolve(left), self.resolve(right))

    def require_equal(self, left: SizeLike, right: SizeLike, where: str) -> SizeLike:
        """Make sure that two sizes are equal: by proof, by a guard where one is anonymous, or by refusing them.

        Returns the size to go on with: the static one, if one is.
        """
        a, b = self.resolve(left), self.resolve(right)
        known = dims.proven_equal(a, b)
        if known is False:
            raise diagnostic("TSR1106", f"{where}: expected equal sizes, got {left} and {right}")
        if known is None:
            if not any(s.anonymous for size in (a, b) for s in dims.symbols(size)):
                raise _different_symbols(a, b, where)
            self.assume_equal(a, b, f"{where}: expected equal sizes")
        return right if isinstance(right, int) else left

    def assume_equal(self, left: SizeLike, right: SizeLike, message: str) -> None:
        """Add a guard, and use it in proofs from here on."""
        frame = next(user_frames(), None)
        self.guards.append(Guard(left, right, message, frame.place if frame else ""))
        for one, other in ((left, right), (right, left)):
            symbol = dims.bare_symbol(one)
            if symbol is not None and symbol.anonymous and symbol not in set(dims.symbols(other)):
                self._equal[symbol] = other
                return

    def check_owner(self, size: SizeLike) -> SizeLike:
        """Refuse a symbol of another function."""
        for symbol in dims.symbols(size):
            if symbol.scope != self.id:
                raise diagnostic(
                    "TSR1406",
                    f"size '{size}': expected a size of the function being traced, '{self.name}', got one of another",
                    help="take the size from an argument's shape, or pass the tensor it belongs to as an argument",
                )
        return size

    def divide(self, size: SizeLike, parts: int, where: str) -> SizeLike:
        """The size of one of several equal parts: checked now, or by a guard where the size is not known.

        Raises
        ------
        MeshError
            If the size is no multiple of ``parts``.
        """
        rest = dims.remainder(size, parts)
        if isinstance(rest, int) and rest:
            raise diagnostic("TSR1603", f"{where}: expected a multiple of {parts}, got {size}")
        if isinstance(rest, Size):
            self.assume_equal(rest, 0, f"{where}: expected a multiple of {parts}")
        return dims.floordiv(size, parts)

    # -- weights -----------------------------------------------------------------------------------------------------

    def weight_name(self, array: Any) -> str:
        """The name of a closed-over array, made unique in the module."""
        names = self.module.weight_names
        if id(array) not in names:
            name = _variable_name(array) or "constant"
            count = self.module.used_names.get(name, 0)
            self.module.used_names[name] = count + 1
            names[id(array)] = f"{name}_{count}" if count else name
        return names[id(array)]


def _variable_name(array: Any) -> str | None:
    """The name by which the user's functions know an array: that of the outermost one, as it says most."""
    found = None
    for frame in user_python_frames():
        used = {name: frame.f_globals.get(name) for name in frame.f_code.co_names}
        for name, value in (*frame.f_locals.items(), *used.items()):
            path = _path_to(array, name, value)
            if path is not None:
                found = path.removeprefix("self.")
                break
    return found


def _path_to(array: Any, name: str, value: Any) -> str | None:
    if value is array or (isinstance(value, np.ndarray) and getattr(array, "base", None) is value):
        return name
    if hasattr(value, "named_parameters") and not isinstance(value, type):
        return next((path for path, item in value.named_parameters(name) if item is array), None)
    return None


def _different_symbols(left: SizeLike, right: SizeLike, where: str) -> Exception:
    one, other = dims.bare_symbol(left), dims.bare_symbol(right)
    if one is not None and other is not None:
        fix = f"if they are one size, use one name for both in the signature: write '{one.name}' for '{other.name}'"
    else:
        symbol, size = (one, right) if one is not None else (other, left)
        fix = "fix the sizes with dims={...}"
        if symbol is not None:
            number = size if isinstance(size, int) else "..."
            dims_option = f'dims={{"{symbol.name}": {number}}}'
            fix = (
                f"write '{size}' for '{symbol.name}' in the signature, or '?' for a size that each call checks, "
                f"or fix it with {dims_option}"
            )
    return diagnostic("TSR1105", f"{where}: expected equal sizes, got {left} and {right}", help=fix)


class _State(threading.local):
    def __init__(self) -> None:
        self.scopes: list[Scope] = []


_state = _State()


def current_scope() -> Scope | None:
    """The innermost function being traced on this thread."""
    return _state.scopes[-1] if _state.scopes else None


def is_tracing() -> bool:
    return bool(_state.scopes)


@contextlib.contextmanager
def enter(scope: Scope) -> Iterator[Scope]:
    _state.scopes.append(scope)
    try:
        yield scope
    finally:
        _state.scopes.pop()


def substitution(mapping: Mapping[Symbol, SizeLike]) -> Any:
    """A function for ``dims.substitute`` that leaves other symbols alone."""
    return lambda symbol: mapping[symbol] if symbol in mapping else dims.size_of(symbol)
