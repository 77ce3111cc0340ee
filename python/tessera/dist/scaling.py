# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an artifact's collectives will move and take on a cluster, from its manifest alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.artifact import Artifact, pick_entry
from tessera.dist.cluster import Cluster, find_cluster
from tessera.dist.cost import Placement, Plan, plan
from tessera.dtypes import as_dtype
from tessera.errors import ArgumentError
from tessera.frontend.expressions import Expression, evaluate
from tessera.frontend.mesh import Mesh


@dataclass(frozen=True)
class Forecast:
    """What one collective of an entry does in a call.

    Attributes
    ----------
    kind, axes, dtype, source
        As in the manifest.
    ranks
        How many are in a group.
    runs
        How often a call runs it; None where that depends on data.
    given, got
        Bytes of the arrays that a rank gives to a run, and gets of it; None where they depend on data.
    plan
        How a run would be carried out; None likewise.
    """

    kind: str
    axes: tuple[str, ...]
    dtype: str
    source: str
    ranks: int
    runs: int | None
    given: int | None
    got: int | None
    plan: Plan | None

    @property
    def sent(self) -> int | None:
        """Bytes that a rank sends over links in a run."""
        return None if self.plan is None else self.plan.sent

    @property
    def seconds(self) -> float | None:
        """How long a run takes."""
        return None if self.plan is None else self.plan.seconds

    def total(self, each: float | None) -> float | None:
        """What is so much a run, in all runs of a call."""
        return None if self.runs is None or each is None else self.runs * each


def explain(
    artifact: Artifact, cluster: Cluster | str | os.PathLike[str], /, *, entry: str | None = None, **dims: int
) -> list[Forecast]:
    """Predict what the collectives of an entry point move and take. Runs none of the artifact's code.

    Parameters
    ----------
    artifact
        A compiled or loaded artifact.
    cluster
        The machines: a `Cluster`, the name of one, or a TOML file that describes one (docs/scaling.md).
    entry
        The entry point, where there are several.
    **dims
        Sizes of its symbols.

    Returns
    -------
    list
        A `Forecast` of each collective, in the manifest's order. The model and its sources are in docs/scaling.md.

    Raises
    ------
    MeshError
        If the cluster is unknown, or its description cannot be read.
    ArgumentError
        If the entry is not on a mesh, or a size is missing, or is not one that the entry takes.

    Examples
    --------
    >>> [(row.kind, row.plan.sent) for row in tessera.dist.explain(artifact, "h100-8", B=8)]
    """
    machines = cluster if isinstance(cluster, Cluster) else find_cluster(cluster)
    return forecast(*pick_entry(artifact.manifest, entry), machines, dims)


def forecast(name: str, entry: Mapping[str, Any], cluster: Cluster, dims: Mapping[str, int]) -> list[Forecast]:
    """What `explain` gives, of one entry of a manifest."""
    if "mesh" not in entry:
        raise ArgumentError(f"[TSR4006] {name}: expected an entry on a mesh, got one that a single process runs")
    mesh = Mesh.from_manifest(entry["mesh"])
    try:
        for problem in _problems(entry, dims):
            raise ArgumentError(f"[TSR4006] {name}: {problem}")
        return [_forecast(collective, mesh, cluster, dims) for collective in entry.get("collectives", ())]
    except ZeroDivisionError:
        raise ArgumentError(f"[TSR4006] {name}: a size is divided by zero") from None


def _problems(entry: Mapping[str, Any], dims: Mapping[str, int]) -> Iterator[str]:
    """Why the entry cannot be called with these sizes of its symbols."""
    symbols = {symbol["name"]: symbol for symbol in entry["symbols"]}
    if unknown := dims.keys() - symbols.keys():
        yield f"unknown symbol '{min(unknown)}': expected one of {', '.join(symbols) or '(none)'}"
    if missing := [symbol for symbol in symbols if symbol not in dims]:
        yield f"expected a size of {', '.join(missing)}, got none"
    for symbol, facts in symbols.items():
        low, high, multiple, size = facts["min"], facts["max"], facts["multiple_of"], dims[symbol]
        if size < low or (high is not None and size > high) or size % multiple:
            most = "" if high is None else f" and at most {high}"
            yield f"'{symbol}': expected a multiple of {multiple}, at least {low}{most}, got {size}"
    for guard in entry.get("guards", ()):
        if evaluate(guard["left"], dims) != evaluate(guard["right"], dims):
            yield f"{guard['message']}, at {guard['source']}"


def _forecast(collective: Mapping[str, Any], mesh: Mesh, cluster: Cluster, dims: Mapping[str, int]) -> Forecast:
    kind, axes = collective["kind"], tuple(collective["axes"])
    ranks = mesh.axis_size(axes)
    count, runs = _value(collective.get("count"), dims), _value(collective.get("runs"), dims)
    given = got = chosen = None
    if count is not None:
        piece = count * as_dtype(collective["dtype"]).itemsize
        given = piece * (ranks if kind in ("reduce_scatter", "all_to_all") else 1)
        got = piece * (ranks if kind in ("all_gather", "all_to_all") else 1)
        step = collective.get("offset", 0), collective.get("periodic", True)
        plans = [plan(kind, group, piece, *step) for group in _placements(mesh, axes, cluster)]
        chosen = max(plans, key=lambda made: made.seconds)  # a step of the program waits for the slowest group
    return Forecast(kind, axes, collective["dtype"], collective.get("source", ""), ranks, runs, given, got, chosen)


def _value(expression: Expression | None, dims: Mapping[str, int]) -> int | None:
    return None if expression is None else evaluate(expression, dims)


def _placements(mesh: Mesh, axes: tuple[str, ...], cluster: Cluster) -> set[Placement]:
    """Where the groups along these axes are: one placement for all that lie alike."""
    numbers = [mesh.axis(name) for name in axes]
    nodes = np.moveaxis(mesh.devices // cluster.ranks_per_node, numbers, range(len(axes)))
    found = set()
    for group in nodes.reshape(mesh.axis_size(axes), -1).T.tolist():
        first = {node: place for place, node in reversed(list(enumerate(group)))}
        found.add(Placement(tuple(first[node] for node in group), cluster))
    return found
