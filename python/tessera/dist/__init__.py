# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs on several ranks: meshes, shardings, and the functions that run on them."""

from tessera.dist.arrays import device_put, gather
from tessera.dist.cluster import CLUSTERS, Cluster, Link
from tessera.dist.decorate import on_mesh
from tessera.dist.scaling import Forecast, explain
from tessera.dist.world import local_rank, rank, set_timeout, timeout, world_size
from tessera.frontend.mesh import Mesh, ShardSpec
from tessera.frontend.tensor import MeshTensor

__all__ = [
    "CLUSTERS",
    "Cluster",
    "Forecast",
    "Link",
    "Mesh",
    "MeshTensor",
    "ShardSpec",
    "device_put",
    "explain",
    "gather",
    "local_rank",
    "on_mesh",
    "rank",
    "set_timeout",
    "timeout",
    "world_size",
]
