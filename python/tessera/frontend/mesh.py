# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Grids of ranks, and how a tensor is divided over one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tessera.frontend.source import diagnostic

#: One mesh axis, or several that count as one, the last fastest.
Axes: TypeAlias = "str | tuple[str, ...]"


class Mesh:
    """A grid of ranks with named axes, in C order: the last axis is the fastest.

    Parameters
    ----------
    devices
        The rank at each place: an array of the mesh's shape that holds each of 0 to n - 1 once.
    axis_names
        A name for each dimension of ``devices``.

    Raises
    ------
    MeshError
        If the ranks are not those, or the names are not one for each dimension.

    Examples
    --------
    >>> mesh = tessera.Mesh(devices=np.arange(16).reshape(2, 4, 2), axis_names=["data", "model", "pipeline"])
    >>> mesh.axis_size("model")
    4
    """

    def __init__(self, devices: Any, axis_names: Sequence[str]) -> None:
        ranks = np.asarray(devices)
        names = tuple(axis_names)
        if ranks.ndim == 0 or len(names) != ranks.ndim:
            raise diagnostic(
                "TSR1601",
                f"Mesh: expected a name for each dimension of devices, got {len(names)} for {ranks.ndim}",
                help="write Mesh(devices=np.arange(8).reshape(2, 4), axis_names=['data', 'model'])",
            )
        if len(set(names)) != len(names) or not all(isinstance(name, str) and name.isidentifier() for name in names):
            raise diagnostic("TSR1601", f"Mesh: expected distinct identifiers as axis names, got {list(names)}")
        if ranks.size == 0 or sorted(ranks.reshape(-1).tolist()) != list(range(ranks.size)):
            raise diagnostic(
                "TSR1601",
                f"Mesh: expected devices to hold each rank from 0 to {max(ranks.size - 1, 0)} once, "
                f"got {ranks.reshape(-1).tolist()!r:.80}",
            )
        self.devices = ranks.astype(np.int64)
        self.devices.flags.writeable = False
        self.axis_names = names

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.devices.shape

    @property
    def size(self) -> int:
        """The number of ranks."""
        return int(self.devices.size)

    def axis_size(self, axis: Axes) -> int:
        """The number of ranks along an axis, or in a group over several."""
        return math.prod(self.shape[self.axis(name)] for name in axis_tuple(axis))

    def axis(self, name: str) -> int:
        """The place of an axis among the mesh's.

        Raises
        ------
        MeshError
            If the mesh has no axis of this name.
        """
        if name not in self.axis_names:
            raise diagnostic(
                "TSR1602", f"mesh axis: expected one of {', '.join(map(repr, self.axis_names))}, got {name!r}"
            )
        return self.axis_names.index(name)

    @property
    def rank(self) -> int:
        """The rank of this process, as the launcher numbered it; 0 without one."""
        from tessera.dist.world import rank

        return rank()

    @property
    def coords(self) -> tuple[int, ...]:
        """Where this process stands, along each axis.

        Raises
        ------
        MeshError
            If it is not on the mesh.
        """
        places = np.argwhere(self.devices == self.rank)
        if len(places) == 0:
            raise diagnostic("TSR1601", f"Mesh: expected a rank below {self.size}, got rank {self.rank}")
        return tuple(int(index) for index in places[0])

    def part(self, shape: Sequence[int], spec: ShardSpec) -> tuple[slice, ...]:
        """Where this rank's part of an array lies in the whole.

        Raises
        ------
        MeshError
            If an axis does not divide the dimension that it cuts, or this process is not on the mesh.
        """
        spec.check(len(shape), self, "array")
        coords, slices = self.coords, []
        for dim, size in enumerate(shape):
            count, index = 1, 0
            for name in spec.dim(dim):
                axis = self.axis(name)
                count, index = count * self.shape[axis], index * self.shape[axis] + coords[axis]
            if size % count:
                raise diagnostic("TSR1603", f"array: dimension {dim}: expected a multiple of {count}, got {size}")
            slices.append(slice(index * (size // count), (index + 1) * (size // count)))
        return tuple(slices)

    def whole(self, shape: Sequence[int], spec: ShardSpec) -> tuple[int, ...]:
        """The shape of the array of which ranks have parts of this shape."""
        return tuple(size * spec.parts(dim, self) for dim, size in enumerate(shape))

    @staticmethod
    def from_manifest(entry: Mapping[str, Any]) -> Mesh:
        """The mesh that a manifest's entry has."""
        return Mesh(np.reshape(entry["devices"], entry["shape"]), entry["axes"])

    def to_manifest(self) -> dict[str, Any]:
        """The mesh as a manifest's entry has it."""
        return {
            "shape": list(self.shape),
            "axes": list(self.axis_names),
            "devices": self.devices.reshape(-1).tolist(),
        }

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mesh)
            and self.axis_names == other.axis_names
            and np.array_equal(self.devices, other.devices)
        )

    def __hash__(self) -> int:
        return hash((self.axis_names, self.shape, self.devices.tobytes()))

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}={size}" for name, size in zip(self.axis_names, self.shape, strict=True))
        return f"Mesh({axes})"


@dataclass(frozen=True, init=False)
class ShardSpec:
    """How a tensor is divided: for each dimension the mesh axis, or axes, along which it is cut; None where it is not.

    Dimensions after those named are not cut. ``ShardSpec("data", None, "model")`` cuts dimension 0 along the axis
    "data" and dimension 2 along "model"; ``ShardSpec()`` gives every rank all of the tensor.

    Raises
    ------
    MeshError
        If an entry is neither, or an axis cuts twice.
    """

    axes: tuple[tuple[str, ...], ...]

    def __init__(self, *axes: Axes | None) -> None:
        for entry in axes:
            names = entry if isinstance(entry, tuple) else (entry,)
            if entry is not None and not all(isinstance(name, str) for name in names):
                raise diagnostic("TSR1601", f"ShardSpec: expected axis names, tuples of them, or None, got {entry!r}")
        cut = tuple(() if entry is None else axis_tuple(entry) for entry in axes)
        used = [name for names in cut for name in names]
        if len(set(used)) != len(used):
            raise diagnostic("TSR1601", f"ShardSpec: expected each mesh axis to cut one dimension, got {list(axes)}")
        while cut and not cut[-1]:
            cut = cut[:-1]
        object.__setattr__(self, "axes", cut)

    def dim(self, dim: int) -> tuple[str, ...]:
        """The axes that cut a dimension."""
        return self.axes[dim] if dim < len(self.axes) else ()

    def parts(self, dim: int, mesh: Mesh) -> int:
        """Into how many parts a dimension is cut."""
        return mesh.axis_size(self.dim(dim))

    def check(self, rank: int, mesh: Mesh, what: str) -> None:
        """Refuse axes that the mesh lacks, and more dimensions than the tensor has."""
        if len(self.axes) > rank:
            raise diagnostic("TSR1603", f"{what}: expected a ShardSpec of at most {rank} dimensions, got {self}")
        for names in self.axes:
            for name in names:
                mesh.axis(name)

    @staticmethod
    def from_manifest(axes: Iterable[Iterable[str]]) -> ShardSpec:
        """The sharding that a manifest has for a value."""
        return ShardSpec(*(tuple(names) or None for names in axes))

    def to_manifest(self, rank: int) -> list[list[str]]:
        """The axes of each dimension."""
        return [list(self.dim(dim)) for dim in range(rank)]

    def __repr__(self) -> str:
        shown = [None if not names else names[0] if len(names) == 1 else names for names in self.axes]
        return f"ShardSpec({', '.join(map(repr, shown))})"


def axis_tuple(axis: Axes | Iterable[str]) -> tuple[str, ...]:
    """Axes as a tuple of names."""
    return (axis,) if isinstance(axis, str) else tuple(axis)
