# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tracing: run the user's function on tensors that record what is done to them."""

from __future__ import annotations

import dataclasses
import difflib
import dis
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from tessera import dtypes, tree
from tessera.dtypes import DType, array_dtype, as_dtype
from tessera.errors import TesseraError
from tessera.frontend import dims
from tessera.frontend.annotations import TensorSpec
from tessera.frontend.builder import FunctionBuilder, ModuleBuilder
from tessera.frontend.declaration import MISSING, Declaration, Leaf, Static, map_tree
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.expressions import Dim, Symbol, evaluate
from tessera.frontend.leading import Leading
from tessera.frontend.mesh import Mesh
from tessera.frontend.promotion import Policy, use_policy
from tessera.frontend.scope import ModuleState, Scope, enter
from tessera.frontend.signature import Signature, TensorInfo, number_leaves
from tessera.frontend.source import Frame, diagnostic, state
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Traced, cast, emit_sized, format_shape, lift

if TYPE_CHECKING:
    from tessera.frontend.function import Function


@dataclass
class TraceSpec:
    """What a function is traced for.

    Attributes
    ----------
    dims
        What is known of symbols: an int, or a range. ``"..."``: the number of leading dimensions.
    dtype
        The dtype of tensors for which nothing else says it.
    dtypes
        Dtypes by argument name; naming an optional tensor makes it present.
    static
        Values of compile-time constants by parameter.
    args, kwargs
        Example arguments: they give dtypes, ranks and the structure of trees. A tensor parameter without an annotation
        takes the example's exact shape. A dict for ``args`` counts as ``kwargs``.
    policy
        The numeric policy, if not the one in force.
    name
        The entry's name, if not the function's.
    lenient
        Ignore names in ``dims``, ``dtypes`` and ``static`` that the function doesn't have: there are several entries.
    """

    dims: Mapping[str, Any] = field(default_factory=dict)
    dtype: DType = dtypes.f32
    dtypes: Mapping[str, Any] = field(default_factory=dict)
    static: Mapping[str, Any] = field(default_factory=dict)
    args: Sequence[Any] | Mapping[str, Any] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    policy: Policy | None = None
    name: str | None = None
    lenient: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.args, Mapping):
            args: Mapping[str, Any] = self.args
            self.args, self.kwargs = None, {**args, **self.kwargs}


@dataclass
class TracedEntry:
    """A traced entry function.

    Attributes
    ----------
    builder
        Owns the MLIR context; ``module`` lives as long as it does.
    weights
        The closed-over arrays by name, as the function refers to them now.
    """

    name: str
    builder: ModuleBuilder
    signature: Signature
    weights: dict[str, Any]

    @property
    def module(self) -> Any:
        """The MLIR module with the entry and the private functions it calls."""
        return self.builder.module


class _OpenRank(Exception):
    """Nothing says how many dimensions ``"..."`` stands for."""


def trace_entry(function: Function[..., Any], spec: TraceSpec) -> TracedEntry:
    """Trace a function as an entry: see ``frontend.trace``."""
    try:
        return _trace(function, spec, None)
    except _OpenRank:
        _trace(function, spec, 2)
        return _trace(function, spec, 1)


def _trace(function: Function[..., Any], spec: TraceSpec, open_extent: int | None) -> TracedEntry:
    """Trace with as many leading dimensions for an open ``"..."``; see ``tessera.frontend.leading``."""
    declaration, name, weight_names = function.declaration, spec.name or function.name, function.weight_names()
    given = declaration.bind(tuple(spec.args or ()), spec.kwargs) if spec.args or spec.kwargs else {}
    arguments = declaration.arguments(given, set(spec.dtypes), spec.static)
    flat = {key: tree.flatten(value, key) for key, value in arguments.items()}
    leaves = [leaf for pairs, _ in flat.values() for _, leaf in pairs if isinstance(leaf, Leaf)]
    if not spec.lenient:
        _check_names(declaration, spec, leaves, arguments)

    state_ = ModuleState(ModuleBuilder(), weight_names=weight_names, mesh=function.mesh, partition=function.partition)
    for used in weight_names.values():
        state_.used_names[used] = 1
    scope = Scope(state_, name)
    sizes = EntrySizes(scope, spec, declaration, leaves, open_extent)
    infos = [sizes.info(leaf) for leaf in leaves]
    signature = Signature(name, symbols=sizes.used, inputs=infos, mesh=function.mesh)
    _number_parameters(signature, declaration, flat)

    frames = [declaration.frame] if declaration.frame else []
    scope.builder = FunctionBuilder(state_.builder, name, frames, private=False)
    with scope.builder.erased_on_error():
        for symbol in sizes.used:
            scope.builder.symbol(symbol)
        tensors: dict[int, Traced] = {}
        for leaf, info in zip(leaves, infos, strict=True):
            marks = {"tessera.name": info.name} | ({"tessera.donated": True} if info.donated else {})
            value = scope.builder.argument(info.shape, info.dtype, marks)
            scope.builder.bind_shape(value, info.shape)
            if function.mesh is not None and function.partition and leaf.spec is not None and leaf.spec.sharding:
                value = scope.builder.shard(value, function.mesh, leaf.spec.sharding)
            tensor = tensors[id(leaf)] = Traced(value, info.shape, info.dtype, scope)
            tensor.origin = tensor if info.donated else None
        with use_policy(spec.policy or function.policy), enter(scope):
            result = call_body(function.python, declaration, arguments, tensors)
            outputs, signature.output_tree, names = finish_results(result, declaration, scope, leaves, infos, sizes.env)
        aliases = _aliases(declaration, leaves, infos, [tensors[id(leaf)] for leaf in leaves], outputs)
        attributes = [
            {"tessera.name": name or "out"} | ({} if alias is None else {"tessera.alias": alias})
            for name, alias in zip(names, aliases, strict=True)
        ]
        values = [x.value for x in outputs]
        returns = declaration.returns.sharding if isinstance(declaration.returns, TensorSpec) else None
        if function.mesh is not None and function.partition and returns is not None:
            values = [scope.builder.shard(value, function.mesh, returns, for_users=True) for value in values]
        scope.builder.finish(values, attributes, entry=True, partition=function.partition)
    signature.outputs = [
        TensorInfo(
            name, x.dtype, x.shape, alias=alias, sharding=None if returns is None else returns.to_manifest(x.ndim)
        )
        for name, x, alias in zip(names, outputs, aliases, strict=True)
    ]
    signature.guards = scope.guards
    for weight in scope.weights.values():
        sharding = None if weight.sharding is None else weight.sharding.to_manifest(len(weight.shape))
        signature.inputs.append(TensorInfo(weight.name, weight.dtype, weight.shape, kind="weight", sharding=sharding))
    if function.mesh is not None and function.partition:
        signature.inputs = [info.part(function.mesh) for info in signature.inputs]
    state_.builder.verify()
    weights = {weight.name: weight.array for weight in scope.weights.values()}
    return TracedEntry(scope.builder.name, state_.builder, signature, weights)


def _aliases(
    declaration: Declaration, leaves: list[Leaf], infos: list[TensorInfo], tensors: list[Traced], outputs: list[Traced]
) -> list[int | None]:
    """For each result the donated argument that it is, if any."""
    aliases: list[int | None] = [None] * len(outputs)
    for number, (leaf, info, tensor) in enumerate(zip(leaves, infos, tensors, strict=True)):
        if not info.donated:
            continue
        found = [index for index, output in enumerate(outputs) if output.origin is tensor]
        if len(found) != 1 or outputs[found[0]].shape != tensor.shape:
            raise declaration.error(
                "TSR1008",
                f"donated argument '{leaf.name}': expected one result that is its updated value, in its shape, "
                f"got {len(found)}",
                help="return what tessera.scatter makes of it, or take the argument without tessera.donated",
            )
        aliases[found[0]] = number
    return aliases


def _number_parameters(signature: Signature, declaration: Declaration, flat: Mapping[str, Any]) -> None:
    count = 0
    for parameter in declaration.parameters:
        pairs, structure = flat[parameter.name]
        leaves = [leaf for _, leaf in pairs]
        numbered, count = number_leaves(structure, leaves, count)
        signature.parameters.append({"name": parameter.name, "kind": parameter.kind, "tree": numbered})
        for leaf in leaves:
            if isinstance(leaf, Static):
                signature.static[leaf.name] = tree.encode_static(leaf.value)


def _check_names(declaration: Declaration, spec: TraceSpec, leaves: list[Leaf], arguments: Mapping[str, Any]) -> None:
    known = {
        "dims": [*declaration.symbols(), "..."],
        "dtypes": [leaf.name for leaf in leaves],
        "static": list(arguments),
    }
    for option, names in known.items():
        for name in getattr(spec, option):
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                raise declaration.error(
                    "TSR1006",
                    f"{option}: expected one of {', '.join(names) or '(none)'}, got '{name}'",
                    help=f"did you mean '{near[0]}'?" if near else "",
                )


class EntrySizes:
    """Symbols of an entry, and the sizes of its arguments in terms of them."""

    def __init__(
        self,
        scope: Scope,
        spec: TraceSpec,
        declaration: Declaration,
        leaves: Sequence[Leaf],
        open_extent: int | None,
    ) -> None:
        self.scope = scope
        self.spec = spec
        self.declaration = declaration
        self.open_extent = open_extent
        self.env: dict[str, Any] = {}
        self.used: list[Symbol] = []
        self._seen: dict[str, tuple[int, str]] = {}
        self._parts = self._count_parts(leaves)

    def _count_parts(self, leaves: Sequence[Leaf]) -> dict[str, int]:
        """What each symbol is a multiple of, because mesh axes cut dimensions of its size."""
        parts: dict[str, int] = {}
        for leaf in leaves:
            if leaf.spec is None or leaf.spec.sharding is None:
                continue
            mesh = self._mesh(leaf)
            leaf.spec.sharding.check(len(leaf.spec.dims), mesh, f"argument '{leaf.name}'")
            for position, dim in enumerate(leaf.spec.dims):
                if dim.symbol:
                    parts[dim.symbol] = math.lcm(parts.get(dim.symbol, 1), leaf.spec.sharding.parts(position, mesh))
        return parts

    def _mesh(self, leaf: Leaf) -> Mesh:
        mesh = self.scope.module.mesh
        if mesh is None:
            raise self.declaration.error(
                "TSR1604",
                f"argument '{leaf.name}': expected a function on a mesh, got a ShardSpec without one",
                help="decorate the function with @tessera.on_mesh(mesh)",
            )
        return mesh

    def info(self, leaf: Leaf) -> TensorInfo:
        """The name, dtype and shape of an argument."""
        frame = self.declaration.frame
        source, donated = frame.place if frame else "", leaf.spec is not None and leaf.spec.donated
        sharding = leaf.spec.sharding if leaf.spec is not None else None
        return TensorInfo(
            leaf.name,
            self._dtype(leaf),
            self._shape(leaf),
            source=source,
            donated=donated,
            sharding=None if sharding is None or leaf.spec is None else sharding.to_manifest(len(leaf.spec.dims)),
        )

    def _dtype(self, leaf: Leaf) -> DType:
        annotated = leaf.spec.dtype if leaf.spec else None
        example = example_dtype(leaf.value) if leaf.value is not None else None
        named = as_dtype(self.spec.dtypes[leaf.name]) if leaf.name in self.spec.dtypes else None
        for got, source in ((named, "dtypes"), (example, "the array")):
            for expected in (annotated, named):
                if expected is not None and got is not None and got != expected:
                    raise self.declaration.error(
                        "TSR1302", f"argument '{leaf.name}': expected {expected.name}, got {got.name} from {source}"
                    )
        return annotated or named or example or as_dtype(self.spec.dtype)

    def _shape(self, leaf: Leaf) -> tuple[SizeLike, ...]:
        example = None if leaf.value is None else tuple(int(size) for size in np.shape(leaf.value))
        if leaf.spec is None:
            if example is None:
                raise self.declaration.error(
                    "TSR1004",
                    f"argument '{leaf.name}': expected a shape, got the annotation Tensor without one and no example",
                    help='write Tensor["B", "D"], or give example arguments with args=(...)',
                )
            return example
        shape = (*self._leading(leaf, example), *(self._size(leaf, i) for i in range(len(leaf.spec.dims))))
        if example is not None:
            self._check_example(leaf, example, len(shape))
        return shape

    def _leading(self, leaf: Leaf, example: tuple[int, ...] | None) -> tuple[SizeLike, ...]:
        assert leaf.spec is not None
        if not leaf.spec.leading:
            return ()
        if "..." not in self.env:
            extent = self.spec.dims.get("...")
            if extent is None and example is not None:
                extent = max(len(example) - len(leaf.spec.dims), 0)
            if extent is None:
                self.env["..."] = self._open()
                return self.env["..."]  # type: ignore[no-any-return]
            items = extent if isinstance(extent, (tuple, list)) else [None] * extent
            self.env["..."] = tuple(self._symbol(None) if item is None else self._fixed(item) for item in items)
        return self.env["..."]  # type: ignore[no-any-return]

    def _open(self) -> tuple[SizeLike, ...]:
        if self.open_extent is None:
            raise _OpenRank
        names = ["..."] if self.open_extent == 1 else [f"...{i}" for i in range(self.open_extent)]
        sizes = tuple(self._symbol(name) for name in names)
        self.scope.leading = Leading(self.used[-len(names) :])
        return sizes

    def _fixed(self, item: Any) -> SizeLike:
        return item if isinstance(item, int) else self._named(item)

    def _size(self, leaf: Leaf, position: int) -> SizeLike:
        assert leaf.spec is not None
        dim = leaf.spec.dims[position]
        if dim.anonymous:
            return self._symbol(None)
        for name in dim.names():
            self._named(name)
        return shard_size(self.scope, leaf.spec, position, dim.size(self.env), f"argument '{leaf.name}'")

    def _named(self, name: str) -> SizeLike:
        if name not in self.env:
            known = self.spec.dims.get(name)
            if isinstance(known, int):
                self.env[name] = known
            elif known is None or isinstance(known, Dim):
                known = known or Dim()
                multiple = math.lcm(known.multiple_of, self._parts.get(name, 1))
                self.env[name] = self._symbol(name, dataclasses.replace(known, multiple_of=multiple))
            else:
                raise self.declaration.error(
                    "TSR1006", f"dims['{name}']: expected an int or tessera.Dim, got {known!r}"
                )
        return self.env[name]  # type: ignore[no-any-return]

    def _symbol(self, name: str | None, known: Dim = Dim()) -> SizeLike:  # noqa: B008 - it is immutable
        if name is None:
            symbol = self.scope.anonymous()
        else:
            symbol = Symbol(name, known.min, known.max, known.multiple_of, self.scope.id)
        self.used.append(symbol)
        return dims.size_of(symbol)

    def _refused(self, code: str, message: str) -> TesseraError:
        """An error at the caller's line that says where the function is."""
        frame = self.declaration.frame
        note = f"'{self.scope.name}' is defined at {frame.file}:{frame.line}" if frame else ""
        return diagnostic(code, message, note=note)

    def _check_example(self, leaf: Leaf, example: tuple[int, ...], rank: int) -> None:
        assert leaf.spec is not None
        if len(example) != rank:
            raise self._refused(
                "TSR1103",
                f"argument '{leaf.name}': expected rank {rank} {leaf.spec}, got rank {len(example)} "
                f"{format_shape(example)}",
            )
        for position, (dim, size) in enumerate(zip(leaf.spec.dims, example[rank - len(leaf.spec.dims) :], strict=True)):
            expected: int | None = None
            parts = leaf.spec.sharding.parts(position, self._mesh(leaf)) if leaf.spec.sharding is not None else 1
            size *= parts  # what this rank has a part of
            if dim.symbol is not None:
                fixed = self.env[dim.symbol]
                before = (fixed, "dims") if isinstance(fixed, int) else self._seen.get(dim.symbol)
                if before is None:
                    self._seen[dim.symbol] = size, leaf.name
                elif before[0] != size:
                    raise self._refused(
                        "TSR1104",
                        f"argument '{leaf.name}': expected size {before[0]} for '{dim}' (dimension {position}), as in "
                        f"{before[1]}, got {size} in {format_shape(example)}",
                    )
            elif isinstance(dim.expression, int):
                expected = dim.expression
            elif not dim.anonymous and all(name in self._seen for name in dim.names()):
                expected = evaluate(dim.expression, {name: self._seen[name][0] for name in dim.names()})
            if expected is not None and expected != size:
                raise self._refused(
                    "TSR1104",
                    f"argument '{leaf.name}': expected size {expected} for '{dim}' (dimension {position}), "
                    f"got {size} in {format_shape(example)}",
                )


def shard_size(scope: Scope, spec: TensorSpec, position: int, size: SizeLike, what: str) -> SizeLike:
    """The size that a rank's part of an annotated tensor has in a dimension.

    Raises
    ------
    MeshError
        If the dimension cannot be divided so.
    """
    mesh = scope.module.mesh
    if spec.sharding is None or mesh is None:
        return size
    axes = spec.sharding.dim(position)
    where = f"{what}: dimension {position} ({spec.dims[position]}), cut along {', '.join(map(repr, axes))}"
    part = scope.divide(size, mesh.axis_size(axes), where)
    return size if scope.module.partition else part


def example_dtype(value: Any) -> DType:
    """The dtype that an example argument has."""
    dtype = array_dtype(value)
    if dtype is None:
        from tessera.frontend.promotion import result_dtype
        from tessera.frontend.traced import not_a_tensor

        if not isinstance(value, (bool, int, float)):
            raise not_a_tensor(value)
        dtype = result_dtype(type(value))
    return dtype


# -- the user's function ---------------------------------------------------------------------------------------------


def call_body(body: Callable[..., Any], declaration: Declaration, arguments: Mapping[str, Any], tensors: Any) -> Any:
    """Call the user's function with traced tensors in place of leaves."""
    _refuse_outer_writes(body)

    def value(name: str, annotation: Any, leaf: Any) -> Any:
        return tensors[id(leaf)] if isinstance(leaf, Leaf) else leaf.value

    values = {name: map_tree(argument, None, name, value) for name, argument in arguments.items()}
    positional = [values.pop(p.name) for p in declaration.parameters if p.kind == "positional_only"]
    # Frames outside this one belong to whoever started the trace.
    state.boundaries.append(sys._getframe())
    try:
        return body(*positional, **values)
    finally:
        state.boundaries.pop()


def _refuse_outer_writes(body: Any) -> None:
    """A function that assigns a global or outer variable would do so once, while it is traced."""
    code = getattr(getattr(body, "__func__", body), "__code__", None)
    if not isinstance(code, CodeType):
        return
    for instruction in dis.get_instructions(code):
        outer = instruction.opname == "STORE_DEREF" and instruction.argval in code.co_freevars
        if instruction.opname == "STORE_GLOBAL" or outer:
            p = instruction.positions
            line = (p.lineno if p else None) or code.co_firstlineno
            frame = Frame(
                code.co_filename, line, (p and p.col_offset) or 0, line, (p and p.end_col_offset) or 0, code.co_name
            )
            raise diagnostic(
                "TSR1405",
                f"assignment to the {'outer' if outer else 'global'} variable '{instruction.argval}': expected a "
                f"function without side effects, got one that would change it only while it is traced",
                help="return the value, or pass state in and out as arguments and results",
                frames=[frame],
            )


# -- results ---------------------------------------------------------------------------------------------------------


def finish_results(
    result: Any,
    declaration: Declaration,
    scope: Scope,
    leaves: list[Leaf],
    infos: list[TensorInfo],
    env: Mapping[str, Any],
) -> tuple[list[Traced], tree.Tree, list[str]]:
    """The result's tensors, as the return annotation declares them, with their structure and names."""
    if result is None:
        raise declaration.error(
            "TSR1005",
            f"function '{scope.name}': expected it to return a tensor, got None",
            help="add a return statement",
        )
    default = _function_dtype(leaves, infos)
    annotation = object if declaration.returns in (MISSING, Any) else declaration.returns

    def leaf(name: str, annotation: Any, value: Any) -> Any:
        if isinstance(value, (bool, int, float, str, DType)) and not isinstance(annotation, TensorSpec):
            return Static(name, value)
        try:
            tensor = lift(value)
        except TesseraError as error:
            if isinstance(value, Tensor):
                raise
            raise declaration.error(
                "TSR1005",
                f"result {name or 'of ' + scope.name}: expected a tensor or a tree of tensors, "
                f"got {type(value).__name__}",
            ) from error
        spec = annotation if isinstance(annotation, TensorSpec) else None
        if spec is not None:
            tensor = _declared_shape(tensor, spec, name, scope, declaration, env)
        return _declared_dtype(tensor, spec, default, name, declaration)

    mapped = map_tree(result, annotation, "", leaf)
    pairs, structure = tree.flatten(mapped)
    numbered, count = number_leaves(structure, [value for _, value in pairs], 0)
    if count == 0:
        raise declaration.error(
            "TSR1005", f"function '{scope.name}': expected it to return a tensor, got {result!r:.60}"
        )
    tensors = [(name, value) for name, value in pairs if isinstance(value, Traced)]
    return [value for _, value in tensors], numbered, [name for name, _ in tensors]


def _function_dtype(leaves: list[Leaf], infos: list[TensorInfo]) -> DType | None:
    """The dtype of results that nothing else decides: that of the first float argument annotated without one."""
    for leaf, info in zip(leaves, infos, strict=True):
        if info.dtype.is_float and (leaf.spec is None or leaf.spec.dtype is None):
            return info.dtype
    return None


def _declared_dtype(
    tensor: Traced, spec: TensorSpec | None, default: DType | None, name: str, declaration: Declaration
) -> Traced:
    declared = spec.dtype if spec is not None else None
    if declared is not None and declared != tensor.dtype and (declared.kind != tensor.dtype.kind):
        raise declaration.error(
            "TSR1302",
            f"result {name or 'of the function'}: expected {declared.name}, got {tensor.dtype.name}",
            help=f"return x.cast(tessera.{declared.name})",
        )
    if declared is None and spec is not None and tensor.dtype.is_float and not tensor.pinned:
        declared = default
    return cast(tensor, declared) if declared is not None else tensor


def _declared_shape(
    tensor: Traced, spec: TensorSpec, name: str, scope: Scope, declaration: Declaration, env: Mapping[str, Any]
) -> Traced:
    leading = env.get("...", ()) if spec.leading else ()
    result = f"result {name}" if name else "result"
    if len(spec.dims) + len(leading) != tensor.ndim:
        raise declaration.error(
            "TSR1109", f"{result}: expected shape {spec}, got {format_shape(tensor.shape)} of rank {tensor.ndim}"
        )
    if spec.sharding is not None and scope.module.mesh is not None:
        spec.sharding.check(len(spec.dims), scope.module.mesh, result)
    wanted = [
        *leading,
        *(
            None if dim.anonymous else shard_size(scope, spec, position, dim.size(env), result)
            for position, dim in enumerate(spec.dims)
        ),
    ]
    shape = list(tensor.shape)
    for position, (expected, size) in enumerate(zip(wanted, tensor.shape, strict=True)):
        if expected is None:
            continue
        known = scope.proven_equal(expected, size)
        guarded = any(s.anonymous for side in (expected, size) for s in dims.symbols(scope.resolve(side)))
        if known is False or (known is None and not guarded):
            label = spec.dims[position - len(leading)]
            raise declaration.error(
                "TSR1109",
                f"{result}: expected size {label} in dimension {position} of {spec}, got {size} in "
                f"{format_shape(tensor.shape)}",
            )
        if known is None:
            scope.assume_equal(expected, size, f"{result}: dimension {position}: expected size {expected}")
        if isinstance(expected, int) and isinstance(size, Size):
            shape[position] = expected
    if any(isinstance(a, int) != isinstance(b, int) for a, b in zip(shape, tensor.shape, strict=True)):
        tensor = emit_sized("reshape", [tensor], tuple(shape), tensor.dtype)
    return tensor
