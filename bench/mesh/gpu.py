# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Check and time collectives on real GPUs, beside torch.distributed.

``python -m bench.mesh.gpu build DIR --ranks 2`` writes artifacts, where there need be no GPU. Where there are some:

* ``TESSERA_MESH_LOOPBACK=1 python bench/mesh/gpu.py check DIR``: every collective, dtype and operation, one rank, also
  in CUDA graphs; ``torchrun --nproc-per-node 2 bench/mesh/gpu.py check DIR``: the same between two.
* ``torchrun --nproc-per-node 2 bench/mesh/gpu.py bandwidth DIR --out FILE``: all-reduces of 1 MiB to 1 GiB.
* ``python bench/mesh/gpu.py kill DIR``: two ranks of its own, of which one is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DTYPES = ["f64", "f32", "f16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8", "int16", "int32", "int64", "bool"]
REDUCIBLE = ["f64", "f32", "f16", "bf16", "int8", "int32", "int64", "bool"]
RANK, SIZE = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def build(folder: Path, ranks: list[int]) -> None:
    """An artifact for each number of ranks."""
    from bench.mesh.artifacts import every_collective

    folder.mkdir(parents=True, exist_ok=True)
    for count in ranks:
        (folder / f"{count}.tsr").write_bytes(every_collective(count, DTYPES, REDUCIBLE, "sm_90a"))


# ---- On the machine with GPUs


def load(folder: Path) -> Any:
    """The artifact for as many ranks as there are, with this rank's GPU made current."""
    import torch
    from tessera import _runtime

    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return _runtime.load(folder / f"{SIZE}.tsr")


def sample(rank: int, turn: int, dtype: str, count: int) -> Any:
    """Small whole numbers, which every order of adding sums exactly."""
    import torch

    kinds = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
             "fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2, "bool": torch.bool}  # fmt: skip
    values = (torch.arange(count) * 7 + rank * 13 + turn * 3) % 4 - 1
    return (values % 2 if dtype == "bool" else values).float().to(kinds.get(dtype) or getattr(torch, dtype))


def expected(what: dict[str, Any], inputs: list[Any], rank: int) -> Any:
    """What a rank has afterwards, on the CPU."""
    import torch

    kind, kept = what["kind"], inputs[0].dtype
    if kind in ("all_reduce", "reduce_scatter"):
        parts = [x.chunk(SIZE)[rank] if kind == "reduce_scatter" else x for x in inputs]
        wide = torch.stack([part.to(torch.float64) for part in parts])
        fold = {"sum": wide.sum(0), "prod": wide.prod(0), "max": wide.amax(0), "min": wide.amin(0)}
        return fold[what["op"]].to(kept)
    inputs = [bits(x) for x in inputs]
    if kind == "all_gather":
        return torch.cat(inputs)
    if kind == "all_to_all":
        return torch.cat([x.chunk(SIZE)[rank] for x in inputs])
    if kind == "broadcast":
        return inputs[what["root"]]
    source = rank - what["offset"]
    if not what["periodic"] and not 0 <= source < SIZE:
        return torch.zeros_like(inputs[0])
    return inputs[source % SIZE]


def check(folder: Path) -> None:
    """Each entry directly, in a graph of ours and in one of torch's, with several sizes."""
    import torch

    program = load(folder)
    wrong, checked = [], 0
    for name, entry in json.loads(program.manifest)["entries"].items():
        [what], f = entry["collectives"], program.entry(name)
        spread = len(entry["inputs"]) == 2
        for count in (1, 1000, 0):
            extra = [torch.zeros(count, dtype=torch.bool, device="cuda")] if spread else []
            turns = [
                [sample(rank, turn, what["dtype"], count * (SIZE if spread else 1)) for rank in range(SIZE)]
                for turn in range(3)
            ]
            x = turns[0][RANK].cuda()
            got = [f(x, *extra)]
            if count == 1000:
                got += replays(f, x, extra, turns)
            for turn, result in enumerate(got):
                checked += 1
                same = torch.equal(bits(result.cpu()), bits(expected(what, turns[turn], RANK)))
                if not same:
                    wrong.append(f"{name}, {count} elements, turn {turn}")
    print(json.dumps({"rank": RANK, "checked": checked, "wrong": wrong, "nccl": torch.cuda.nccl.version()}))
    sys.exit(bool(wrong))


def bits(x: Any) -> Any:
    """Floats of 8 bits cannot be compared."""
    import torch

    return x.view(torch.uint8) if x.element_size() == 1 else x


def replays(f: Any, x: Any, extra: list[Any], turns: list[list[Any]]) -> list[Any]:
    """The results of a graph of ours for turn 1, and of torch's for turn 2."""
    import torch

    graph = f.capture(x, *extra)
    x.copy_(turns[1][RANK])
    graph.replay()
    first = graph.outputs.clone()
    captured = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(captured):
        y = f(x, *extra)
    x.copy_(turns[2][RANK])
    captured.replay()
    torch.cuda.synchronize()
    return [first, y.clone()]


def bandwidth(folder: Path, out: Path | None) -> None:
    """Bus bandwidth of all-reduces in f32, ours and torch.distributed's in turns."""
    import torch
    import torch.distributed as dist

    f = load(folder).entry("all_reduce f32 sum")
    dist.init_process_group("nccl")
    rows = []
    for power in range(20, 31, 2):
        x = torch.ones(2**power // 4, device="cuda")
        y = torch.empty_like(x)
        calls = {"ours": lambda x=x, y=y: f(x, out=y), "torch": lambda y=y: dist.all_reduce(y)}
        times: dict[str, list[float]] = {name: [] for name in calls}
        repeats = max(5, min(200, 2**32 // 2**power))
        for turn in range(9):
            for name, call in calls.items():
                y.zero_()
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                call()
                dist.barrier()
                torch.cuda.synchronize()
                begin.record()
                for _ in range(repeats):
                    call()
                end.record()
                torch.cuda.synchronize()
                if turn > 0:
                    times[name].append(begin.elapsed_time(end) / 1e3 / repeats)
        bus = {name: 2 * (SIZE - 1) / SIZE * 2**power / statistics.median(t) / 1e9 for name, t in times.items()}
        ratio = statistics.median(b / a for a, b in zip(times["ours"], times["torch"], strict=True))
        rows.append({"bytes": 2**power, **{f"{name} GB/s": round(b, 1) for name, b in bus.items()}, "ratio": ratio})
        if RANK == 0:
            print(rows[-1], flush=True)
    if RANK == 0 and out:
        device = torch.cuda.get_device_name()
        out.write_text(json.dumps({"device": f"{SIZE} × {device}", "nccl": torch.cuda.nccl.version(), "rows": rows}))
    dist.destroy_process_group()


def victim(folder: Path) -> None:
    """Rank 1 is killed; rank 0 waits for its GPU, and never looks at the runtime."""
    import torch

    f = load(folder).entry("all_reduce f32 sum")
    x = torch.ones(1000, device="cuda")
    f(x)
    torch.cuda.synchronize()
    if RANK == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    f(x)
    torch.cuda.synchronize()
    time.sleep(60)


def kill(folder: Path) -> None:
    """Start two ranks; the survivor ends in time, with an error that names the other."""
    usual = {**os.environ, "WORLD_SIZE": "2", "TESSERA_COORDINATOR": "127.0.0.1:29877", "TESSERA_MESH_TIMEOUT": "20"}
    command = [sys.executable, __file__, "victim", str(folder)]
    began = time.monotonic()
    survivor, other = (
        subprocess.Popen(
            command,
            env={**usual, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    )
    told = survivor.communicate(timeout=120)[0].strip().splitlines()[-1]
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "statuses": [survivor.returncode, other.wait()], "told": told}))
    sys.exit(
        survivor.returncode == 0 or "rank 1 has ended" not in told or seconds > 50
    )  # before it would end by itself


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["build", "check", "bandwidth", "kill", "victim"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.what == "build":
        build(chosen.folder, chosen.ranks)
    elif chosen.what == "bandwidth":
        bandwidth(chosen.folder, chosen.out)
    else:
        {"check": check, "kill": kill, "victim": victim}[chosen.what](chosen.folder)


if __name__ == "__main__":
    main()
