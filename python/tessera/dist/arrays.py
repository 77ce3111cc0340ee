# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From whole arrays to the ranks' parts, and back."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tessera.frontend import Function
from tessera.frontend.mesh import Mesh, ShardSpec


def device_put(array: Any, mesh: Mesh, spec: ShardSpec) -> Any:
    """Take this rank's part of an array, contiguous, in the caller's framework.

    Parameters
    ----------
    array
        The whole array, the same on every rank: of NumPy, or of another library that slices as NumPy does.
    mesh, spec
        The ranks, and how they divide the array.

    Raises
    ------
    MeshError
        If an axis does not divide the dimension that it cuts, or this process is not on the mesh.
    """
    part = array[mesh.part(array.shape, spec)]
    return part.contiguous() if hasattr(part, "contiguous") else np.asarray(part, order="C")


def gather(array: Any, mesh: Mesh, spec: ShardSpec) -> Any:
    """The whole array, on every rank, of which each gives its part. All ranks of the mesh have to call it.

    Parameters
    ----------
    array
        This rank's part, on the CPU or a GPU.
    mesh, spec
        The ranks, and how they divide the array.

    Raises
    ------
    MeshError
        If the mesh has no such axis, or a rank fails.
    """
    spec.check(len(array.shape), mesh, "array")
    return _gatherer(mesh, spec)(array)


@functools.lru_cache(maxsize=256)
def _gatherer(mesh: Mesh, spec: ShardSpec) -> Function[..., Any]:
    import tessera

    def gather(x: Any) -> Any:
        for dim, names in enumerate(spec.axes):
            if names:
                x = tessera.all_gather(x, names, dim)
        return x

    return Function(gather, mesh=mesh)
