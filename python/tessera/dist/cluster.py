# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Machines on which ranks run, as a model of cost sees them: links within a node, links between nodes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from tessera.errors import MeshError


@dataclass(frozen=True)
class Link:
    """What carries a rank's messages, both ways at once.

    Attributes
    ----------
    latency
        Seconds that a message takes however short it is.
    bandwidth
        Bytes per second in each direction, for each rank while all send.
    """

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Cluster:
    """Equal nodes, and the library that carries data between their ranks.

    Attributes
    ----------
    ranks_per_node
        Ranks fill the nodes in their order: rank 0 to ``ranks_per_node - 1`` are on the first.
    within, between
        The links of a rank to those of its node, and to other nodes.
    library
        ``"nccl"`` or ``"mpi"``: which algorithms there are to choose from.
    overhead
        Seconds that each collective takes beside its messages.
    """

    ranks_per_node: int
    within: Link
    between: Link
    library: str
    overhead: float = 0.0


# Where the figures are from is in docs/scaling.md.
CLUSTERS: Mapping[str, Cluster] = {
    "h100-8": Cluster(
        ranks_per_node=8,
        within=Link(latency=1.9e-6, bandwidth=18 * 20.6e9),
        between=Link(latency=4.0e-6, bandwidth=48e9),
        library="nccl",
        overhead=14e-6,
    )
}

LIBRARIES = ("nccl", "mpi")


def find_cluster(name: str | os.PathLike[str]) -> Cluster:
    """The cluster of this name, or the one that a TOML file describes.

    Parameters
    ----------
    name
        A key of `CLUSTERS`, or a path that ends in ``.toml``.

    Raises
    ------
    MeshError
        If there is no cluster of this name, or the file is not of the form that docs/scaling.md gives.
    OSError
        If the file cannot be read.
    """
    text = os.fspath(name)
    if text in CLUSTERS:
        return CLUSTERS[text]
    if not text.endswith(".toml"):
        _refuse(text, f"expected a .toml file or one of {', '.join(CLUSTERS)}")
    with open(text, "rb") as file:
        try:
            described = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            _refuse(text, str(error))
    return _read(text, described)


def _read(path: str, described: Mapping[str, Any]) -> Cluster:
    keys = {"ranks_per_node", "within", "between", "library", "overhead"}
    _check_keys(path, described, keys, keys - {"overhead"})
    ranks, library = described["ranks_per_node"], described["library"]
    if type(ranks) is not int or ranks < 1:
        _refuse(path, f"ranks_per_node: expected a whole number of 1 or more, got {ranks!r}")
    if library not in LIBRARIES:
        _refuse(path, f"library: expected one of {', '.join(LIBRARIES)}, got {library!r}")
    links = {key: _read_link(path, key, described[key]) for key in ("within", "between")}
    overhead = _number(path, "overhead", described.get("overhead", 0))
    return Cluster(ranks, links["within"], links["between"], library, overhead)


def _read_link(path: str, key: str, described: Any) -> Link:
    if not isinstance(described, dict):
        _refuse(path, f"{key}: expected a table [{key}] with latency and bandwidth, got {described!r}")
    _check_keys(f"{path}: {key}", described, {"latency", "bandwidth"}, {"latency", "bandwidth"})
    bandwidth = _number(path, f"{key}.bandwidth", described["bandwidth"])
    if bandwidth == 0:
        _refuse(path, f"{key}.bandwidth: expected a number above 0, got 0")
    return Link(_number(path, f"{key}.latency", described["latency"]), bandwidth)


def _check_keys(place: str, described: Mapping[str, Any], known: set[str], needed: set[str]) -> None:
    if unknown := sorted(described.keys() - known):
        _refuse(place, f"expected {', '.join(sorted(known))}, got '{unknown[0]}'")
    if missing := sorted(needed - described.keys()):
        _refuse(place, f"expected a value for {', '.join(missing)}, got none")


def _number(path: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        _refuse(path, f"{key}: expected a number of 0 or more, got {value!r}")
    return float(value)


def _refuse(place: str, what: str) -> NoReturn:
    raise MeshError(f"[TSR4009] cluster {place}: {what}")
