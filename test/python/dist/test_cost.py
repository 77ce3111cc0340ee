# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The model of cost against algorithms that are carried out, message by message, on a network with a clock."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import tessera
from tessera.dist import CLUSTERS, Cluster, Link
from tessera.dist import cost as model
from tessera.dist.cluster import find_cluster
from tessera.dist.cost import Placement, plan

# Figures whose sums are exact enough to tell every message.
WITHIN, BETWEEN = Link(3.0, 1 / 7), Link(100.0, 1 / 1000)
MPI = Cluster(ranks_per_node=4, within=WITHIN, between=BETWEEN, library="mpi")
NCCL = dataclasses.replace(MPI, library="nccl")


def line(ranks: int, cluster: Cluster = MPI) -> Placement:
    """Ranks that fill node after node."""
    return Placement(tuple(rank // cluster.ranks_per_node for rank in range(ranks)), cluster)


class Network:
    """Ranks that each hold numbered items, and exchange them in rounds that last as long as the slowest message."""

    def __init__(self, group: Placement) -> None:
        self.group, self.seconds = group, 0.0
        self.sent: Counter[int] = Counter()

    def round(self, messages: list[tuple[int, int, int]]) -> None:
        """Send messages at once: from, to, bytes."""
        times = []
        for source, target, size in messages:
            together = self.group.nodes[source] == self.group.nodes[target]
            link = self.group.cluster.within if together else self.group.cluster.between
            times.append(link.latency + size / link.bandwidth)
            self.sent[source] += size
        self.seconds += max(times)

    def agrees_with(self, made: model.Plan | None) -> bool:
        assert made is not None
        return made.sent == max(self.sent.values()) and made.seconds == pytest.approx(self.seconds)


def test_ring_all_reduce() -> None:
    """Every rank ends with all ranks' contributions to each of the parts."""
    n, part = 4, 5
    network = Network(line(n))
    parts = [[{rank} for _ in range(n)] for rank in range(n)]
    for step in range(2 * (n - 1)):
        moves = [(rank, (rank + 1) % n, (rank - step) % n) for rank in range(n)]
        carried = [set(parts[source][which]) for source, _, which in moves]
        for (_, target, which), what in zip(moves, carried, strict=True):
            parts[target][which] = parts[target][which] | what if step < n - 1 else what
        network.round([(source, target, part) for source, target, _ in moves])
    assert all(got == set(range(n)) for rank in parts for got in rank)
    assert network.agrees_with(model._ring_all_reduce(line(n), n * part))


@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
def test_halving_and_doubling_all_reduce(ranks: int) -> None:
    """Rabenseifner's, with nodes in the last rounds only: the ranks of a node exchange the large halves."""
    network, size = Network(line(ranks)), 64
    ranges = [(0, size)] * ranks
    distances = [d for d in (1, 2, 4, 8) if d < ranks]
    for distance in distances:
        for rank, (low, high) in enumerate(list(ranges)):
            middle = (low + high) // 2
            ranges[rank] = (middle, high) if rank & distance else (low, middle)
        network.round([(rank, rank ^ distance, size // (2 * distance)) for rank in range(ranks)])
    assert sorted(ranges) == [(i * size // ranks, (i + 1) * size // ranks) for i in range(ranks)]
    for distance in reversed(distances):
        network.round([(rank, rank ^ distance, size // (2 * distance)) for rank in range(ranks)])
    assert network.agrees_with(model._halving_all_reduce(line(ranks), size))


@pytest.mark.parametrize("ranks", [2, 3, 5, 8, 12, 16])
def test_doubling_all_reduce(ranks: int) -> None:
    network, size = Network(line(ranks)), 24
    has = [{rank} for rank in range(ranks)]
    whole = max(d for d in (1, 2, 4, 8, 16) if d <= ranks)
    beyond = [(rank, rank - whole, size) for rank in range(whole, ranks)]
    if beyond:
        network.round(beyond)
        for source, target, _ in beyond:
            has[target] |= has[source]
    for distance in (1, 2, 4, 8):
        if distance < whole:
            network.round([(rank, rank ^ distance, size) for rank in range(whole)])
            has = [has[rank] | has[rank ^ distance] if rank < whole else has[rank] for rank in range(ranks)]
    if beyond:
        network.round([(target, source, size) for source, target, _ in beyond])
        for source, target, _ in beyond:
            has[source] = has[target]
    assert all(got == set(range(ranks)) for got in has)
    assert network.agrees_with(model._doubling_all_reduce(line(ranks), size))


@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
def test_doubling_all_gather(ranks: int) -> None:
    network, has = Network(line(ranks)), [{rank} for rank in range(ranks)]
    for distance in (1, 2, 4, 8):
        if distance < ranks:
            network.round([(rank, rank ^ distance, 3 * len(has[rank])) for rank in range(ranks)])
            has = [has[rank] | has[rank ^ distance] for rank in range(ranks)]
    assert all(got == set(range(ranks)) for got in has)
    assert network.agrees_with(model._doubling_spread(line(ranks), 3))


@pytest.mark.parametrize("ranks", [2, 3, 4, 5, 7, 12])
def test_bruck_all_gather(ranks: int) -> None:
    network, has = Network(line(ranks)), [[rank] for rank in range(ranks)]
    while len(has[0]) < ranks:
        distance = len(has[0])
        needed = min(distance, ranks - distance)
        network.round([(rank, (rank - distance) % ranks, 3 * needed) for rank in range(ranks)])
        has = [has[rank] + has[(rank + distance) % ranks][:needed] for rank in range(ranks)]
    assert all(sorted(got) == list(range(ranks)) for got in has)
    assert network.agrees_with(model._bruck_all_gather(line(ranks), 3))


@pytest.mark.parametrize("ranks", [2, 3, 4, 5, 8, 12])
def test_bruck_all_to_all(ranks: int) -> None:
    """Pieces go by the bits of their way."""
    network, has = Network(line(ranks)), [{(rank, to) for to in range(ranks)} for rank in range(ranks)]
    for distance in (1, 2, 4, 8):
        if distance < ranks:
            moving = [{item for item in has[rank] if (item[1] - item[0]) % ranks & distance} for rank in range(ranks)]
            network.round([(rank, (rank + distance) % ranks, 3 * len(moving[rank])) for rank in range(ranks)])
            has = [has[rank] - moving[rank] | moving[(rank - distance) % ranks] for rank in range(ranks)]
    assert all({to for _, to in got} == {rank} and len(got) == ranks for rank, got in enumerate(has))
    assert network.agrees_with(model._bruck_all_to_all(line(ranks), 3))


@pytest.mark.parametrize("ranks", [2, 3, 4, 8, 13])
def test_binomial_broadcast(ranks: int) -> None:
    network, has = Network(line(ranks)), {0}
    for distance in (1, 2, 4, 8):
        if distance < ranks:
            network.round([(rank, rank + distance, 6) for rank in has if rank + distance < ranks])
            has |= {rank + distance for rank in has if rank + distance < ranks}
    assert has == set(range(ranks))
    made = model._binomial_broadcast(line(ranks), 6)
    assert made.sent == network.sent[0]
    assert made.seconds >= network.seconds  # of the worst root
    assert ranks > 4 or made.seconds == pytest.approx(network.seconds)


def test_pairwise_all_to_all() -> None:
    """Of 8 ranks on two nodes, each has 3 beside itself and 4 beyond."""
    made = plan("all_to_all", line(8, NCCL), 6)
    assert (made.algorithm, made.sent) == ("pairwise", 7 * 6)
    assert made.seconds == pytest.approx(3 * (3 + 6 * 7) + 4 * (100 + 6 * 1000))


# -- what is chosen, and where ranks are -------------------------------------------------------------------------------


def test_small_messages_take_few_steps_and_large_ones_few_bytes() -> None:
    def chosen(kind: str, size: int, ranks: int = 8) -> str:
        slow_start = dataclasses.replace(MPI, ranks_per_node=16, within=Link(1e-6, 1e9))
        return plan(kind, line(ranks, slow_start), size).algorithm

    assert chosen("all_reduce", 8) == "recursive doubling"
    assert chosen("all_reduce", 1 << 24) == "recursive halving and doubling"
    assert chosen("all_reduce", 1 << 24, ranks=7) == "ring"
    assert chosen("all_gather", 8, ranks=7) == "Bruck"
    assert chosen("broadcast", 8) == "binomial tree"
    assert chosen("broadcast", 1 << 24) == "scatter and ring"
    assert chosen("all_to_all", 8) == "Bruck"
    assert chosen("all_to_all", 1 << 24) == "pairwise"


def test_nccl_over_nodes() -> None:
    """The figures of NCCL's own model for 16 GPUs of two nodes, and for 64 of eight."""
    cluster = CLUSTERS["h100-8"]
    ring = model._ring_all_reduce(line(16, cluster), 16)
    assert ring.seconds == pytest.approx(28 * 1.9e-6 + 2 * 4.0e-6, rel=1e-4)
    large = plan("all_reduce", line(16, cluster), 1 << 30)
    assert large.algorithm == "ring"
    # Both directions of each NVLink carry 15/8 of the data; eight network links of a node together are faster.
    assert large.seconds == pytest.approx((1 << 30) * 15 / 8 / 370.8e9, rel=0.02)
    small = plan("all_reduce", line(64, cluster), 1024)
    assert small.algorithm == "tree"
    assert small.seconds == pytest.approx(14e-6 + 2 * (7 * 1.9e-6 + 3 * 4.0e-6), rel=1e-3)


def test_the_slowest_link_is_that_of_the_placement() -> None:
    """Of a group that goes over nodes in another order, near places are not near."""
    scattered = Placement((0, 1, 0, 1), MPI)
    assert scattered.exchange(1) == BETWEEN and scattered.exchange(2) == WITHIN
    assert line(4).shift(1) == WITHIN and line(5).shift(1) == BETWEEN
    assert line(8).shift(2, periodic=False) == BETWEEN
    assert line(8).stream == pytest.approx(4 / 1000)  # four ranks of each node carry what leaves it
    assert line(5).stream == pytest.approx(1 / 1000)


def test_shifts() -> None:
    assert plan("shift", line(4), 10, 1).seconds == pytest.approx(3 + 70)
    assert plan("shift", line(4), 10, -5) == plan("shift", line(4), 10, 3)
    assert plan("shift", line(4), 10, 4) == model.Plan("copy", 0, 0.0)
    assert plan("shift", line(4), 10, 4, periodic=False).sent == 0
    assert plan("shift", line(8), 10, 3, periodic=False).seconds == pytest.approx(100 + 10_000)


def test_one_rank_sends_nothing() -> None:
    for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "shift"):
        assert plan(kind, line(1), 8) == model.Plan("copy", 0, 0.0)


# -- descriptions of clusters ------------------------------------------------------------------------------------------

DESCRIPTION = """\
library = "mpi"
ranks_per_node = 4
overhead = 1e-6
[within]
latency = 5e-7
bandwidth = 8e9
[between]
latency = 2e-6
bandwidth = 1_500_000_000
"""


def test_a_described_cluster(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(DESCRIPTION)
    assert find_cluster(path) == Cluster(4, Link(5e-7, 8e9), Link(2e-6, 1.5e9), "mpi", 1e-6)
    assert find_cluster("h100-8") is CLUSTERS["h100-8"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"mpi"', '"gloo"', "library: expected one of nccl, mpi, got 'gloo'"),
        ("ranks_per_node = 4", "", "expected a value for ranks_per_node, got none"),
        ("ranks_per_node = 4", "ranks_per_node = 0", "ranks_per_node: expected a whole number of 1 or more, got 0"),
        ("overhead", "over", "got 'over'"),
        ("8e9", "0", "within.bandwidth: expected a number above 0, got 0"),
        ("5e-7", "-1", "within.latency: expected a number of 0 or more, got -1"),
        ("5e-7", "true", "within.latency: expected a number of 0 or more, got True"),
        ("[within]", "[inside]", "expected between, library, overhead, ranks_per_node, within, got 'inside'"),
        ("latency = 2e-6", "", "mine.toml: between: expected a value for latency, got none"),
        ("= 8e9", "8e9", "line 6"),
    ],
)
def test_wrong_descriptions(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(DESCRIPTION.replace(old, new))
    with pytest.raises(tessera.errors.MeshError) as caught:
        find_cluster(path)
    assert caught.value.code == "TSR4009"
    assert message in str(caught.value) and "mine.toml" in str(caught.value)


def test_unknown_clusters(tmp_path: Path) -> None:
    with pytest.raises(tessera.errors.MeshError, match=r"TSR4009.*h100-9: expected a .toml file or one of h100-8"):
        find_cluster("h100-9")
    with pytest.raises(FileNotFoundError):
        find_cluster(tmp_path / "none.toml")
