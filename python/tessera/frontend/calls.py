# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls of traced functions in traced functions: one private function for each signature, called from each site.

A callee has symbols of its own. It takes their values as leading index arguments, then tensors, then the weights that
it closes over; the caller substitutes its sizes for the callee's symbols in the shapes of the results and in guards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tessera import tree
from tessera.frontend import dims
from tessera.frontend.builder import FunctionBuilder
from tessera.frontend.declaration import Declaration, Leaf, Static
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.expressions import Symbol
from tessera.frontend.promotion import current_policy
from tessera.frontend.scope import Guard, Scope, enter, substitution
from tessera.frontend.signature import TensorInfo, number_leaves
from tessera.frontend.source import diagnostic, user_frames
from tessera.frontend.trace import call_body, finish_results
from tessera.frontend.traced import Traced, active_scope, format_shape, lift


@dataclass
class Callee:
    """A traced private function."""

    builder: FunctionBuilder
    symbols: list[Symbol]
    results: list[Traced]
    result_tree: tree.Tree
    guards: list[Guard]
    weights: list[Any]
    #: For each result the argument of which it is a changed value, if any.
    origins: list[int | None]


class _Sizes:
    """The caller's sizes as the callee's symbols."""

    def __init__(self, caller: Scope, callee: Scope) -> None:
        self.caller = caller
        self.callee = callee
        self.outer: dict[str, Any] = {}
        self.inner: dict[str, Any] = {}
        self.values: dict[Symbol, SizeLike] = {}
        self._by_size: dict[Any, SizeLike] = {}

    def shape(self, leaf: Leaf, tensor: Traced) -> tuple[SizeLike, ...]:
        spec = leaf.spec
        if spec is None:
            return tuple(self._unnamed(size) for size in tensor.shape)
        extent = tensor.ndim - len(spec.dims)
        if extent < 0 or (extent and not spec.leading):
            raise diagnostic(
                "TSR1103",
                f"argument '{leaf.name}': expected shape {spec}, "
                f"got {format_shape(tensor.shape)} of rank {tensor.ndim}",
            )
        shape: list[SizeLike] = []
        if spec.leading:
            shape += self._leading(leaf, tensor.shape[:extent])
        mesh = self.caller.module.mesh
        for position, (dim, size) in enumerate(zip(spec.dims, tensor.shape[extent:], strict=True), extent):
            where = f"argument '{leaf.name}': dimension {position}, '{dim}'"
            parts = 1 if spec.sharding is None or mesh is None else spec.sharding.parts(position, mesh)
            if dim.anonymous:
                shape.append(self._unnamed(size))
            elif dim.symbol is not None and dim.symbol not in self.outer:
                shape.append(dims.floordiv(self._bind(dim.symbol, size * parts), parts))
            elif all(name in self.outer for name in dim.names()):
                self.caller.require_equal(dim.size(self.outer), size * parts, where)
                shape.append(dims.floordiv(dim.size(self.inner), parts))
            else:  # an expression before its symbols are bound: checked by the next round
                shape.append(self._unnamed(size))
        return tuple(shape)

    def _leading(self, leaf: Leaf, sizes: tuple[SizeLike, ...]) -> tuple[SizeLike, ...]:
        before = self.outer.get("...")
        if before is None:
            self.outer["..."] = sizes
            self.inner["..."] = tuple(self._unnamed(size) for size in sizes)
        elif len(before) != len(sizes):
            raise diagnostic(
                "TSR1103", f"argument '{leaf.name}': expected {len(before)} dimensions for \"...\", got {len(sizes)}"
            )
        else:
            for one, other in zip(before, sizes, strict=True):
                self.caller.require_equal(one, other, f"argument '{leaf.name}': leading dimensions")
        return self.inner["..."]  # type: ignore[no-any-return]

    def _bind(self, name: str, size: SizeLike) -> SizeLike:
        self.outer[name] = size
        self.inner[name] = self._symbol(name, size) if isinstance(size, Size) else size
        if isinstance(size, Size):
            self._by_size.setdefault(size.key, self.inner[name])
        return self.inner[name]  # type: ignore[no-any-return]

    def _unnamed(self, size: SizeLike) -> SizeLike:
        if not isinstance(size, Size):
            return size
        if size.key not in self._by_size:
            self._by_size[size.key] = self._symbol(None, size)
        return self._by_size[size.key]

    def _symbol(self, name: str | None, size: Size) -> SizeLike:
        low, high = dims.bounds(size)
        facts: dict[str, Any] = {
            "min": max(int(low), 0) if low > 0 else 0,
            "max": None if high == float("inf") else int(high),
            "multiple_of": max(dims.divisor(size), 1),
        }
        symbol = self.callee.anonymous(**facts) if name is None else Symbol(name, scope=self.callee.id, **facts)
        self.values[symbol] = size
        return dims.size_of(symbol)


def call_function(
    function: Any, declaration: Declaration, body: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Call a traced function from the function being traced."""
    caller = active_scope()
    bound = declaration.arguments(declaration.bind(args, kwargs), set(), {})
    _require_values(declaration, bound)
    flat = {name: tree.flatten(value, name) for name, value in bound.items()}
    leaves = [leaf for pairs, _ in flat.values() for _, leaf in pairs if isinstance(leaf, Leaf)]
    tensors = [lift(leaf.value) for leaf in leaves]
    scope = Scope(caller.module, declaration.function.__name__)
    sizes = _Sizes(caller, scope)
    infos = _infos(leaves, tensors, sizes)
    key = _key(function, flat, infos, sizes)
    callee = caller.module.callees.get(key)
    if callee is None:
        if key in caller.module.active:
            raise diagnostic(
                "TSR1408",
                f"call of '{scope.name}' in itself: expected a function that ends, got recursion while tracing",
                help="use tessera.while_loop or tessera.scan",
            )
        caller.module.active.append(key)
        try:
            callee = _trace(declaration, body, bound, leaves, infos, sizes)
        finally:
            caller.module.active.pop()
        caller.module.callees[key] = callee
    return _emit_call(callee, tensors, dict(zip(callee.symbols, sizes.values.values(), strict=True)))


def _require_values(declaration: Declaration, bound: Mapping[str, Any]) -> None:
    for name, value in bound.items():
        if any(isinstance(leaf, Leaf) and leaf.value is None for _, leaf in tree.flatten(value)[0]):
            shown = declaration.function.__name__
            raise diagnostic("TSR1101", f"call of {shown}(): expected a value for argument '{name}', got none")


def _infos(leaves: list[Leaf], tensors: list[Traced], sizes: _Sizes) -> list[TensorInfo]:
    infos = []
    for leaf, tensor in zip(leaves, tensors, strict=True):
        if leaf.spec is not None and leaf.spec.dtype not in (None, tensor.dtype):
            expected = leaf.spec.dtype
            raise diagnostic(
                "TSR1302",
                f"argument '{leaf.name}': expected {expected.name if expected else ''}, got {tensor.dtype.name}",
                help=f"cast it: x.cast(tessera.{expected.name if expected else ''})",
            )
        infos.append(TensorInfo(leaf.name, tensor.dtype, sizes.shape(leaf, tensor)))
    return infos


def _key(function: Any, flat: Mapping[str, Any], infos: list[TensorInfo], sizes: _Sizes) -> Any:
    structure = []
    for pairs, node in flat.values():
        statics = tuple((repr(leaf.value), type(leaf.value)) for _, leaf in pairs if isinstance(leaf, Static))
        structure.append((repr(number_leaves(node, [leaf for _, leaf in pairs], 0)[0]), statics))
    types = tuple((info.dtype.name, str(info.shape)) for info in infos)
    facts = tuple((s.name, s.min, s.max, s.multiple_of) for s in sizes.values)
    return function, tuple(structure), types, facts, current_policy()


def _trace(
    declaration: Declaration,
    body: Callable[..., Any],
    bound: Mapping[str, Any],
    leaves: list[Leaf],
    infos: list[TensorInfo],
    sizes: _Sizes,
) -> Callee:
    scope = sizes.callee
    frames = [declaration.frame] if declaration.frame else []
    scope.builder = FunctionBuilder(scope.module.builder, scope.name, frames, private=True)
    with scope.builder.erased_on_error():
        symbols = list(sizes.values)
        for symbol in symbols:
            scope.builder.index_argument(symbol)
        tensors = {}
        for leaf, info in zip(leaves, infos, strict=True):
            value = scope.builder.argument(info.shape, info.dtype)
            tensor = tensors[id(leaf)] = Traced(value, info.shape, info.dtype, scope)
            tensor.origin = tensor
            scope.builder.bind_shape(value, info.shape)
        with enter(scope):
            result = call_body(body, declaration, bound, tensors)
            outputs, result_tree, _ = finish_results(result, declaration, scope, leaves, infos, sizes.inner)
        scope.builder.finish([x.value for x in outputs], [{} for _ in outputs], entry=False)
    weights = [weight.array for weight in scope.weights.values()]
    numbers = {id(tensor): number for number, tensor in enumerate(tensors.values())}
    origins = [numbers.get(id(x.origin)) for x in outputs]
    return Callee(scope.builder, symbols, outputs, result_tree, scope.guards, weights, origins)


def _emit_call(callee: Callee, tensors: list[Traced], values: Mapping[Symbol, SizeLike]) -> Any:
    caller = active_scope()
    if caller.leading is not None and any([caller.leading.leads(x.shape) for x in tensors]):
        raise caller.leading.refusal("a call of a function")
    to_caller = substitution(values)
    operands = [caller.builder.index(size) for size in values.values()]
    operands += [x.value for x in (*tensors, *map(lift, callee.weights))]
    types = [(tuple(dims.substitute(s, to_caller) for s in x.shape), x.dtype) for x in callee.results]
    for guard in callee.guards:
        left, right = dims.substitute(guard.left, to_caller), dims.substitute(guard.right, to_caller)
        if caller.proven_equal(left, right) is False:
            raise diagnostic("TSR1106", f"{guard.message}, got {left} and {right}", note=f"asked for at {guard.source}")
        if not caller.proven_equal(left, right):
            caller.guards.append(Guard(left, right, guard.message, guard.source))
    made = caller.builder.call(
        callee.builder, operands, [(x.shape, x.dtype) for x in callee.results], list(user_frames())
    )
    results = [Traced(value, *type_, caller) for value, type_ in zip(made, types, strict=True)]
    for index, (result, inner) in enumerate(zip(results, callee.results, strict=True)):
        result.pinned = inner.pinned
        origin = callee.origins[index]
        result.origin = None if origin is None else tensors[origin].origin
        results[index] = _retype(result, inner)
    return tree.unflatten(callee.result_tree, results)


def _retype(result: Traced, inner: Traced) -> Traced:
    """A size that the callee saw as a symbol may be a number to the caller: say so in the type."""
    if [isinstance(s, Size) for s in result.shape] == [isinstance(s, Size) for s in inner.shape]:
        return result
    from tessera.frontend.traced import emit_sized

    return emit_sized("reshape", [result], result.shape, result.dtype)
