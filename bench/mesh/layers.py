# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensor-parallel layers and a Llama on real GPUs, against one GPU and beside torch with the same sharding.

``python -m bench.mesh.layers build DIR --ranks 1 2`` writes artifacts, where there need be no GPU. Where there are two:
``torchrun --nproc-per-node 2 -m bench.mesh.layers run DIR --out FILE``.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.mesh.gpu import take_gpu

RANK, SIZE = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
TOKENS, FEATURES, HIDDEN, HEADS = 2048, 1024, 4096, 16
REDUCED = 2**26  # numbers that are summed beside a product
PROMPT, NEW_TOKENS = [[1, 15, 7, 99], [1, 4]], 16
TIMES = 20


def build(folder: Path, counts: list[int]) -> None:
    """For each number of ranks, an artifact of the layers and one of the Llama."""
    import numpy as np
    import tessera
    from tessera import MeshTensor, ShardSpec, Tensor

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "language_models"))
    import parallel_llama

    columns, rows = ShardSpec(None, "model"), ShardSpec("model")
    folder.mkdir(parents=True, exist_ok=True)
    for count in counts:
        mesh = tessera.Mesh(np.arange(count), ["model"])

        @tessera.on_mesh(mesh, partition=True)
        def swiglu(
            x: Tensor["S", "D"],
            gate: MeshTensor["D", "F", columns],
            up: MeshTensor["D", "F", columns],
            down: MeshTensor["F", "D", rows],
        ) -> Tensor["S", "D"]:
            return (tessera.nn.swish(x @ gate) * (x @ up)) @ down

        @tessera.on_mesh(mesh, partition=True)
        def attention(
            x: Tensor["S", FEATURES],
            q: MeshTensor[FEATURES, FEATURES, columns],
            k: MeshTensor[FEATURES, FEATURES, columns],
            v: MeshTensor[FEATURES, FEATURES, columns],
            out: MeshTensor[FEATURES, FEATURES, rows],
        ) -> Tensor["S", FEATURES]:
            s = x.shape[0]
            heads = ((x @ w).reshape(1, s, HEADS, FEATURES // HEADS).transpose(1, 2) for w in (q, k, v))
            mixed = tessera.ops.flash_attention(*heads, is_causal=True)
            return mixed.transpose(1, 2).reshape(s, FEATURES) @ out

        @tessera.on_mesh(mesh)
        def reduced(g: Tensor[REDUCED, tessera.f32]) -> Tensor[REDUCED, tessera.f32]:
            return tessera.mesh_reduce(g, "model")

        @tessera.on_mesh(mesh)
        def product(x: Tensor["S", "D"], w: Tensor["D", "F"]) -> Tensor["S", "F"]:
            return x @ w

        @tessera.on_mesh(mesh)
        def beside(
            x: Tensor["S", "D"], w: Tensor["D", "F"], g: Tensor[REDUCED, tessera.f32]
        ) -> tuple[Tensor["S", "F"], Tensor[REDUCED, tessera.f32]]:
            return x @ w, tessera.mesh_reduce(g, "model")

        layers = {"swiglu": swiglu, "attention": attention}
        layers |= {"reduced": reduced, "product": product, "beside": beside}
        tessera.compile(layers, targets="sm_90a", dtype=tessera.bf16).save(folder / f"layers-{count}.tsr")
        config = {
            "hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 512,
            "num_hidden_layers": 4, "rms_norm_eps": 1e-5, "vocab_size": 512,
        }  # fmt: skip
        tessera.manual_seed(0)
        model = parallel_llama.ParallelLlama(config, tessera.f32, microbatches=1)
        grid = tessera.Mesh(np.arange(count).reshape(1, count, 1), parallel_llama.AXES)
        parallel_llama.compile_model(model, grid, targets="sm_90a").save(folder / f"llama-{count}.tsr")


def tensors(shapes: list[tuple[int, ...]]) -> list[Any]:
    """The same numbers on every rank."""
    import torch

    generator = torch.Generator(device="cuda").manual_seed(0)
    return [torch.randn(shape, generator=generator, device="cuda").mul(0.05).bfloat16() for shape in shapes]


def part(x: Any, dim: int | None) -> Any:
    return x if dim is None else x.chunk(SIZE, dim)[RANK].contiguous()


def torch_swiglu(x: Any, gate: Any, up: Any, down: Any) -> Any:
    import torch

    return torch.nn.functional.silu(x @ gate) * (x @ up) @ down


def torch_attention(x: Any, q: Any, k: Any, v: Any, out: Any) -> Any:
    import torch

    width = FEATURES // HEADS
    heads = ((x @ w).view(1, len(x), -1, width).transpose(1, 2) for w in (q, k, v))
    mixed = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
    return mixed.transpose(1, 2).reshape(len(x), -1) @ out


def milliseconds(call: Any) -> float:
    """The median time of a call on this rank's GPU."""
    import torch

    times = []
    for turn in range(TIMES + 3):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.distributed.barrier()
        begin.record()
        call()
        end.record()
        end.synchronize()
        if turn >= 3:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def run_layers(folder: Path) -> dict[str, Any]:
    """Each layer divided: how far from torch's on whole weights, and its time beside torch's with the same sharding."""
    import tessera
    import torch

    artifact = tessera.load(folder / f"layers-{SIZE}.tsr")
    square = (FEATURES, FEATURES)
    cases = {
        "swiglu": (torch_swiglu, [(TOKENS, FEATURES), (FEATURES, HIDDEN), (FEATURES, HIDDEN), (HIDDEN, FEATURES)]),
        "attention": (torch_attention, [(TOKENS, FEATURES), *[square] * 4]),
    }
    found = {}
    for name, (reference, shapes) in cases.items():
        whole = tensors(shapes)
        dims = [None, *[1] * (len(shapes) - 2), 0]
        parts = [part(x, dim) for x, dim in zip(whole, dims, strict=True)]

        def theirs(reference: Any = reference, parts: Any = parts) -> Any:
            y = reference(*parts)
            torch.distributed.all_reduce(y)
            return y

        entry = artifact.entry(name)
        exact = reference(*(x.double() for x in whole))
        error = (entry(*parts).double() - exact).abs().max() / exact.abs().max()
        found[name] = {
            "error": float(error),
            "torch_error": float((theirs().double() - exact).abs().max() / exact.abs().max()),
            "ms": milliseconds(lambda entry=entry, parts=parts: entry(*parts)),
            "torch_ms": milliseconds(theirs),
        }
    return found


def run_beside(folder: Path) -> dict[str, float]:
    """Milliseconds of an all-reduce of 256 MiB and of a product, each alone and both in one program."""
    import tessera
    import torch

    artifact = tessera.load(folder / f"layers-{SIZE}.tsr")
    x, w = tensors([(TOKENS, FEATURES), (FEATURES, HIDDEN)])
    g = torch.ones(REDUCED, device="cuda")
    arguments = {"reduced": (g,), "product": (x, w), "beside": (x, w, g)}
    y, total = artifact.entry("beside")(*arguments["beside"])
    if not (total == SIZE).all() or not torch.equal(y, artifact.entry("product")(x, w)):
        sys.exit("wrong results of a product beside an all-reduce")
    calls = {name: functools.partial(artifact.entry(name), *given) for name, given in arguments.items()}
    return {name: milliseconds(call) for name, call in calls.items()}


def run_llama(folder: Path) -> dict[str, Any]:
    """Greedy tokens and logits on all ranks."""
    import tessera
    import torch

    artifact = tessera.load(folder / f"llama-{SIZE}.tsr")
    lengths = torch.tensor([len(prompt) for prompt in PROMPT], device="cuda")
    ids = torch.zeros(len(PROMPT), int(lengths.max()) + NEW_TOKENS, dtype=torch.int64, device="cuda")
    for row, prompt in zip(ids, PROMPT, strict=True):
        row[: len(prompt)] = torch.tensor(prompt, device="cuda")
    logits = []
    for _ in range(NEW_TOKENS):
        logits.append(artifact(ids, lengths))
        ids[torch.arange(len(PROMPT), device="cuda"), lengths] = logits[-1].argmax(-1)
        lengths = lengths + 1
    return {"tokens": ids.tolist(), "logits": torch.stack(logits).cpu().double().flatten().tolist()}


def run(folder: Path, out: Path) -> None:
    """All of it; rank 0 writes the results."""
    import torch

    take_gpu()
    torch.distributed.init_process_group("nccl")
    results = {"ranks": SIZE, "device": torch.cuda.get_device_name(), "llama": run_llama(folder), **run_layers(folder)}
    results["overlap"] = run_beside(folder)
    if RANK == 0:
        out.write_text(json.dumps(results))
    torch.distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    building = commands.add_parser("build")
    building.add_argument("folder", type=Path)
    building.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    running = commands.add_parser("run")
    running.add_argument("folder", type=Path)
    running.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "build":
        build(arguments.folder, arguments.ranks)
    else:
        run(arguments.folder, arguments.out)


if __name__ == "__main__":
    main()
