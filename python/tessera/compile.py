# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ahead-of-time compilation: `tessera.compile`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from tessera.artifact import Artifact
from tessera.container import Container, write_atomically
from tessera.driver import worker
from tessera.driver.build import Options, Traced, build, lower_to, make_job
from tessera.driver.job import Progress
from tessera.driver.targets import CpuTarget, Target, parse_targets
from tessera.driver.trace import TraceSpec, trace_entry
from tessera.errors import ArgumentError

if TYPE_CHECKING:
    from tessera.dtypes import DType
    from tessera.frontend import Dim, Policy

Function = Callable[..., Any]


@dataclass(frozen=True)
class HostObject:
    """A host object for static linking.

    Attributes
    ----------
    name
        The base name of the two files.
    object
        A relocatable ELF file, position-independent, with no undefined symbols.
    header
        The C header that declares its entries.
    """

    name: str
    object: bytes
    header: str

    def save(self, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write ``<name>.o`` and ``<name>.h`` into a folder and return their paths."""
        paths = Path(folder) / f"{self.name}.o", Path(folder) / f"{self.name}.h"
        write_atomically(paths[0], (self.object,))
        write_atomically(paths[1], (self.header.encode(),))
        return paths


@overload
def compile(
    fn_or_entries: Function | Mapping[str, Function],
    *,
    targets: str | Sequence[str] = ...,
    dims: Mapping[str, int | Dim] | None = ...,
    dtype: DType | None = ...,
    dtypes: Mapping[str, DType] | None = ...,
    args: Sequence[Any] | Mapping[str, Any] | None = ...,
    static: Mapping[str, Any] | None = ...,
    policy: Policy | None = ...,
    emit: Literal["artifact"] = ...,
    keep_ir: bool = ...,
    dump_dir: str | os.PathLike[str] | None = ...,
    in_process: bool = ...,
    timeout: float | None = ...,
    progress: Progress | None = ...,
    ptxas: str | os.PathLike[str] | None = ...,
    lineinfo: bool = ...,
    debug: bool | Literal["nan"] = ...,
) -> Artifact: ...
@overload
def compile(
    fn_or_entries: Function | Mapping[str, Function],
    *,
    targets: str | Sequence[str] = ...,
    dims: Mapping[str, int | Dim] | None = ...,
    dtype: DType | None = ...,
    dtypes: Mapping[str, DType] | None = ...,
    args: Sequence[Any] | Mapping[str, Any] | None = ...,
    static: Mapping[str, Any] | None = ...,
    policy: Policy | None = ...,
    emit: Literal["object"],
    keep_ir: bool = ...,
    dump_dir: str | os.PathLike[str] | None = ...,
    in_process: bool = ...,
    timeout: float | None = ...,
    progress: Progress | None = ...,
    ptxas: str | os.PathLike[str] | None = ...,
    lineinfo: bool = ...,
    debug: bool | Literal["nan"] = ...,
) -> HostObject: ...
def compile(
    fn_or_entries: Function | Mapping[str, Function],
    *,
    targets: str | Sequence[str] = ("cpu",),
    dims: Mapping[str, int | Dim] | None = None,
    dtype: DType | None = None,
    dtypes: Mapping[str, DType] | None = None,
    args: Sequence[Any] | Mapping[str, Any] | None = None,
    static: Mapping[str, Any] | None = None,
    policy: Policy | None = None,
    emit: Literal["artifact", "object"] = "artifact",
    keep_ir: bool = False,
    dump_dir: str | os.PathLike[str] | None = None,
    in_process: bool = False,
    timeout: float | None = None,
    progress: Progress | None = None,
    ptxas: str | os.PathLike[str] | None = None,
    lineinfo: bool = False,
    debug: bool | Literal["nan"] = False,
) -> Artifact | HostObject:
    """Compile functions ahead of time.

    The same functions, options and versions give the same bytes.

    Parameters
    ----------
    fn_or_entries
        A function or module, or several by entry name: ``{"prefill": f, "decode": g}``.
    targets
        Names of machines: ``"cpu"`` (x86-64 with AVX2), ``"cpu:avx512"``, ``"cpu:avx512-bf16"``, ``"native"`` for the
        CPU of this one, or an NVIDIA GPU's architecture: ``"sm_80"``, ``"sm_86"``, ``"sm_89"``, ``"sm_90a"`` and so on.
        The artifact holds code for each. Code for a name with an ``a`` runs on that architecture alone; the others also
        run on later ones of their major version, and as PTX on any later one. None of this needs a GPU here.
    dims
        What is known of symbols: a size that is then fixed, or a ``tessera.Dim`` with a range and a multiple.
    dtype
        The dtype of tensors whose annotation names none; f32 by default.
    dtypes
        The same by parameter.
    args
        Example arguments, which give dtypes, ranks and the structure of trees: positional ones in a sequence, or by
        parameter in a mapping. Where ``fn_or_entries`` is a mapping, a mapping of these by entry name.
    static
        Values of compile-time parameters.
    policy
        The numeric policy; see ``tessera.precision``.
    emit
        ``"object"`` gives a host object and a C header for static linking instead of an artifact; one CPU target only.
    keep_ir
        Put the IR of every stage into the artifact, for `Artifact.mlir` after loading.
    dump_dir
        A folder to write the IR of every stage to.
    in_process
        Run the pipelines in this process instead of a child process.
    timeout
        Seconds after which to give up.
    progress
        Called with target and stage as each stage begins.
    ptxas
        The assembler for GPU targets; otherwise what ``TESSERA_PTXAS`` names, that of the wheel nvidia-cuda-nvcc, that
        of ``CUDA_HOME``, or the first on ``PATH``.
    lineinfo
        Keep source lines in cubins, for profilers and debuggers, with the paths of the files.
    debug
        Make calls check what they compute: a kernel that gives NaN or an infinity, and an index out of range on a GPU
        as on a CPU, end the call with an error that names the line. ``"nan"`` admits infinities. Calls are slow then,
        and on a GPU wait after each kernel. What kernels compute can be looked at by `EntryPoint.observe`.

    Returns
    -------
    Artifact or HostObject

    Raises
    ------
    TargetError
        When a target is unknown.
    ToolError
        When there is a GPU target, and ``ptxas`` or ``libdevice`` is not to be found.
    CompileError
        When the compiler fails or crashes; the message has the source line and the path of a reproducer.
    TesseraError
        When the functions cannot be traced; see the frontend's errors.
    """
    chosen = parse_targets(targets)
    if emit not in ("artifact", "object"):
        raise ArgumentError(f"[TSR4006] emit: expected 'artifact' or 'object', got {emit!r}")
    if emit == "object" and (len(chosen) != 1 or not isinstance(chosen[0], CpuTarget)):
        got = ", ".join(target.name for target in chosen)
        raise ArgumentError(f"[TSR4006] emit='object': expected one CPU target, got {got}")
    if debug not in (False, True, "nan"):
        raise ArgumentError(f"[TSR4006] debug: expected True, False or 'nan', got {debug!r}")
    if debug and emit == "object":
        raise ArgumentError("[TSR4006] debug: expected emit='artifact', as the runtime checks what kernels compute")
    if not in_process:
        worker.shared().start()  # it imports the compiler while we trace
    functions = dict(fn_or_entries) if isinstance(fn_or_entries, Mapping) else {None: fn_or_entries}
    if not functions:
        raise ArgumentError("[TSR4006] compile(): expected at least one entry, got none")
    entries = []
    for name, function in functions.items():
        spec = TraceSpec(
            dims=dict(dims or {}),
            dtypes=dict(dtypes or {}),
            static=dict(static or {}),
            policy=policy,
            name=name,
            lenient=len(functions) > 1,
        )
        if dtype is not None:
            spec.dtype = dtype
        example = args.get(name) if isinstance(args, Mapping) and name is not None else args
        if isinstance(example, Mapping):
            spec.kwargs = example
        elif example is not None:
            spec.args = tuple(example)
        entries.append(trace_entry(function, spec))
    options = Options(keep_ir, dump_dir, in_process, timeout, progress, ptxas, lineinfo, debug)
    data, seconds = build(entries, chosen, options)
    if emit == "object":
        return host_object(data, chosen[0])
    return make_artifact(data, entries, chosen, options, seconds)


def make_artifact(
    data: bytes,
    entries: Sequence[Traced],
    targets: tuple[Target, ...],
    options: Options,
    seconds: dict[str, dict[str, float]],
) -> Artifact:
    """Wrap an artifact's bytes, able to show the IR of its stages by compiling again."""
    job = make_job(entries, targets, options)
    by_name = {target.name: target for target in targets}

    def lower(stage: str, target: str) -> str:
        return lower_to(job, by_name[target], stage, Options(in_process=options.in_process))

    artifact = Artifact(data, lower=lower)
    artifact.compile_seconds = seconds
    return artifact


def host_object(data: bytes, target: Target) -> HostObject:
    """Take the host object of one target out of an artifact, with its header."""
    from tessera.driver.header import c_header

    with Container(data) as container:
        name = next(iter(container.manifest["entries"]))
        return HostObject(name, container.read(target.object_member), c_header(name, container.manifest))
