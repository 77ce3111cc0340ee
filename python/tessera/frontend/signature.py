# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The signature of a traced function: what a call passes, what it gets back, and the manifest's record of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tessera import tree
from tessera.dtypes import DType
from tessera.frontend import dims
from tessera.frontend.declaration import Static
from tessera.frontend.dims import SizeLike
from tessera.frontend.expressions import Symbol
from tessera.frontend.mesh import Mesh
from tessera.frontend.scope import Guard


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a signature: a rank's own part where ``sharding`` says along which mesh axes each dimension is cut.

    ``alias`` of a result is the donated argument that it is.
    """

    name: str
    dtype: DType
    shape: tuple[SizeLike, ...]
    kind: str = "argument"
    source: str = ""
    donated: bool = False
    alias: int | None = None
    sharding: list[list[str]] | None = None

    def part(self, mesh: Mesh) -> TensorInfo:
        """The tensor that a rank has, of this whole one."""
        if self.sharding is None:
            return self
        shape = (
            dims.floordiv(size, mesh.axis_size(tuple(axes)))
            for size, axes in zip(self.shape, self.sharding, strict=True)
        )
        return replace(self, shape=tuple(shape))

    def to_manifest(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": self.name,
            "dtype": self.dtype.name,
            "shape": [dims.expression(size) for size in self.shape],
            "kind": self.kind,
        }
        if self.kind == "argument":
            row |= {"donated": self.donated, "source": self.source}
        if self.alias is not None:
            row["alias"] = self.alias
        if self.sharding is not None:
            row["sharding"] = self.sharding
        return row


@dataclass
class Signature:
    """What a compiled function takes and gives.

    Attributes
    ----------
    inputs, outputs
        Flat tensors in the order of the compiled code's buffers: arguments, then weights; results.
    parameters, output_tree
        The Python side: how a call's arguments and result are made of the flat tensors (see ``tessera.tree``).
    static
        Compile-time constants by name.
    """

    name: str
    symbols: list[Symbol] = field(default_factory=list)
    inputs: list[TensorInfo] = field(default_factory=list)
    outputs: list[TensorInfo] = field(default_factory=list)
    parameters: list[dict[str, Any]] = field(default_factory=list)
    output_tree: tree.Tree = None
    static: dict[str, Any] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    mesh: Mesh | None = None

    def to_manifest(self) -> dict[str, Any]:
        """The entry of ``manifest.json``, without variants and kernels."""
        return {
            "symbols": [
                {"name": s.name, "min": s.min, "max": s.max, "multiple_of": s.multiple_of} for s in self.symbols
            ],
            "inputs": [info.to_manifest() for info in self.inputs],
            "outputs": [
                {
                    key: value
                    for key, value in info.to_manifest().items()
                    if key in ("name", "dtype", "shape", "alias", "sharding")
                }
                for info in self.outputs
            ],
            "parameters": self.parameters,
            "output_tree": self.output_tree,
            "static": self.static,
            **({"mesh": self.mesh.to_manifest()} if self.mesh is not None else {}),
            "guards": [
                {
                    "left": dims.expression(guard.left),
                    "right": dims.expression(guard.right),
                    "message": guard.message,
                    "source": guard.source,
                }
                for guard in self.guards
            ],
        }

    @cached_property
    def _bind(self) -> Callable[[tuple[Any, ...], Mapping[str, Any]], list[Any]]:
        return tree.binder(self.name, self.parameters)

    def flatten_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The flat argument tensors of a Python call.

        Raises
        ------
        ArgumentError
            If the arguments don't have the structure that was compiled, or a constant has another value.
        """
        return self._bind(tuple(args), kwargs)

    def unflatten_outputs(self, outputs: Sequence[Any]) -> Any:
        """The Python value that a call returns, from the flat result tensors."""
        return tree.unflatten(self.output_tree, outputs)


def number_leaves(node: tree.Tree, leaves: Sequence[Any], start: int) -> tuple[tree.Tree, int]:
    """A tree over tensors only: its leaves counted from ``start``, constants in place.

    Returns the tree and the number after its last leaf.
    """
    if node is None:
        return None, start
    if isinstance(node, int):
        leaf = leaves[node]
        if isinstance(leaf, Static):
            return {"static": tree.encode_static(leaf.value)}, start
        return start, start + 1
    result: dict[str, Any] = {}
    for key, children in node.items():
        if isinstance(children, list):
            items: Any = []
            for child in children:
                child, start = number_leaves(child, leaves, start)
                items.append(child)
        elif isinstance(children, dict):
            items = {}
            for name, child in children.items():
                items[name], start = number_leaves(child, leaves, start)
        else:
            items = children
        result[key] = items
    return result, start
