# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writing MLIR: the only module of the frontend that touches the bindings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tessera.dtypes import DType
from tessera.errors import CompileError
from tessera.frontend.dims import Size, SizeLike, expression
from tessera.frontend.expressions import Expression, Symbol
from tessera.frontend.mesh import Mesh, ShardSpec
from tessera.frontend.source import Frame

#: A value in the IR: a tensor, or an index.
Value: TypeAlias = Any
#: Shape and dtype of a tensor.
TensorType: TypeAlias = "tuple[tuple[SizeLike, ...], DType]"

#: ``tessera._mlir.ir``, imported when the first module is built: loading an artifact needs no compiler.
ir: Any = None

_ARITH = {"+": "addi", "-": "subi", "*": "muli", "//": "floordivsi", "%": "remsi", "max": "maxsi", "min": "minsi"}


class ModuleBuilder:
    """A module under construction, with a context of its own."""

    def __init__(self) -> None:
        global ir
        if ir is None:
            from tessera._mlir import ir as bindings

            ir = bindings
        self.context = ir.Context()
        self._types: dict[tuple[tuple[int | None, ...], str], Any] = {}
        self._names: set[str] = set()
        self._grid: Any = None
        with self.context:
            self.unknown = ir.Location.unknown()
            self.module = ir.Module.create(self.unknown)
            self.index_type = ir.IndexType.get()

    def unique_name(self, name: str) -> str:
        """A symbol name that no function of the module has yet."""
        name = "".join(c if c.isalnum() or c in "_.$" else "_" for c in name)
        candidate, count = name, 0
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def tensor_type(self, shape: Sequence[SizeLike], dtype: DType) -> Any:
        key = tuple(None if isinstance(size, Size) else size for size in shape), dtype.mlir
        if key not in self._types:
            dynamic = ir.ShapedType.get_dynamic_size()
            with self.context:
                sizes = [dynamic if size is None else size for size in key[0]]
                self._types[key] = ir.RankedTensorType.get(sizes, ir.Type.parse(dtype.mlir), loc=self.unknown)
        return self._types[key]

    def location(self, frames: Sequence[Frame]) -> Any:
        """The innermost frame as a named file position, called from the others."""
        if not frames:
            return self.unknown
        with self.context:
            places = [
                ir.Location.name(
                    f.function,
                    childLoc=ir.Location.file(f.file, f.line, f.column + 1, f.end_line, max(f.end_column, 1)),
                )
                for f in frames
            ]
            return places[0] if len(places) == 1 else ir.Location.callsite(places[0], places[1:])

    def attribute(self, value: Any) -> Any:
        """A Python value as an attribute; ``True`` is a unit attribute, an int is i64, a float is f64."""
        if value is True:
            return ir.UnitAttr.get(self.context)
        if isinstance(value, str):
            return ir.StringAttr.get(value, self.context)
        if isinstance(value, float):
            return ir.FloatAttr.get_f64(value, context=self.context)
        if isinstance(value, int):
            return ir.IntegerAttr.get(ir.IntegerType.get_signless(64, self.context), value)
        if isinstance(value, (tuple, list)):
            return ir.DenseI64ArrayAttr.get(list(value), self.context)
        return value

    def dense(self, array: np.ndarray[Any, Any], dtype: DType) -> Any:
        """An array of this dtype as an attribute, bit for bit."""
        array = np.asarray(array, order="C")
        if dtype.is_bool:
            bits: Any = np.packbits(array.reshape(-1), bitorder="little")
            if array.size and (array.all() or not array.any()):
                bits = np.array([255 if array.all() else 0], np.uint8)  # one byte is a splat
        else:
            bits = array.view(f"u{dtype.itemsize}")
        with self.context:
            return ir.DenseElementsAttr.get(bits, type=ir.Type.parse(dtype.mlir), shape=list(array.shape))

    def grid(self, mesh: Mesh) -> Any:
        """A reference to the mesh as upstream's ``shard.grid``, which the module gets on first use."""
        if self._grid is None:
            with self.context:
                self._grid = ir.FlatSymbolRefAttr.get(self.unique_name("mesh"))
                ir.Operation.create(
                    "shard.grid",
                    attributes={
                        "sym_name": ir.StringAttr.get(self._grid.value),
                        "shape": ir.DenseI64ArrayAttr.get(list(mesh.shape)),
                        "tessera.axes": ir.ArrayAttr.get([ir.StringAttr.get(name) for name in mesh.axis_names]),
                    },
                    loc=self.unknown,
                    ip=ir.InsertionPoint.at_block_begin(self.module.body),
                )
        return self._grid

    def axes(self, mesh: Mesh, names: Sequence[str]) -> Any:
        """Mesh axes by number, as collectives take them."""
        return self.parse_attribute(f"array<i16: {', '.join(str(mesh.axis(name)) for name in names)}>")

    def parse_attribute(self, text: str) -> Any:
        """An attribute that Python's bindings have no class for."""
        return ir.Attribute.parse(text, self.context)

    def verify(self) -> None:
        """Raise ``CompileError`` if the IR is invalid, which would be a bug of the frontend."""
        try:
            self.module.operation.verify()
        except ir.MLIRError as error:
            raise CompileError(f"[TSR4001] the frontend made invalid IR; please report this: {error}") from None


class FunctionBuilder:
    """A function under construction. Operations go to the end of the current block; sizes to the function's start."""

    def __init__(self, module: ModuleBuilder, name: str, frames: Sequence[Frame], private: bool) -> None:
        self.module = module
        self.name = module.unique_name(name)
        self.location = module.location(frames)
        self._arguments: list[dict[str, Any]] = []
        self._indices: dict[str, Value] = {}
        self._last_size: Any = None
        self._scratch: list[Any] = []
        with module.context, self.location:
            self._function = ir.Operation.create(
                "func.func",
                attributes={
                    "sym_name": ir.StringAttr.get(self.name),
                    "function_type": ir.TypeAttr.get(ir.FunctionType.get([], [])),
                    **({"sym_visibility": ir.StringAttr.get("private")} if private else {}),
                },
                regions=1,
                ip=ir.InsertionPoint(module.module.body),
            )
            self._entry = self._function.regions[0].blocks.append()
        self._blocks = [self._entry]

    # -- the function's frame ----------------------------------------------------------------------------------------

    def argument(self, shape: Sequence[SizeLike], dtype: DType, attributes: Mapping[str, Any] | None = None) -> Value:
        """Add a tensor argument."""
        return self._argument(self.module.tensor_type(shape, dtype), attributes or {})

    def index_argument(self, symbol: Symbol) -> None:
        """Add an index argument that holds a symbol."""
        self._indices[repr(symbol.name)] = self._argument(self.module.index_type, {})

    def _argument(self, type_: Any, attributes: Mapping[str, Any]) -> Value:
        self._arguments.append(dict(attributes))
        return self._entry.add_argument(type_, self.location)

    def symbol(self, symbol: Symbol) -> None:
        """Declare a symbol of an entry function."""
        facts: dict[str, Any] = {"name": symbol.name}
        if symbol.min:
            facts["min"] = symbol.min
        if symbol.max is not None:
            facts["max"] = symbol.max
        if symbol.multiple_of != 1:
            facts["multiple_of"] = symbol.multiple_of
        self._indices[repr(symbol.name)] = self._size_op("tessera.symbol", [], facts)

    def bind_shape(self, value: Value, shape: Sequence[SizeLike]) -> None:
        """Tie an argument's dynamic dimensions to sizes."""
        if sizes := self.dynamic_sizes(shape):
            self._size_op("tessera.bind_shape", [value, *sizes], {}, result=False)

    def finish(
        self,
        outputs: Sequence[Value],
        result_attributes: Sequence[Mapping[str, Any]],
        entry: bool,
        partition: bool = False,
    ) -> None:
        """Return ``outputs`` and complete the function."""
        self.op("func.return", outputs, [])
        with self.module.context:
            types = [argument.type for argument in self._entry.arguments], [value.type for value in outputs]
            attributes = self._function.attributes
            attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(*types))
            for key, rows in (("arg_attrs", self._arguments), ("res_attrs", result_attributes)):
                if any(rows):
                    attributes[key] = ir.ArrayAttr.get([self._dictionary(row) for row in rows])
            if entry:
                attributes["tessera.entry"] = ir.UnitAttr.get()
            if partition:
                attributes["tessera.partition"] = ir.UnitAttr.get()

    @contextlib.contextmanager
    def erased_on_error(self) -> Iterator[None]:
        """Remove the function if tracing it fails.

        MLIR insists that users go before what they use, which a garbage collector would not know: blocks under
        construction first, innermost first, then the function.
        """
        try:
            yield
        except BaseException:
            for scratch in reversed(self._scratch):
                scratch.erase()
            self._function.erase()
            raise
        finally:
            self._scratch.clear()

    def _dictionary(self, row: Mapping[str, Any]) -> Any:
        return ir.DictAttr.get({key: self.module.attribute(value) for key, value in row.items()})

    # -- sizes -------------------------------------------------------------------------------------------------------

    def dynamic_sizes(self, shape: Sequence[SizeLike]) -> list[Value]:
        """Index values of the sizes that are not known numbers, in order."""
        return [self.index(size) for size in shape if isinstance(size, Size)]

    def index(self, size: SizeLike) -> Value:
        """The index value of a size; each expression is computed once, at the function's start."""
        return self._index(expression(size))

    def _index(self, expr: Expression) -> Value:
        key = repr(expr)
        if key not in self._indices:
            if isinstance(expr, int):
                value = ir.IntegerAttr.get(self.module.index_type, expr)
                self._indices[key] = self._size_op("arith.constant", [], {"value": value})
            else:
                assert isinstance(expr, list), f"symbol {expr} is not one of function {self.name}"
                operands = [self._index(side) for side in expr[1:]]
                self._indices[key] = self._size_op(f"arith.{_ARITH[expr[0]]}", operands, {})
        return self._indices[key]

    def _size_op(
        self, name: str, operands: Sequence[Value], attributes: Mapping[str, Any], result: bool = True
    ) -> Value | None:
        after = self._last_size
        ip = ir.InsertionPoint.at_block_begin(self._entry) if after is None else ir.InsertionPoint.after(after)
        self._last_size = ir.Operation.create(
            name,
            results=[self.module.index_type] if result else [],
            operands=list(operands),
            attributes={key: self.module.attribute(value) for key, value in attributes.items()},
            loc=self.location,
            ip=ip,
        )
        return self._last_size.results[0] if result else None

    def shard(self, value: Value, mesh: Mesh, spec: ShardSpec, for_users: bool = False) -> Value:
        """Say how ranks divide a tensor; ``for_users``, how those that read it want it."""
        module = self.module
        lists = ", ".join(f"[{', '.join(str(mesh.axis(name)) for name in names)}]" for names in spec.axes)
        none = module.parse_attribute("array<i64>")
        with module.context, self.location:
            ip = ir.InsertionPoint(self._blocks[-1])
            sharding = ir.Operation.create(
                "shard.sharding",
                results=[ir.Type.parse("!shard.sharding")],
                attributes={
                    "grid": module.grid(mesh),
                    "split_axes": module.parse_attribute(f"#shard<axisarray[{lists or '[]'}]>"),
                    "static_halo_sizes": none,
                    "static_sharded_dims_offsets": none,
                    "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0]),
                },
                ip=ip,
            )
            return ir.Operation.create(
                "shard.shard",
                results=[value.type],
                operands=[value, sharding.results[0]],
                attributes={"annotate_for_users": ir.UnitAttr.get()} if for_users else {},
                ip=ip,
            ).results[0]

    def axis_index(self, mesh: Mesh, axis: str) -> Value:
        """The place of this rank along a mesh axis."""
        key = f"index of {axis}"
        if key not in self._indices:
            attributes = {"grid": self.module.grid(mesh), "axes": self.module.axes(mesh, [axis])}
            self._indices[key] = self._size_op("shard.process_multi_index", [], attributes)
        return self._indices[key]

    # -- operations --------------------------------------------------------------------------------------------------

    def op(
        self,
        name: str,
        operands: Sequence[Value],
        results: Sequence[TensorType],
        attributes: Mapping[str, Any] | None = None,
        *,
        segments: Sequence[int] = (),
        frames: Sequence[Frame] | None = None,
        blocks: Sequence[Any] = (),
    ) -> list[Value]:
        """Append an operation and return its results.

        Parameters
        ----------
        name, operands, results, attributes
            The operation, with types for its results and Python values for its attributes (see ``attribute``).
        segments
            The lengths of its operand groups, for an operation that has several of variable length.
        frames
            The user's position, innermost first; that of the function if None.
        blocks
            One for each region.
        """
        attributes = {key: self.module.attribute(value) for key, value in (attributes or {}).items()}
        if segments:
            attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(list(segments), self.module.context)
        operation = ir.Operation.create(
            name,
            results=[self.module.tensor_type(*result) for result in results],
            operands=list(operands),
            attributes=attributes,
            regions=len(blocks),
            loc=self.location if frames is None else self.module.location(frames),
            ip=ir.InsertionPoint(self._blocks[-1]),
        )
        for region, block in zip(operation.regions, blocks, strict=True):
            block.append_to(region)
        return list(operation.results)

    def call(
        self, callee: FunctionBuilder, operands: Sequence[Value], results: Sequence[TensorType], frames: Sequence[Frame]
    ) -> list[Value]:
        """Append a call of another function of the module."""
        name = ir.FlatSymbolRefAttr.get(callee.name, self.module.context)
        return self.op("func.call", operands, results, {"callee": name}, frames=frames)

    @contextlib.contextmanager
    def block(self, arguments: Sequence[TensorType]) -> Iterator[Any]:
        """Collect the operations of the ``with`` body in a block of their own, for ``op(blocks=...)``."""
        with self.module.context, self.location:
            # A block lives in a region: a scratch operation holds it until the real one takes it over.
            scratch = ir.Operation.create("builtin.unrealized_conversion_cast", regions=1)
            types = [self.module.tensor_type(*argument) for argument in arguments]
            block = scratch.regions[0].blocks.append(*types, arg_locs=[self.location] * len(types))
        self._blocks.append(block)
        self._scratch.append(scratch)
        try:
            yield block
        finally:
            self._blocks.pop()

    def yield_(self, values: Sequence[Value]) -> None:
        """End the current block."""
        self.op("tessera.yield", values, [])
