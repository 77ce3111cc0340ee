# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined, type-arg, valid-type"
"""A Llama on a mesh of ranks: batches along "data", heads and features along "model", layers along "pipeline".

    python examples/language_models/parallel_llama.py compile DIRECTORY llama.tsr --mesh 2,4,2
    mpiexec -n 16 python examples/language_models/parallel_llama.py generate llama.tsr --prompt 1,15,7 --prompt 1,4

The first compiles a checkpoint of Hugging Face, once, on any machine; the second runs that file on every rank. There is
no cache of keys and values: each step computes all tokens, and takes the most likely next one.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tessera
from generate import DTYPES
from llama import rope_base
from tessera import Tensor, nn
from tessera.nn import parallel
from tessera.weights import read_weights

AXES = ["data", "model", "pipeline"]


class Block(nn.Module):
    """Attention and a gated MLP, each after a norm and beside a residual connection."""

    def __init__(self, config: Mapping[str, Any], dtype: Any) -> None:
        features, heads, eps = config["hidden_size"], config["num_attention_heads"], config["rms_norm_eps"]
        self.input_layernorm = nn.RMSNorm(features, eps, dtype)
        self.self_attn = parallel.ParallelAttention(
            features,
            heads,
            config.get("num_key_value_heads"),
            config.get("head_dim"),
            rope_base=rope_base(config),
            dtype=dtype,
        )
        self.post_attention_layernorm = nn.RMSNorm(features, eps, dtype)
        self.mlp = parallel.ParallelSwiGLU(features, config["intermediate_size"], dtype=dtype)

    def forward(self, x: Any) -> Any:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class ParallelLlama(nn.Module):
    """The logits of the token after each sequence, on every rank.

    ``ids`` are padded at the end; ``lengths`` counts those of each sequence, 1 or more. Every rank is given all.
    """

    def __init__(self, config: Mapping[str, Any], dtype: Any, microbatches: int) -> None:
        features, vocabulary = config["hidden_size"], config["vocab_size"]
        no_stage: Any = ("model", "pipeline")  # what is no stage's is divided by all ranks that have the same tokens
        self.features = features
        self.embed_tokens = parallel.VocabParallelEmbedding(vocabulary, features, axis=no_stage, dtype=dtype)
        blocks = [Block(config, dtype) for _ in range(config["num_hidden_layers"])]
        self.blocks = parallel.Pipeline(blocks, microbatches)
        self.norm = nn.RMSNorm(features, config["rms_norm_eps"], dtype)
        self.lm_head = parallel.ColumnParallelLinear(
            features, vocabulary, bias=False, gather_output=True, axis=no_stage, dtype=dtype
        )

    def forward(self, ids: Tensor["B", "S", tessera.int64], lengths: Tensor["B", tessera.int64]) -> Any:
        ids, lengths = tessera.mesh_slice(ids, "data"), tessera.mesh_slice(lengths, "data")
        x = self.norm(self.blocks(self.embed_tokens(ids)))
        last = tessera.arange(ids.shape[0]) * ids.shape[1] + lengths - 1
        logits = self.lm_head(tessera.take(x.reshape(-1, self.features), last, 0))
        return tessera.all_gather(logits.cast(tessera.f32), "data")


def load_weights(model: ParallelLlama, state: Mapping[str, Any]) -> None:
    """Take a checkpoint's weights, by their names there: projections are transposed, layers stacked."""
    tied = state["model.embed_tokens.weight"]

    def find(name: str) -> Any:
        if name.startswith("blocks.layers."):
            rest = name.removeprefix("blocks.layers.")
            numbers = range(model.blocks.num_layers)
            return np.stack([state[f"model.layers.{number}.{rest}"] for number in numbers])
        return state.get(name, tied) if name == "lm_head.weight" else state[f"model.{name}"]

    is_projection = {name: name.endswith(("_proj.weight", "lm_head.weight")) for name, _ in model.named_parameters()}
    model.load_state_dict({name: find(name).swapaxes(-1, -2) if p else find(name) for name, p in is_projection.items()})


def compile_model(model: ParallelLlama, mesh: tessera.Mesh, **options: Any) -> tessera.Artifact:
    """One artifact for all ranks, for any lengths and any batch that the mesh and the microbatches divide."""
    batch = tessera.Dim(multiple_of=mesh.axis_size("data") * model.blocks.microbatches)
    return tessera.compile(tessera.on_mesh(mesh)(model), dims={"B": batch}, **options)


def generate(artifact: tessera.Artifact, prompts: Sequence[Sequence[int]]) -> Iterator[Any]:
    """Yield each prompt's most likely next token, ``[B]`` int64, again and again; and the logits, ``[B, vocabulary]``.

    Every rank calls it with the same prompts, and gets the same.
    """
    (signature,) = artifact.inspect()["signature"].values()
    multiple = next(symbol["multiple_of"] for symbol in signature["symbols"] if symbol["name"] == "B")
    rows = [*prompts, *[[0]] * (-len(prompts) % multiple)]
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), max(lengths)), np.int64)
    for row, prompt in zip(ids, rows, strict=True):
        row[: len(prompt)] = prompt
    while True:
        logits = artifact(ids, lengths)
        tokens = logits.argmax(-1)
        yield tokens[: len(prompts)], logits[: len(prompts)]
        ids = np.pad(ids, ((0, 0), (0, 1)))
        ids[np.arange(len(rows)), lengths] = tokens
        lengths = lengths + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    compiling = commands.add_parser("compile", help="make an artifact of a checkpoint directory")
    compiling.add_argument("checkpoint", type=Path)
    compiling.add_argument("artifact", type=Path)
    compiling.add_argument("--mesh", default="2,4,2", help="ranks along data, model and pipeline")
    compiling.add_argument("--microbatches", type=int, default=2)
    compiling.add_argument("--target", default="cpu")
    generating = commands.add_parser("generate", help="run an artifact; every rank calls this")
    generating.add_argument("artifact", type=Path)
    generating.add_argument("--prompt", action="append", required=True, help="token ids, separated by commas")
    generating.add_argument("--tokens", type=int, default=32, help="how many to generate")
    options = parser.parse_args()

    if options.command == "compile":
        config = json.loads((options.checkpoint / "config.json").read_text())
        dtype = DTYPES[config.get("dtype") or config.get("torch_dtype") or "float32"]
        model = ParallelLlama(config, dtype, options.microbatches)
        load_weights(model, read_weights(sorted(options.checkpoint.glob("*.safetensors"))))
        shape = [int(size) for size in options.mesh.split(",")]
        mesh = tessera.Mesh(np.arange(np.prod(shape)).reshape(shape), AXES)
        compile_model(model, mesh, targets=options.target).save(options.artifact)
        return
    prompts = [[int(token) for token in prompt.split(",")] for prompt in options.prompt]
    steps = generate(tessera.load(options.artifact), prompts)
    made = np.stack([next(steps)[0] for _ in range(options.tokens)], 1)
    if tessera.dist.rank() == 0:
        for prompt, row in zip(prompts, made.tolist(), strict=True):
            print(",".join(map(str, prompt)), "->", ",".join(map(str, row)))


if __name__ == "__main__":
    main()
