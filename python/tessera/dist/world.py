# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where this process stands among those that a launcher started, and how long they wait for each other."""

from __future__ import annotations

__all__ = ["local_rank", "rank", "set_timeout", "timeout", "world_size"]


def rank() -> int:
    """The number of this process among those of its launcher; 0 without one.

    It is read from the environment: ``TESSERA_RANK`` and ``TESSERA_WORLD_SIZE``, or what ``tessera launch``, mpiexec,
    torchrun or srun set.

    Raises
    ------
    MeshError
        If the variables are malformed or contradict each other.
    """
    from tessera import _runtime

    return _runtime.rank()


def world_size() -> int:
    """How many processes the launcher started; 1 without one.

    Raises
    ------
    MeshError
        If the variables that say so are malformed or contradict each other.
    """
    from tessera import _runtime

    return _runtime.world_size()


def local_rank() -> int:
    """The number of this process among those on its machine: the GPU to use, where each has one.

    Raises
    ------
    MeshError
        If the variables that say so are malformed or contradict each other.
    """
    from tessera import _runtime

    return _runtime.local_rank()


def timeout() -> float:
    """Seconds that a rank waits for the others before it raises an error: 300, or ``TESSERA_MESH_TIMEOUT``.

    Raises
    ------
    MeshError
        If the variable is no number above 0.
    """
    from tessera import _runtime

    return _runtime.mesh_timeout()


def set_timeout(seconds: float) -> None:
    """Set how long this rank waits for the others, from the next wait on.

    Raises
    ------
    MeshError
        If ``seconds`` is not a number above 0.
    """
    from tessera import _runtime

    _runtime.set_mesh_timeout(seconds)
