# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Check and time collectives on real GPUs, beside torch.distributed.

``python -m bench.mesh.gpu build DIR --ranks 2`` writes artifacts, where there need be no GPU. Where there are some:

* ``TESSERA_MESH_LOOPBACK=1 python bench/mesh/gpu.py check DIR``: every collective, dtype and operation, one rank, also
  in CUDA graphs; ``torchrun --nproc-per-node 2 bench/mesh/gpu.py check DIR``: the same between two, over each axis of
  each mesh of one, two or three axes.
* ``torchrun --nproc-per-node 2 bench/mesh/gpu.py bandwidth DIR --out FILE``: all-reduces of 1 MiB to 1 GiB.
* ``python bench/mesh/gpu.py kill DIR``: two ranks of its own, of which one is killed.

With fewer GPUs than ranks, the checks run all the same: see `take_gpu`.
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


def take_gpu() -> None:
    """Make this rank's GPU current.

    Where there are fewer GPUs than ranks, all take the first, and NCCL believes that each is a host of its own: they
    talk by sockets, and take turns on the GPU. What they compute is the same, how fast means nothing.
    """
    import torch

    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.device_count() < SIZE:
        os.environ |= {"NCCL_HOSTID": f"rank-{RANK}", "NCCL_SOCKET_IFNAME": "lo", "NCCL_NET": "Socket"}
        rank = 0
    torch.cuda.set_device(rank)


def load(folder: Path) -> Any:
    """The artifact for as many ranks as there are, with this rank's GPU made current."""
    from tessera import _runtime

    take_gpu()
    return _runtime.load(folder / f"{SIZE}.tsr")


def sample(rank: int, turn: int, dtype: str, count: int) -> Any:
    """Small whole numbers, which every order of adding sums exactly."""
    import torch

    kinds = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
             "fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2, "bool": torch.bool}  # fmt: skip
    values = (torch.arange(count) * 7 + rank * 13 + turn * 3) % 4 - 1
    return (values % 2 if dtype == "bool" else values).float().to(kinds.get(dtype) or getattr(torch, dtype))


def group(grid: dict[str, Any], axes: list[str]) -> list[int]:
    """The ranks of this one's group, in order."""
    import torch

    ranks = torch.tensor(grid["devices"]).reshape(grid["shape"])
    [own] = (ranks == RANK).nonzero().tolist()
    index = tuple(slice(None) if axis in axes else at for axis, at in zip(grid["axes"], own, strict=True))
    found: list[int] = ranks[index].flatten().tolist()
    return found


def expected(what: dict[str, Any], inputs: list[Any], place: int) -> Any:
    """What the rank at this place of a group has afterwards, on the CPU."""
    import torch

    kind, kept, size = what["kind"], inputs[0].dtype, len(inputs)
    if kind in ("all_reduce", "reduce_scatter"):
        parts = [x.chunk(size)[place] if kind == "reduce_scatter" else x for x in inputs]
        wide = torch.stack([part.to(torch.float64) for part in parts])
        fold = {"sum": wide.sum(0), "prod": wide.prod(0), "max": wide.amax(0), "min": wide.amin(0)}
        return fold[what["op"]].to(kept)
    inputs = [bits(x) for x in inputs]
    if kind == "all_gather":
        return torch.cat(inputs)
    if kind == "all_to_all":
        return torch.cat([x.chunk(size)[place] for x in inputs])
    if kind == "broadcast":
        return inputs[what["root"]]
    source = place - what["offset"]
    if not what["periodic"] and not 0 <= source < size:
        return torch.zeros_like(inputs[0])
    return inputs[source % size]


def check(folder: Path) -> None:
    """Each entry directly; on the mesh of one axis also with several sizes, in our graphs and in torch's."""
    import torch

    program = load(folder)
    wrong, checked = [], 0
    for name, entry in json.loads(program.manifest)["entries"].items():
        [what], f = entry["collectives"], program.entry(name)
        spread, is_whole = len(entry["inputs"]) == 2, len(entry["mesh"]["shape"]) == 1
        ranks = group(entry["mesh"], what["axes"])
        place = ranks.index(RANK)
        for count in (1, 1000, 0) if is_whole else (1000,):
            extra = [torch.zeros(count, dtype=torch.bool, device="cuda")] if spread else []
            turns = [
                [sample(rank, turn, what["dtype"], count * (len(ranks) if spread else 1)) for rank in ranks]
                for turn in range(3)
            ]
            x = turns[0][place].cuda()
            got = [f(x, *extra)]
            if count == 1000 and is_whole:
                got += replays(f, x, extra, turns, place)
            for turn, result in enumerate(got):
                checked += 1
                same = torch.equal(bits(result.cpu()), bits(expected(what, turns[turn], place)))
                if not same:
                    wrong.append(f"{name}, {count} elements, turn {turn}")
    print(json.dumps({"rank": RANK, "checked": checked, "wrong": wrong, "nccl": torch.cuda.nccl.version()}))
    sys.exit(bool(wrong))


def bits(x: Any) -> Any:
    """Floats of 8 bits cannot be compared."""
    import torch

    return x.view(torch.uint8) if x.element_size() == 1 else x


def replays(f: Any, x: Any, extra: list[Any], turns: list[list[Any]], place: int) -> list[Any]:
    """The results of a graph of ours for turn 1, and of torch's for turn 2."""
    import torch

    graph = f.capture(x, *extra)
    x.copy_(turns[1][place])
    graph.replay()
    first = graph.outputs.clone()
    captured = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(captured):
        y = f(x, *extra)
    x.copy_(turns[2][place])
    captured.replay()
    torch.cuda.synchronize()
    return [first, y.clone()]


def bandwidth(folder: Path, out: Path | None) -> None:
    """Times of all-reduces in f32, ours and torch.distributed's in turns, and their bus bandwidth.

    On one rank, with TESSERA_MESH_LOOPBACK=1, small ones show what a call costs beside the data's way.
    """
    import torch
    import torch.distributed as dist

    f = load(folder).entry(f"[{SIZE}] a all_reduce f32 sum")
    dist.init_process_group("nccl")
    rows = []
    for power in range(10 if SIZE == 1 else 20, 31, 2):
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
        median = {name: statistics.median(t) for name, t in times.items()}
        bus = {f"{name} GB/s": round(2 * (SIZE - 1) / SIZE * 2**power / t / 1e9, 1) for name, t in median.items()}
        each = {f"{name} us": round(t * 1e6, 1) for name, t in median.items()}
        ratio = statistics.median(b / a for a, b in zip(times["ours"], times["torch"], strict=True))
        rows.append({"bytes": 2**power, **bus, **each, "ratio": ratio})
        if RANK == 0:
            print(rows[-1], flush=True)
    if RANK == 0 and out:
        device = torch.cuda.get_device_name()
        out.write_text(json.dumps({"device": f"{SIZE} × {device}", "nccl": torch.cuda.nccl.version(), "rows": rows}))
    dist.destroy_process_group()


def victim(folder: Path) -> None:
    """Rank 1 is killed; rank 0 waits for its GPU, and never looks at the runtime."""
    import torch

    f = load(folder).entry("[2] a all_reduce f32 sum")
    x = torch.ones(1000, device="cuda")
    f(x)
    torch.cuda.synchronize()
    if RANK == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    began = time.monotonic()
    try:
        f(x)
        torch.cuda.synchronize()
        time.sleep(60)
    finally:
        print(f"told after {time.monotonic() - began:.1f} s", flush=True)


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
    lines = survivor.communicate(timeout=120)[0].strip().splitlines()
    seconds = time.monotonic() - began
    after = [line for line in lines if line.startswith("told after")]
    told = lines[-1]
    print(
        json.dumps({"seconds": seconds, "after": after, "statuses": [survivor.returncode, other.wait()], "told": told})
    )
    # Before it would end by itself.
    sys.exit(survivor.returncode == 0 or "rank 1 has ended" not in told or seconds > 50)


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
