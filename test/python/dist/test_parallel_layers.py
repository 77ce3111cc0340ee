# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers that ranks divide, against those of one process, and what they refuse."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from launching import run_ranks
from mesh_programs import MESH
from parallel_layers import Block, build_cases
from tessera import Tensor, nn
from tessera.frontend import TraceSpec, trace
from tessera.nn import parallel

ALONE = tessera.Mesh(np.zeros((1, 1, 1), int), MESH.axis_names)


def test_layers_on_16_ranks(tmp_path: Path) -> None:
    cases = build_cases()
    for name, case in cases.items():
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps([*case.inputs, case.expected]))
    artifact = tessera.compile({name: case.function for name, case in cases.items()}, targets="cpu")
    artifact.save(tmp_path / "layers.tsr")
    run_ranks("layers", tmp_path)


def test_what_only_a_call_shows_is_refused_on_every_rank(tmp_path: Path) -> None:
    table = parallel.VocabParallelEmbedding(32, 12)

    @tessera.on_mesh(MESH)
    def look_up(ids: Tensor["B", "S", tessera.int64]) -> Any:
        return table(ids)

    @tessera.on_mesh(MESH)
    def normalize(x: Tensor["B", "D"]) -> Tensor["B", "D"]:
        return nn.distributed_rms_norm(x, None)

    tessera.compile({"look_up": look_up, "normalize": normalize}, targets="cpu").save(tmp_path / "refusals.tsr")
    run_ranks("refusals", tmp_path)


# -- without ranks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "collectives"),
    [
        (lambda: parallel.ParallelSwiGLU(8, 16), ["all_reduce"]),
        (lambda: parallel.ParallelSwiGLU(8, 16, sequence_parallel=True), ["all_gather", "reduce_scatter"]),
        (lambda: parallel.ParallelAttention(8, 4), ["all_reduce"]),
        (lambda: parallel.ParallelAttention(8, 4, 2), ["all_gather", "all_reduce"]),
        (lambda: parallel.ColumnParallelLinear(8, 16), []),
    ],
)
def test_what_ranks_exchange(layer: Callable[[], Any], collectives: list[str]) -> None:
    member = layer()

    @tessera.on_mesh(MESH)
    def f(x: Tensor["B", "S", 8]) -> Any:
        return member(x)

    assert re.findall(r"= shard\.(all_\w+|reduce_\w+)", str(trace(f).module)) == collectives


def test_parameters_are_those_of_the_whole_layers() -> None:
    whole = {name: array.shape for name, array in nn.Linear(12, 16).state_dict().items()}
    for layer in (parallel.ColumnParallelLinear(12, 16), parallel.RowParallelLinear(12, 16)):
        assert {name: array.shape for name, array in layer.state_dict().items()} == whole
    blocks = [Block() for _ in range(4)]
    stacked = parallel.Pipeline(blocks).state_dict()
    assert stacked.keys() == {f"layers.{name}" for name in blocks[0].state_dict()}
    for name, array in stacked.items():
        parts = [block.state_dict()[name.removeprefix("layers.")] for block in blocks]
        np.testing.assert_array_equal(array, np.stack(parts))


def test_linear_layers_take_any_rank() -> None:
    layers = nn.Sequential(parallel.ColumnParallelLinear(4, 8, gather_output=True), parallel.RowParallelLinear(8, 4))
    artifact = tessera.compile(tessera.on_mesh(ALONE)(layers), targets="cpu")
    assert artifact(np.ones((2, 3, 5, 4), np.float32)).shape == (2, 3, 5, 4)
    assert artifact(np.ones(4, np.float32)).shape == (4,)
    tokens = parallel.ColumnParallelLinear(4, 8, sequence_parallel=True)  # the tokens are one of the dimensions
    with pytest.raises(tessera.SignatureError, match="TSR1003"):
        trace(tessera.on_mesh(ALONE)(tokens))


def test_a_batch_that_microbatches_do_not_divide_is_refused_at_the_call() -> None:
    layers = parallel.Pipeline([nn.Linear(4, 4), nn.Linear(4, 4)], microbatches=3)
    artifact = tessera.compile(tessera.on_mesh(ALONE)(layers), targets="cpu")
    x = np.random.default_rng(0).standard_normal((6, 2, 4), dtype=np.float32)
    w = layers.state_dict()
    want = x @ w["layers.weight"][0] + w["layers.bias"][0]
    want = want @ w["layers.weight"][1] + w["layers.bias"][1]
    np.testing.assert_allclose(artifact(x), want, rtol=1e-4, atol=1e-5)
    with pytest.raises(tessera.ShapeError, match=r"pipeline: microbatches: dimension 0: expected a multiple of 3"):
        artifact(x[:4])


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "columns": (
        lambda: parallel.ColumnParallelLinear(16, 6),
        tessera.MeshError,
        "weight 'weight': dimension 1: expected a multiple of 4, got 6",
    ),
    "heads, though not their features": (
        lambda: parallel.ParallelAttention(16, 6, head_dim=8),
        tessera.MeshError,
        "ParallelAttention: num_heads: expected a multiple of 4, got 6",
    ),
    "key heads": (
        lambda: parallel.ParallelAttention(16, 12, 3, head_dim=4),
        tessera.MeshError,
        "ParallelAttention: num_kv_heads: expected a multiple or a divisor of 4, got 3",
    ),
    "stages": (
        lambda: parallel.Pipeline([nn.Linear(16, 16)] * 3),
        tessera.MeshError,
        "Pipeline: layers: expected a multiple of 2, got 3",
    ),
    "an axis that is none": (
        lambda: parallel.RowParallelLinear(16, 16, axis="tensor"),
        tessera.MeshError,
        "mesh axis: expected one of 'data', 'model', 'pipeline', got 'tensor'",
    ),
    "one axis for layers and stages": (
        lambda: parallel.Pipeline([parallel.RowParallelLinear(16, 16)] * 2, axis="model"),
        tessera.MeshError,
        "expected each mesh axis to cut one dimension, got ['model', ('model',)]",
    ),
    "microbatches": (
        lambda: parallel.Pipeline([nn.Linear(16, 16)] * 2, microbatches=0),
        tessera.ArgumentError,
        "pipeline: expected microbatches to be an int of 1 or more, got 0",
    ),
    "no layers": (lambda: parallel.Pipeline([]), tessera.ArgumentError, "expected at least one layer, got none"),
    "layers of two kinds": (
        lambda: parallel.Pipeline([nn.Linear(16, 16), nn.RMSNorm(16)]),
        tessera.ArgumentError,
        "Pipeline: layer 1: expected a Linear, as layer 0, got a RMSNorm",
    ),
    "layers of two shapes": (
        lambda: parallel.Pipeline([nn.Linear(16, 16), nn.Linear(16, 8)]),
        tessera.ArgumentError,
        "layer 1: 'weight': expected a parameter f32[16, 16], as in layer 0, got a parameter f32[16, 8]",
    ),
    "layers of which one shares a parameter": (
        lambda: parallel.Pipeline(
            [nn.Sequential(nn.RMSNorm(16), nn.RMSNorm(16)), nn.Sequential(*[nn.RMSNorm(16)] * 2)]
        ),
        tessera.ArgumentError,
        "layer 1: '1.weight': expected a parameter f32[16], as in layer 0, got the parameter '0.weight'",
    ),
    "layers of two settings": (
        lambda: parallel.Pipeline([nn.RMSNorm(16), nn.RMSNorm(16, eps=0.5)]),
        tessera.ArgumentError,
        "layer 1: 'eps': expected 1e-06, as in layer 0, got 0.5",
    ),
    "layers that change the shape": (
        lambda: parallel.Pipeline([parallel.ColumnParallelLinear(16, 16)] * 2),
        tessera.ShapeError,
        "scan: carried value: value 0: expected shape [B, S, ?0], got [B, S, 4]",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=re.escape(message)):
        trace(tessera.on_mesh(MESH)(make()), TraceSpec(args=(np.ones((2, 4, 16), np.float32),)))


def test_ids_and_targets_are_integers() -> None:
    table = parallel.VocabParallelEmbedding(32, 12)
    x = np.ones((2, 8), np.float32)
    with pytest.raises(tessera.DTypeError, match=r"VocabParallelEmbedding: ids: expected integers, got f32"):
        trace(tessera.on_mesh(MESH)(lambda ids: table(ids)), TraceSpec(args=(x,)))
    with pytest.raises(tessera.DTypeError, match=r"vocab_parallel_cross_entropy: targets: expected integers"):
        loss = tessera.on_mesh(MESH)(lambda x, y: parallel.vocab_parallel_cross_entropy(x, y))
        trace(loss, TraceSpec(args=(x, x[:, 0])))


def test_layers_without_a_mesh_are_refused() -> None:
    with pytest.raises(tessera.MeshError, match=r"weight 'weight': expected a function on a mesh"):
        trace(parallel.ColumnParallelLinear(4, 8))
    with pytest.raises(tessera.MeshError, match=r"mesh_reduce: expected a function on a mesh"):
        nn.distributed_rms_norm(np.ones((2, 4), np.float32), None)


def test_weight_of_a_distributed_norm_is_a_part_or_the_whole() -> None:
    with pytest.raises(tessera.ShapeError, match="expected equal sizes, got 4 and 8"):
        trace(
            tessera.on_mesh(MESH)(lambda x, weight: nn.distributed_rms_norm(x, weight)),
            TraceSpec(args=(np.ones((2, 4), np.float32), np.ones(8, np.float32))),
        )
