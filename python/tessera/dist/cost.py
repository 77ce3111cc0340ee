# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a collective costs: the time and the bytes of each algorithm that the library has for it, and the cheapest.

A message of n bytes takes ``latency + n / bandwidth`` of its link (Hockney's model). The formulas of recursive doubling
and halving, of Bruck's and of the scattering broadcast are those of Thakur, Rabenseifner and Gropp, "Optimization of
Collective Communication Operations in MPICH", 2005; ring and tree over several nodes are priced as NCCL prices them
for its own choice (``src/graph/tuning.cc``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tessera.dist.cluster import Cluster, Link


@dataclass(frozen=True)
class Plan:
    """How a collective would be carried out.

    Attributes
    ----------
    algorithm
        Its name.
    sent
        Bytes that a rank sends over links: that of the ranks which sends most.
    seconds
        From start to end, with nothing else on the links.
    """

    algorithm: str
    sent: int
    seconds: float


@dataclass(frozen=True)
class Placement:
    """Where the ranks of a group are.

    Attributes
    ----------
    nodes
        The node of each rank, by its place in the group.
    cluster
        What the nodes are.
    """

    nodes: tuple[int, ...]
    cluster: Cluster

    @property
    def size(self) -> int:
        """The number of ranks."""
        return len(self.nodes)

    @cached_property
    def on_node(self) -> Counter[int]:
        """How many of the ranks each node has."""
        return Counter(self.nodes)

    @property
    def places_by_doubling(self) -> list[int]:
        """1, 2, 4 and so on, below the number of ranks."""
        return [1 << i for i in range((self.size - 1).bit_length())]

    @property
    def is_power_of_two(self) -> bool:
        return self.size & (self.size - 1) == 0

    def link(self, pairs: Iterable[tuple[int, int]]) -> Link:
        """The slowest link between these pairs of places."""
        crosses = any(self.nodes[a] != self.nodes[b] for a, b in pairs)
        return self.cluster.between if crosses else self.cluster.within

    def exchange(self, distance: int) -> Link:
        """The link of an exchange between places that differ in one bit."""
        return self.link((place, place ^ distance) for place in range(self.size) if place ^ distance < self.size)

    def shift(self, distance: int, periodic: bool = True) -> Link:
        """The link of a message from each place to the one ``distance`` on."""
        last = self.size if periodic else self.size - distance
        return self.link((place, (place + distance) % self.size) for place in range(last))

    @property
    def stream(self) -> float:
        """Bytes per second through each rank of a ring, or tree, that enters and leaves each node once.

        All of the group's ranks on a node carry the data out of it, each its share.
        """
        within, between = self.cluster.within.bandwidth, self.cluster.between.bandwidth
        return within if len(self.on_node) == 1 else min(within, between * min(self.on_node.values()))

    def around(self, turns: int, sent: int) -> float:
        """Seconds until data has gone round a ring, from each rank to all others, ``turns`` times."""
        within, between = self.size - len(self.on_node), len(self.on_node) - 1
        hops = within * self.cluster.within.latency + between * self.cluster.between.latency
        return turns * hops + sent / self.stream


#: A collective's algorithm: of a group and the bytes of one rank's piece. None where it cannot be used.
Algorithm = Callable[[Placement, int], Plan | None]


def _messages(name: str, messages: Sequence[tuple[Link, int]]) -> Plan:
    """A rank's messages one after the other, each over a link."""
    seconds = sum(link.latency + size / link.bandwidth for link, size in messages)
    return Plan(name, sum(size for _, size in messages), seconds)


def _parts(size: int, count: int) -> int:
    """The largest of ``count`` parts."""
    return -(-size // count)


# -- rings and trees ---------------------------------------------------------------------------------------------------


def _ring_all_reduce(group: Placement, piece: int) -> Plan:
    sent = 2 * (group.size - 1) * _parts(piece, group.size)
    return Plan("ring", sent, group.around(2, sent))


def _ring_spread(group: Placement, piece: int) -> Plan:
    """Of an all_gather; the same steps backwards are a reduce_scatter."""
    sent = (group.size - 1) * piece
    return Plan("ring", sent, group.around(1, sent))


def _ring_broadcast(group: Placement, piece: int) -> Plan:
    return Plan("ring", piece, group.around(1, piece))


def _tree_all_reduce(group: Placement, piece: int) -> Plan:
    """Up and down two binary trees of nodes, each for half of the data (Sanders, Speck and Träff, 2009).

    The ranks of a node are a chain.
    """
    links, nodes = group.cluster, len(group.on_node)
    depth = (max(group.on_node.values()) - 1) * links.within.latency + (nodes - 1).bit_length() * links.between.latency
    return Plan("tree", 2 * piece, 2 * depth + 2 * piece / group.stream)


# -- recursive doubling and halving ------------------------------------------------------------------------------------


def _doubling_all_reduce(group: Placement, piece: int) -> Plan:
    """Exchanges of all data; ranks beyond a power of two give theirs to others first, and get the result last."""
    whole = 1 << (group.size.bit_length() - 1)
    rounds = [(group.exchange(distance), piece) for distance in group.places_by_doubling if distance < whole]
    if whole == group.size:
        return _messages("recursive doubling", rounds)
    folding = group.shift(whole, periodic=False)
    made = _messages("recursive doubling", [(folding, piece), *rounds])
    return replace(made, seconds=made.seconds + folding.latency + piece / folding.bandwidth)


def _halving_all_reduce(group: Placement, piece: int) -> Plan | None:
    """Rabenseifner's: a reduce_scatter by halving, the largest halves to the nearest; an all_gather by doubling."""
    if not group.is_power_of_two:
        return None
    halves = [(group.exchange(distance), _parts(piece, 2 * distance)) for distance in group.places_by_doubling]
    return _messages("recursive halving and doubling", halves * 2)


def _doubling_spread(group: Placement, piece: int) -> Plan | None:
    """Of an all_gather; the same steps backwards are a reduce_scatter by halving."""
    if not group.is_power_of_two:
        return None
    rounds = [(group.exchange(distance), distance * piece) for distance in group.places_by_doubling]
    return _messages("recursive doubling", rounds)


def _bruck_all_gather(group: Placement, piece: int) -> Plan:
    rounds = [
        (group.shift(distance), min(distance, group.size - distance) * piece) for distance in group.places_by_doubling
    ]
    return _messages("Bruck", rounds)


def _binomial_broadcast(group: Placement, piece: int) -> Plan:
    return _messages("binomial tree", [(group.shift(distance), piece) for distance in group.places_by_doubling])


def _scattered_broadcast(group: Placement, piece: int) -> Plan:
    """Van de Geijn's: parts go down a binomial tree, then round a ring."""
    part = _parts(piece, group.size)
    scatter = _messages(
        "",
        [(group.shift(distance), min(distance, group.size - distance) * part) for distance in group.places_by_doubling],
    )
    gather = _ring_spread(group, part)
    return Plan("scatter and ring", scatter.sent + gather.sent, scatter.seconds + gather.seconds)


# -- to all others -----------------------------------------------------------------------------------------------------


def _pairwise_all_to_all(group: Placement, piece: int) -> Plan:
    beside = min(group.on_node.values()) - 1
    within, between = [(group.cluster.within, piece)], [(group.cluster.between, piece)]
    return _messages("pairwise", within * beside + between * (group.size - 1 - beside))


def _bruck_all_to_all(group: Placement, piece: int) -> Plan:
    """In each round the pieces whose way to go has that bit."""
    rounds = [
        (group.shift(distance), piece * sum(1 for way in range(group.size) if way & distance))
        for distance in group.places_by_doubling
    ]
    return _messages("Bruck", rounds)


_ALGORITHMS: Mapping[str, Mapping[str, Sequence[Algorithm]]] = {
    "nccl": {
        "all_reduce": (_ring_all_reduce, _tree_all_reduce),
        "all_gather": (_ring_spread,),
        "reduce_scatter": (_ring_spread,),
        "broadcast": (_ring_broadcast,),
        "all_to_all": (_pairwise_all_to_all,),
    },
    "mpi": {
        "all_reduce": (_ring_all_reduce, _doubling_all_reduce, _halving_all_reduce),
        "all_gather": (_ring_spread, _doubling_spread, _bruck_all_gather),
        "reduce_scatter": (_ring_spread, _doubling_spread),
        "broadcast": (_binomial_broadcast, _scattered_broadcast),
        "all_to_all": (_pairwise_all_to_all, _bruck_all_to_all),
    },
}


def plan(kind: str, group: Placement, piece: int, offset: int = 0, periodic: bool = True) -> Plan:
    """The cheapest way to carry out a collective.

    Parameters
    ----------
    kind
        As in a manifest: ``all_reduce``, ``all_gather``, ``reduce_scatter``, ``all_to_all``, ``broadcast``, ``shift``.
    group
        Where the ranks are.
    piece
        Bytes of one rank's piece: the whole array of ``all_reduce``, ``broadcast`` and ``shift``, the source of
        ``all_gather``, the target of ``reduce_scatter``, what ``all_to_all`` sends to one rank.
    offset, periodic
        Of a ``shift``.
    """
    if group.size == 1:
        return Plan("copy", 0, 0.0)
    if kind == "shift":
        chosen = _shift(group, piece, offset, periodic)
    else:
        plans = [algorithm(group, piece) for algorithm in _ALGORITHMS[group.cluster.library][kind]]
        chosen = min((made for made in plans if made is not None), key=lambda made: made.seconds)
    return replace(chosen, seconds=chosen.seconds + group.cluster.overhead)


def _shift(group: Placement, piece: int, offset: int, periodic: bool) -> Plan:
    distance = offset % group.size if periodic else min(abs(offset), group.size)
    if distance in (0, group.size):
        return Plan("copy", 0, 0.0)
    return _messages("message", [(group.shift(distance, periodic), piece)])
