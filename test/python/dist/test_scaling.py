# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is said of an artifact's collectives before it runs, against what they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tessera
from tessera import Tensor
from tessera.cli.app import OK, USAGE, app
from tessera.dist import Cluster, Link, explain
from test_compiled_mesh import run_ranks
from traffic_programs import ARGUMENTS, PROGRAMS
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def artifact() -> tessera.Artifact:
    return tessera.compile(PROGRAMS, targets="cpu", args=ARGUMENTS)


@pytest.fixture(scope="module")
def path(artifact: tessera.Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scaling") / "traffic.tsr"
    artifact.save(path)
    return path


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_predicted_bytes_are_those_of_16_ranks(path: Path) -> None:
    run_ranks("traffic", path.parent)


def sizes(artifact: tessera.Artifact, entry: str) -> dict[str, tuple[Any, Any]]:
    """Count and runs by kind."""
    return {row["kind"]: (row["count"], row["runs"]) for row in artifact.manifest["entries"][entry]["collectives"]}


def test_the_manifest_has_sizes_as_expressions_of_symbols(artifact: tessera.Artifact) -> None:
    half = ["//", "B", 2]
    assert sizes(artifact, "every_kind")["all_gather"] == (["*", "S", half], 1)
    assert sizes(artifact, "every_kind")["shift"][1] == "N"
    assert sizes(artifact, "every_kind")["all_reduce"] == (1, 1)
    assert sizes(artifact, "nested_loops")["shift"] == ("N", "M")
    assert sizes(artifact, "nested_loops")["all_reduce"] == ("N", ["*", "M", ["//", "M", 2]])
    assert sizes(artifact, "norm") == {"all_reduce": (half, 1)}
    assert sizes(artifact, "beside") == {"all_reduce": (24, 1)}
    assert sizes(artifact, "until") == sizes(artifact, "perhaps") == {"all_reduce": ("N", None)}


def test_gpu_targets_have_the_same_sizes() -> None:
    both = tessera.compile(PROGRAMS["norm"], targets=["cpu", "sm_90a"])
    assert sizes(both, "distributed_norm") == {"all_reduce": (["//", "B", 2], 1)}


def test_what_depends_on_data_is_not_summed(artifact: tessera.Artifact) -> None:
    (row,) = explain(artifact, "h100-8", entry="perhaps", N=5)
    assert (row.runs, row.given, row.got, row.total(row.given)) == (None, 20, 20, None)


def test_nothing_is_counted_before_a_call(artifact: tessera.Artifact) -> None:
    entry = artifact.entry("norm")
    assert entry.mesh_traffic() == [{"calls": 0, "given": 0, "got": 0}]
    with pytest.raises(tessera.TesseraError, match="collective index 1 is out of range: there are 1"):
        entry.runtime_entry.mesh_traffic(1)


def test_groups_over_nodes_cost_what_their_slowest_does(artifact: tessera.Artifact) -> None:
    """Of eight groups along "model", four ranks each, nodes of six cut some."""
    link, slow = Link(0, 1e9), Link(1, 1e9)
    whole = explain(artifact, Cluster(8, link, slow, "nccl"), entry="norm", B=8, D=64)
    cut = explain(artifact, Cluster(6, link, slow, "nccl"), entry="norm", B=8, D=64)
    assert whole[0].seconds < 1e-6
    assert cut[0].seconds == pytest.approx(2, rel=1e-3)  # twice round, once over the border
    assert whole[0].sent == cut[0].sent == 2 * 3 * 4


def test_the_table(path: Path) -> None:
    dims = ("--dim", "B=8", "--dim", "S=5", "--dim", "N=3", "--dim", "M=4", "--dim", "D=8")
    code, output = command(path, "--cluster", "h100-8", *dims)
    assert code == OK
    rows = [line.split() for line in output.splitlines()]
    # [4, 5] f32 from each of four ranks: 80 bytes given, 320 got, three pieces sent.
    (gathered,) = [row for row in rows if row[:1] == ["all_gather"]]
    assert gathered[1:4] == ["model", "(4)", "ring"] and gathered[4].startswith("traffic_programs.py:")
    assert gathered[5:] == ["1", "80", "320", "240", "19.7", "us"]
    assert "until on data=2, model=4, pipeline=2, ranks of h100-8" in output
    assert rows[-1] == ["a", "call", "?", "?", "?", "?"]  # of `perhaps`


def test_json(path: Path) -> None:
    code, output = command(
        path, "--cluster", "h100-8", "--entry", "nested_loops", "--dim", "N=3", "--dim", "M=4", "--json"
    )
    assert code == OK
    document = json.loads(output)["nested_loops"]
    by_kind = {row["kind"]: row for row in document["collectives"]}
    assert by_kind["all_reduce"]["axes"] == ["data"] and by_kind["all_reduce"]["runs"] == 8
    assert document["total"]["given"] == document["total"]["got"] == (8 + 4) * 12
    seconds = 8 * by_kind["all_reduce"]["plan"]["seconds"] + 4 * by_kind["shift"]["plan"]["seconds"]
    assert document["total"]["seconds"] == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--entry", "norm", "--dim", "B=8"), "norm: expected a size of D, got none"),
        (("--entry", "norm", "--dim", "B=7", "--dim", "D=8"), "'B': expected a multiple of 2, at least 0, got 7"),
        (("--entry", "norm", "--dim", "B=8", "--dim", "D=8", "--dim", "S=8"), "has a symbol 'S'"),
        (("--entry", "every_kind", "--dim", "B=6", "--dim", "S=1", "--dim", "N=1"), "expected a multiple of 2"),
        (
            (
                "--entry",
                "nrom",
            ),
            "unknown entry point 'nrom': expected one of every_kind",
        ),
    ],
)
def test_wrong_sizes(path: Path, arguments: tuple[str, ...], message: str) -> None:
    code, output = command(path, "--cluster", "h100-8", *arguments)
    assert code == USAGE
    assert "[TSR4006]" in output and message in output


def test_without_a_mesh_or_a_cluster(path: Path, tmp_path: Path) -> None:
    @tessera.function
    def plain(x: Tensor["N"]) -> Tensor["N"]:
        return x + 1

    single = tessera.compile(plain, targets="cpu")
    single.save(tmp_path / "plain.tsr")
    assert single.entry().mesh_traffic() == []
    message = "expected an entry on a mesh, got"
    code, output = command(tmp_path / "plain.tsr", "--cluster", "h100-8")
    assert code == USAGE and message in output
    with pytest.raises(tessera.errors.ArgumentError, match=f"plain: {message}"):
        explain(single, "h100-8", N=1)
    code, output = command(path, "--cluster", "h100")
    assert code == USAGE and "[TSR4009] cluster h100: expected a .toml file or one of h100-8" in output
    code, output = command(path, "--cluster", tmp_path / "none.toml")
    assert code == USAGE and "none.toml" in output
