# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``@tessera.on_mesh``: one program that every rank of a mesh runs on its part of the data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tessera.frontend import Function, as_function
from tessera.frontend.mesh import Mesh
from tessera.frontend.source import diagnostic


def on_mesh(mesh: Mesh, *, partition: bool = False) -> Callable[[Any], Function[..., Any]]:
    """Make a function run on a mesh, every rank on its own part of the arrays.

    The body sees a rank's part: for ``x: MeshTensor["B", "D", ShardSpec(None, "model")]`` the sizes ``B`` and ``D``
    divided by the number of ranks along "model". Ranks meet in collective operations, ``tessera.mesh_reduce`` and the
    others. A parameter with a plain ``Tensor`` annotation has these very sizes on every rank.

    Parameters
    ----------
    mesh
        The ranks. The artifact holds the mesh, and every rank runs the same artifact.
    partition
        The body is for whole tensors, as without a mesh. The compiler divides it by the ``ShardSpec`` of its arguments
        and weights, and finds the collectives. The result is divided as its annotation says, or else as it comes out.

    Returns
    -------
    callable
        A decorator for a Python function, one made by ``@tessera.function``, or a module's instance.

    Raises
    ------
    MeshError
        If ``mesh`` is none.

    Examples
    --------
    >>> @tessera.on_mesh(mesh)
    ... def average(x: MeshTensor["B", "D"]) -> MeshTensor["B", "D"]:
    ...     return tessera.mesh_reduce(x, axis="data", op="mean")
    """
    if not isinstance(mesh, Mesh):
        raise diagnostic(
            "TSR1601",
            f"@tessera.on_mesh: expected a mesh, got {mesh!r:.60}",
            help="write @tessera.on_mesh(tessera.Mesh(devices, axis_names))",
        )
    local_names = dict(sys._getframe(1).f_locals)

    def place(target: Any) -> Function[..., Any]:
        return as_function(target, local_names).on_mesh(mesh, partition)

    return place
