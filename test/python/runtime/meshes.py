# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Meshes for tests: artifacts with collectives made by hand, and ranks started by MPI's launcher."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fake_cuda
from handmade import Entry, compile_c, pack, rt, tensor, value
from programs import N, function

RANKS = Path(__file__).with_name("mesh_ranks.py")
GPU_RANKS = Path(__file__).with_name("mesh_gpu_ranks.py")
FAKE_NCCL = Path(__file__).parents[2] / "fake_nccl" / "fake_nccl.cpp"
PACKAGE = str(Path(rt.__file__).parent)
MPIEXEC = Path(sys.prefix) / "bin" / "mpiexec"
# As `tessera launch` does, so that ranks survive one that is killed.
IN_SHELL = ["sh", "-c", 'trap "" USR1; "$@"; exit $?', "rank"]

RUN = function("run", "return tsr_runtime->collective_run(0, b[0], b[1], s[0]);")
BESIDE = function("run_beside", "int32_t e = tsr_runtime->collective_start(0, b[0], b[1], s[0]); if (e) return e;"
                  "return tsr_runtime->collective_wait(0);")  # fmt: skip
IN_PLACE = function("run_in_place", "if (ON_GPU) tsr_runtime->copy(b[1], b[0], s[0] * 4);"
                    "else for (int64_t i = 0; i < s[0]; ++i) ((float *)b[1])[i] = ((const float *)b[0])[i];"
                    "int32_t e = tsr_runtime->collective_start(0, b[1], b[1], s[0]); if (e) return e;"
                    "return tsr_runtime->collective_wait(0);")  # fmt: skip


def mesh(shape: list[int], devices: list[int] | None = None) -> dict[str, Any]:
    """A manifest's mesh: axes ``a``, ``b``, ..."""
    size = 1
    for axis in shape:
        size *= axis
    return {"shape": shape, "axes": list("abcdef"[: len(shape)]), "devices": devices or list(range(size))}


def collective(kind: str, axes: list[str], dtype: str = "f32", **fields: Any) -> dict[str, Any]:
    """A manifest's collective; the reductions sum unless told."""
    usual = {"op": "sum"} if kind in ("all_reduce", "reduce_scatter") else {}
    usual |= {"root": 0} if kind == "broadcast" else {}
    usual |= {"offset": 1, "periodic": True} if kind == "shift" else {}
    return {"kind": kind, "axes": axes, "dtype": dtype, "source": "model.py:12", **usual, **fields}


def members(grid: dict[str, Any], axes: list[str]) -> int:
    """How many ranks a group along these axes has."""
    size = 1
    for axis in axes:
        size *= grid["shape"][grid["axes"].index(axis)]
    return size


def one(grid: dict[str, Any], described: dict[str, Any]) -> Entry:
    """An entry that runs one collective on ``x``; N is the count of one rank's chunk."""
    size = members(grid, described["axes"])
    sizes = {"all_gather": (1, size), "reduce_scatter": (size, 1), "all_to_all": (size, size)}
    source, target = ("N" if times == 1 else ["*", "N", times] for times in sizes.get(described["kind"], (1, 1)))
    inputs = [tensor("x", described["dtype"], source)]
    if source != "N":  # a symbol occurs bare somewhere
        inputs = [tensor("x", described["dtype"], source), tensor("n", "bool", "N")]
    return Entry("", inputs, [value(described["dtype"], target)], [N], mesh=grid, collectives=[described])


def artifact(
    entries: dict[str, Entry], symbols: dict[str, str] | None = None, source: str = "", target: str = "cpu"
) -> bytes:
    """A ``.tsr`` whose entries share C functions: ``run`` unless ``symbols`` names another.

    ``run_beside`` does the same as a program that runs something else meanwhile.
    """
    path = f"host/x86_64-linux-gnu/{target}.o"
    manifest: dict[str, Any] = {"format": 1, "abi": 1, "producer": {"tessera": "test"}, "entries": {}}
    if target != "cpu":
        manifest["modules"] = {target: {"arch": target, "kernels": []}}
    spread = (RUN + BESIDE).replace("b[1]", "b[2]").replace("(void *const", "_spread(void *const")
    for name, entry in entries.items():
        described = entry.manifest(name, {path: []})
        symbol = (symbols or {}).get(name, "run")
        described["variants"][0]["symbol"] = f"{symbol}_spread" if len(entry.inputs) == 2 else symbol
        if target != "cpu":
            described["variants"][0]["module"] = target
        manifest["entries"][name] = described
    return pack(
        {path: compile_c(RUN + BESIDE + spread + IN_PLACE + source, f"-DON_GPU={int(target != 'cpu')}")}, manifest
    )


# ---- Starting ranks


@dataclass
class Ended:
    """What became of the ranks: their reports by rank (None: none), the launcher's status and output."""

    reports: list[Any]
    status: int
    output: str
    seconds: float
    statuses: list[int] = field(default_factory=list)  # of each rank, where the launcher tells


def start(
    size: int, case: str, folder: Path, *arguments: Any, limit: float = 60, launcher: list[str] | None = None,
    **environment: str,
) -> Ended:  # fmt: skip
    """Run a case of ``mesh_ranks.py`` on this many ranks; each writes its report to a file in ``folder``."""
    command = launcher or [str(MPIEXEC), "-disable-auto-cleanup", "-n", str(size), *IN_SHELL]
    command = [*command, sys.executable, str(RANKS), case, str(folder), *map(str, arguments)]
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={**os.environ, "TESSERA_PACKAGE": PACKAGE, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )
    files = [folder / f"{rank}.json" for rank in range(size)]
    reports = [json.loads(file.read_text()) if file.exists() else None for file in files]
    return Ended(reports, done.returncode, done.stdout, time.monotonic() - began)


# ---- Ranks with fake GPUs


@cache
def fake_nccl() -> Path:
    """The fake NCCL, compiled once for a process."""
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler, "the fake NCCL is C++: install g++"
    target = Path(tempfile.mkdtemp(prefix="fake-nccl-")) / "libfakenccl.so"
    command = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", str(FAKE_NCCL)]
    subprocess.run([*command, "-o", str(target), "-ldl"], check=True)
    return target


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_on_gpus(
    size: int,
    case: str,
    folder: Path,
    *arguments: Any,
    limit: float = 60,
    faults: dict[int, str] | None = None,
    environments: dict[int, dict[str, str]] | None = None,
    **environment: str,
) -> Ended:
    """Run a case of ``mesh_gpu_ranks.py`` on this many ranks, as torchrun would; ``faults`` are the fake NCCL's."""
    usual = {
        **os.environ,
        "TESSERA_LIBCUDA": str(fake_cuda.library_path()),
        "TESSERA_LIBNCCL": str(fake_nccl()),
        "FAKE_CUDA_ASYNC": "1",
        "FAKE_NCCL_FOLDER": str(folder),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(size),
        "TESSERA_PACKAGE": PACKAGE,
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    began = time.monotonic()
    processes = []
    for rank in range(size):
        own = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "REPORT": str(rank),
            "FAKE_NCCL_FAULT": (faults or {}).get(rank, ""),
        }
        command = [sys.executable, str(GPU_RANKS), case, str(folder), *map(str, arguments)]
        processes.append(
            subprocess.Popen(
                command,
                env={**usual, **own, **(environments or {}).get(rank, {})},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = []
    for process in processes:
        try:
            outputs.append(process.communicate(timeout=limit - (time.monotonic() - began))[0])
        except subprocess.TimeoutExpired:
            process.kill()
            outputs.append(process.communicate()[0] + "\nkilled by the test, as it hangs\n")
    files = [folder / f"{rank}.json" for rank in range(size)]
    reports = [json.loads(file.read_text()) if file.exists() else None for file in files]
    statuses = [process.returncode for process in processes]
    return Ended(reports, max(map(abs, statuses)), "\n".join(outputs), time.monotonic() - began, statuses)
