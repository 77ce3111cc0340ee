# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From traced entries to an artifact's bytes."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tessera.array import to_numpy
from tessera.artifact import ir_member
from tessera.container import WEIGHTS, pack
from tessera.driver import worker
from tessera.driver.job import CompilationFailed, Compiled, DeviceModule, Job, Progress, StoppedBefore
from tessera.driver.reproduce import compile_error, with_pipeline
from tessera.driver.targets import GpuTarget, Target
from tessera.driver.toolkit import Toolkit, find_toolkit
from tessera.errors import CompileError
from tessera.stages import TEXT_STAGES, stage_file, stages_of
from tessera.weights import WeightsFile


@dataclass(frozen=True)
class Traced:
    """One entry as the frontend gives it: a module as MLIR bytecode, its manifest entry, its weights (any arrays)."""

    name: str
    module: bytes
    manifest: Mapping[str, Any]
    weights: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How to run the compiler. Only the last three change the code that is made, and two of them only that for GPUs.

    Attributes
    ----------
    keep_ir
        Put the IR of every stage into the artifact.
    dump_dir
        A folder for the IR of every stage.
    in_process
        Run the pipelines in this process: a crash of the compiler is then a crash of this process.
    timeout
        Seconds after which a compile is given up; not honoured in-process.
    progress
        Called as each stage begins.
    ptxas
        The assembler for GPU targets, where not the one that `tessera.driver.toolkit` finds.
    lineinfo
        Keep the user's source lines in cubins, for profilers and debuggers.
    debug
        Keep every check of values, and have what kernels compute checked or shown as calls run; ``"nan"`` admits
        infinities.
    """

    keep_ir: bool = False
    dump_dir: str | os.PathLike[str] | None = None
    in_process: bool = False
    timeout: float | None = None
    progress: Progress | None = None
    ptxas: str | os.PathLike[str] | None = None
    lineinfo: bool = False
    debug: bool | Literal["nan"] = False


def build(
    entries: Sequence[Traced], targets: tuple[Target, ...], options: Options
) -> tuple[bytes, dict[str, dict[str, float]]]:
    """Compile entries for targets and pack the artifact.

    Returns
    -------
    data
        The bytes of a ``.tsr`` file: the same for the same entries, targets and versions.
    seconds
        The time of each stage, by target.
    """
    job = make_job(entries, targets, options)
    keep = TEXT_STAGES if options.keep_ir or options.dump_dir is not None else ()
    compiled = run_job(replace(job, keep=keep), options)
    members: dict[str, bytes | WeightsFile] = {}
    modules: dict[str, Any] = {}
    for target, result in zip(targets, compiled, strict=True):
        members[target.object_member] = result.object
        if isinstance(target, GpuTarget):
            assert result.module is not None
            modules[target.name], code = pack_module(target, result.module)
            members |= code
    if options.keep_ir:
        for result in compiled:
            members |= {ir_member(result.target, stage): text.encode() for stage, text in result.ir.items()}
    entries, weights = merge_weights(entries)
    if weights:
        members[WEIGHTS] = WeightsFile({name: to_numpy(array) for name, array in weights.items()})
    manifest = {
        "producer": producer() | (job.toolkit.versions if job.toolkit is not None else {}),
        "entries": {entry.name: manifest_entry(entry, targets, compiled, options.debug) for entry in entries},
        **({"modules": modules} if modules else {}),
    }
    return pack(manifest, members), {result.target: result.seconds for result in compiled}


def make_job(entries: Sequence[Traced], targets: tuple[Target, ...], options: Options) -> Job:
    """Say what is to be compiled, with the tools of this machine that it takes.

    Raises
    ------
    ToolError
        When there is a GPU target, and a tool is missing.
    """
    toolkit = find_toolkit(options.ptxas) if any(isinstance(target, GpuTarget) for target in targets) else None
    modules = tuple((entry.name, entry.module) for entry in entries)
    return Job(modules, targets, toolkit=toolkit, lineinfo=options.lineinfo, debug=bool(options.debug))


def pack_module(target: GpuTarget, module: DeviceModule) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a GPU target's entry in the manifest, and the members that hold its code, named by what is in them."""
    described: dict[str, Any] = {"arch": target.name}
    members = {}

    def add(kind: str, folder: str, data: bytes) -> None:
        described[kind] = f"{folder}/{hashlib.sha256(data).hexdigest()[:16]}.{kind}"
        members[described[kind]] = data

    if module.cubin:
        add("cubin", f"cuda/{target.name}", module.cubin)
        if target.is_portable:
            add("ptx", target.ptx_folder, module.ptx.encode())
    return {**described, "kernels": module.kernels}, members


def merge_weights(entries: Sequence[Traced]) -> tuple[list[Traced], dict[str, Any]]:
    """Give different weights of several entries different names; entries of one module share theirs."""
    merged: dict[str, Any] = {}
    renamed = []
    for entry in entries:
        names = {}
        for name, array in entry.weights.items():
            names[name] = name if merged.get(name, array) is array else f"{entry.name}.{name}"
            merged[names[name]] = array
        inputs = [
            {**item, "name": names.get(item["name"], item["name"])} if item["kind"] == "weight" else item
            for item in entry.manifest["inputs"]
        ]
        renamed.append(replace(entry, manifest={**entry.manifest, "inputs": inputs}))
    return renamed, merged


def manifest_entry(
    entry: Traced, targets: tuple[Target, ...], compiled: list[Compiled], debug: bool | Literal["nan"] = False
) -> dict[str, Any]:
    """Complete the frontend's entry with what the compiler knows."""
    variants = [
        {
            "target": target.name,
            "triple": target.triple,
            "object": target.object_member,
            "symbol": entry.name,
            "workspace": f"{entry.name}.workspace",
            "features": list(target.features),
            **({"module": target.name} if isinstance(target, GpuTarget) else {}),
            **({"values": result.values.get(entry.name, []), "allow_infinity": debug == "nan"} if debug else {}),
        }
        for target, result in zip(targets, compiled, strict=True)
    ]
    kernels = _entry_kernels(entry.name, compiled)
    syncs = list(dict.fromkeys(line for result in compiled for line in result.host_syncs.get(entry.name, ())))
    return {
        **entry.manifest,
        "outputs": _entry_outputs(entry, compiled[0].shardings.get(entry.name)),
        "variants": variants,
        "kernels": kernels,
        "host_syncs": syncs,
        "collectives": _entry_collectives(entry, compiled),
    }


def _entry_outputs(entry: Traced, shardings: list[list[list[int]]] | None) -> list[dict[str, Any]]:
    """The results: those that the compiler divided, as a rank has them."""
    outputs: list[dict[str, Any]] = entry.manifest["outputs"]
    if shardings is None:
        return outputs
    mesh = entry.manifest["mesh"]

    def divided(size: Any, axes: list[int]) -> Any:
        parts = math.prod(mesh["shape"][axis] for axis in axes)
        return size if parts == 1 else size // parts if isinstance(size, int) else ["//", size, parts]

    return [
        {
            **output,
            "shape": [divided(size, axes) for size, axes in zip(output["shape"], cuts, strict=True)],
            "sharding": [[mesh["axes"][axis] for axis in axes] for axes in cuts],
        }
        for output, cuts in zip(outputs, shardings, strict=True)
    ]


def _entry_collectives(entry: Traced, compiled: list[Compiled]) -> list[dict[str, Any]]:
    """What the ranks do together, which is the same for all targets: axes by name."""
    rows = compiled[0].collectives.get(entry.name, [])
    if any(_without_sizes(result.collectives.get(entry.name, [])) != _without_sizes(rows) for result in compiled):
        raise CompileError(f"[TSR4001] {entry.name}: expected one sequence of collectives for all targets")
    return [{**row, "axes": [entry.manifest["mesh"]["axes"][axis] for axis in row["axes"]]} for row in rows]


def _without_sizes(collectives: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collectives without what may be one size in two forms."""
    return [{key: value for key, value in row.items() if key not in ("count", "runs")} for row in collectives]


def _entry_kernels(entry: str, compiled: list[Compiled]) -> list[dict[str, Any]]:
    """The kernels that an entry dispatches; one that only some targets have names them."""
    found: list[tuple[dict[str, Any], list[str]]] = []
    for result in compiled:
        for kernel in result.kernels.get(entry, []):
            same = next((targets for other, targets in found if other == kernel), None)
            if same is None:
                found.append((kernel, [result.target]))
            else:
                same.append(result.target)
    return [kernel if len(targets) == len(compiled) else {**kernel, "targets": targets} for kernel, targets in found]


def run_job(job: Job, options: Options) -> list[Compiled]:
    """Run a job where the options say.

    Raises
    ------
    CompileError
        With the user's source lines and the path of a reproducer.
    """

    def run(job: Job, progress: Progress | None = None) -> list[Compiled]:
        if options.in_process:
            from tessera.driver import pipeline

            return pipeline.run(job, progress)
        return worker.shared().run(job, timeout=options.timeout, progress=progress)

    try:
        compiled = run(job, options.progress)
    except CompilationFailed as error:
        failure = with_pipeline(error.failure, job)
        _dump(options.dump_dir, failure.target, failure.ir)
        raise compile_error(failure, job, run) from None
    for result in compiled:
        _dump(options.dump_dir, result.target, result.ir)
    return compiled


def lower_to(job: Job, target: Target, stage: str, options: Options) -> str:
    """Return the IR of one stage: what `Artifact.mlir` calls for an artifact that kept none."""
    compiled = run_job(replace(job, targets=(target,), keep=(stage,), last=stage), options)
    return compiled[0].ir[stage]


def cache_key(entries: Sequence[Traced], targets: tuple[Target, ...], toolkit: Toolkit | None = None) -> str:
    """Name the artifact that these inputs give, without making it.

    Weights are no part of it: cached artifacts hold none. Locations are: they reach the artifact in the manifest's
    ``source`` fields and in messages of guards.
    """
    digest = hashlib.sha256(repr((compiler_id(), toolkit and toolkit.versions)).encode())
    for target in targets:
        digest.update(repr(target).encode())
    for entry in entries:
        for part in (entry.name.encode(), entry.module, repr(entry.manifest).encode()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


@functools.cache
def compiler_id() -> str:
    """Identify this build of the compiler: a changed pass must not find what the old one cached."""
    package = Path(__file__).resolve().parents[1]
    files = [*package.glob("driver/*.py"), *package.glob("_mlir/_mlir_libs/*.so")]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files)]
    return repr((sorted(producer().items()), stats))


@functools.cache
def producer() -> dict[str, str]:
    """Versions of what makes artifacts.

    Raises
    ------
    ModuleNotFoundError
        When this installation has the runtime only.
    """
    import llvmlite

    from tessera._mlir._mlir_libs import _tessera

    return {"tessera": version(), "mlir": _tessera.mlir_version, "llvmlite": llvmlite.__version__}


def version() -> str:
    """The version of Tessera."""
    try:
        return importlib.metadata.version("tessera-compiler")
    except importlib.metadata.PackageNotFoundError:
        return "0.1.0"  # run from a build tree


def _dump(folder: str | os.PathLike[str] | None, target: str, texts: Mapping[str, str]) -> None:
    """Write each stage's text as ``<target>/<number>-<stage>.mlir`` (``.ptx``, ``.ll``)."""
    if folder is None or not texts:
        return
    place = Path(folder) / target.replace(":", "-")
    place.mkdir(parents=True, exist_ok=True)
    for stage, text in texts.items():
        (place / f"{stages_of(target).index(stage)}-{stage_file(stage)}").write_text(text)


__all__ = [
    "Options",
    "StoppedBefore",
    "Traced",
    "build",
    "cache_key",
    "compiler_id",
    "lower_to",
    "make_job",
    "producer",
    "run_job",
    "version",
]
