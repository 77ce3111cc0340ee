# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The compile itself: a merged module through the named pipelines, stage by stage, to a host object and a cubin.

What the pipelines consist of is written in C++ alone; here only their names are known. This module runs in the child
process (see `tessera.driver.worker`), or in the caller's when asked.
"""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tessera._mlir import ir
from tessera._mlir._mlir_libs import _tessera
from tessera._mlir.passmanager import PassManager
from tessera.driver import device
from tessera.driver.job import (
    CompilationFailed,
    Compiled,
    DeviceModule,
    Diagnostic,
    Failure,
    Job,
    Progress,
    StoppedBefore,
)
from tessera.driver.locations import frames, source_lines
from tessera.driver.sizes import HostSizes
from tessera.driver.targets import GpuTarget, Target
from tessera.dtypes import memory_dtype
from tessera.errors import TesseraError
from tessera.frontend.dims import expression
from tessera.stages import TEXT_STAGES

# Below this size a module compiles faster without MLIR's thread pool.
_SMALL_MODULE_BYTES = 256 * 1024


def run(job: Job, progress: Progress | None = None) -> list[Compiled]:
    """Run a job.

    Raises
    ------
    CompilationFailed
        With the stage that failed and its diagnostics.
    StoppedBefore
        Where the job asked for it.
    """
    context = ir.Context()
    if sum(len(text) for _, text in job.modules) < _SMALL_MODULE_BYTES:
        context.enable_multithreading(False)
    with context:
        with _failing("", "tessera", "", context, {}):
            merged = merge_modules(job.modules)
        return [_compile_for(target, merged, job, progress or (lambda _target, _stage: None)) for target in job.targets]


def _compile_for(target: Target, merged: ir.Module, job: Job, progress: Progress) -> Compiled:
    result = Compiled(target.name)
    module = merged.operation.clone(ip=False)
    context = module.context
    text: str | None = None  # where the program, or what the next stage takes of it, has left MLIR
    for stage in target.stages[: target.stages.index(job.last) + 1]:
        progress(target.name, stage)
        if job.stop_before == (target.name, stage):
            raise StoppedBefore(_text(module, locations=True) if text is None else text)
        _test_fault(stage)
        start = time.perf_counter()
        pipeline = job.pipeline(target, stage)
        with _failing(target.name, stage, pipeline, context, result.ir):
            if pipeline:
                PassManager.parse(pipeline).run(module)
            if stage == "tessera":
                module.verify()
            elif stage == "linalg":
                result.shardings = _result_shardings(module)
            elif stage == "kernels":
                result.kernels = _kernels(module)
            elif stage == "rt":
                result.collectives = _collectives(module)
                result.values = _values(module)
                result.host_syncs = _host_syncs(module) if isinstance(target, GpuTarget) else {}
            elif stage == "nvvm":
                result.module = DeviceModule(device.read_kernels(module))
            elif stage == "ptx":
                assert result.module is not None
                text = result.module.ptx = device.take_ptx(module)
            elif stage == "sass":
                assert result.module is not None and job.toolkit is not None
                if text:
                    device.assemble_kernels(result.module, target.name, job.toolkit.ptxas, lineinfo=job.lineinfo)
                text = None
            elif stage == "llvmir":
                text = _tessera.translate_to_llvmir(module)
            elif stage == "obj":
                from tessera.driver.codegen import generate_object

                assert text is not None
                result.object, _ = generate_object(text, target)
        result.seconds[stage] = time.perf_counter() - start
        if stage in job.keep and stage in TEXT_STAGES:
            result.ir[stage] = _text(module) if text is None else text
    return result


def merge_modules(modules: tuple[tuple[str, bytes], ...]) -> ir.Module:
    """Put every entry and its private callees into one module; the entry function gets the entry's name.

    Private functions keep their names where these are free, and get a number where they are not.
    """
    merged = ir.Module.create(ir.Location.unknown())
    taken = {name for name, _ in modules}
    for entry, text in modules:
        module = ir.Module.parse(text)
        functions = [op for op in module.body.operations if "sym_name" in op.attributes]
        names = {ir.StringAttr(op.attributes["sym_name"]).value for op in functions}
        # The entry last: its new name may be one that a private function has until then.
        for function in sorted(functions, key=lambda op: "tessera.entry" in op.attributes):
            old = ir.StringAttr(function.attributes["sym_name"]).value
            new = entry if "tessera.entry" in function.attributes else _free_name(old, taken, names - {old})
            taken.add(new)
            if new != old:
                ir.SymbolTable.replace_all_symbol_uses(old, new, module.operation)
                ir.SymbolTable.set_symbol_name(function, new)
        for operation in list(module.body.operations):
            merged.body.append(operation)
    return merged


def _free_name(name: str, taken: set[str], others: set[str]) -> str:
    candidate, number = name, 0
    while candidate in taken or candidate in others:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _kernels(module: ir.Operation) -> dict[str, list[dict[str, Any]]]:
    """The kernels that each entry dispatches, with how often the program text does so, in order of first use."""
    functions = _functions(module)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, function in functions.items():
        if "tessera.entry" in function.attributes:
            counts: Counter[str] = Counter()
            _count_dispatches(function, functions, counts)
            found[name] = [
                {"name": kernel, "kind": _kernel_kind(functions[kernel]), "dispatches": count}
                | {"source": source_lines(functions[kernel].location)}
                for kernel, count in counts.items()
            ]
    return found


def _count_dispatches(function: ir.OpView, functions: dict[str, ir.OpView], counts: Counter[str]) -> None:
    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "rt.dispatch":
            counts[ir.FlatSymbolRefAttr(op.attributes["kernel"]).value] += 1
        elif op.name == "func.call":
            _count_dispatches(functions[ir.FlatSymbolRefAttr(op.attributes["callee"]).value], functions, counts)
        return ir.WalkResult.ADVANCE

    function.operation.walk(visit, ir.WalkOrder.PRE_ORDER)


def _entries(module: ir.Operation) -> Iterator[tuple[str, ir.OpView]]:
    """The entries' host programs by name."""
    for function in module.regions[0].blocks[0].operations:
        if "tessera.entry" in function.attributes:
            yield ir.StringAttr(function.attributes["sym_name"]).value, function


def _result_shardings(module: ir.Operation) -> dict[str, list[list[list[int]]]]:
    """By entry that was partitioned, the mesh axes that cut each dimension of each result."""
    found: dict[str, list[list[list[int]]]] = {}
    for name, function in _entries(module):
        if "res_attrs" not in function.attributes:
            continue
        rows = [ir.DictAttr(row) for row in ir.ArrayAttr(function.attributes["res_attrs"])]
        if any("tessera.sharding" in row for row in rows):
            found[name] = [
                [list(ir.DenseI16ArrayAttr(axes)) for axes in ir.ArrayAttr(row["tessera.sharding"])] for row in rows
            ]
    return found


def _collectives(module: ir.Operation) -> dict[str, list[dict[str, Any]]]:
    """What each entry's ranks do together, in the order of the numbers by which its host program knows them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, function in _entries(module):
        rows: list[dict[str, Any]] = []
        sizes = HostSizes(function)

        def visit(op: ir.Operation, rows: list[dict[str, Any]] = rows, sizes: HostSizes = sizes) -> ir.WalkResult:
            if op.name == "rt.start_collective":
                rows.append(_collective(op, sizes))
            return ir.WalkResult.ADVANCE

        function.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
        found[name] = rows
    return found


def _collective(op: ir.Operation, sizes: HostSizes) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(_tessera.describe_collective(op.attributes["what"]))
    element = ir.TypeAttr(op.attributes["element"]).value
    count, runs = sizes.of(list(op.operands)[-1]), sizes.runs(op)
    return facts | {
        "dtype": memory_dtype(str(element)),
        "count": None if count is None else expression(count),
        "runs": None if runs is None else expression(runs),
        "source": _place(op),
    }


def _place(op: ir.Operation) -> str:
    """The source line of an operation."""
    return next(iter(source_lines(op.location)), "unknown")


def _host_syncs(module: ir.Operation) -> dict[str, list[str]]:
    """The source lines, without repeats, at which each entry's host program reads a value that kernels computed."""
    return {
        name: list(dict.fromkeys(_place(op) for op in ops if op.name in ("rt.load", "rt.observe")))
        for name, ops in _host_programs(module)
    }


def _values(module: ir.Operation) -> dict[str, list[dict[str, Any]]]:
    """What each entry's host program shows the runtime, in the order of its numbers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, ops in _host_programs(module):
        found[name] = []
        result = 0  # of those of its kernel
        for op in ops:
            result = result + 1 if op.name == "rt.observe" else -1
            if op.name == "rt.observe":
                shaped = ir.RankedTensorType(ir.TypeAttr(op.attributes["type"]).value)
                found[name].append(
                    {
                        "kernel": ir.FlatSymbolRefAttr(op.attributes["kernel"]).value,
                        "result": result,
                        "dtype": memory_dtype(str(shaped.element_type)),
                        "rank": shaped.rank,
                        "source": source_lines(op.location),
                    }
                )
    return found


def _host_programs(module: ir.Operation) -> Iterator[tuple[str, list[ir.Operation]]]:
    """Each entry's name, and all operations of its function, in order."""
    for name, function in _entries(module):
        ops: list[ir.Operation] = []

        def visit(op: ir.Operation, ops: list[ir.Operation] = ops) -> ir.WalkResult:
            ops.append(op)
            return ir.WalkResult.ADVANCE

        function.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
        yield name, ops


def _functions(module: ir.Operation) -> dict[str, ir.OpView]:
    return {
        ir.StringAttr(op.attributes["sym_name"]).value: op
        for op in module.regions[0].blocks[0].operations
        if "sym_name" in op.attributes
    }


def _kernel_kind(function: ir.OpView) -> str:
    if "tessera.kind" not in function.attributes:
        return ""
    return str(ir.StringAttr(function.attributes["tessera.kind"]).value)


def _text(module: ir.Operation, *, locations: bool = False) -> str:
    text = module.get_asm(enable_debug_info=locations)
    assert isinstance(text, str)
    return text


class _failing:
    """Turns MLIR's and LLVM's exceptions into `CompilationFailed`, with the diagnostics emitted meanwhile."""

    def __init__(self, target: str, stage: str, pipeline: str, context: ir.Context, kept: dict[str, str]) -> None:
        self._where = (target, stage, pipeline)
        self._context = context
        self._kept = kept
        self._collected: list[Diagnostic] = []

    def __enter__(self) -> None:
        self._handler = self._context.attach_diagnostic_handler(self._collect)

    def _collect(self, diagnostic: Any) -> bool:
        self._collected.append(convert_diagnostic(diagnostic))
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._handler.detach()
        found = self._collected
        if isinstance(error, ir.MLIRError):
            found = [convert_diagnostic(info) for info in error.error_diagnostics] or found
            message = found[0].message if found else error.message
        elif isinstance(error, (TesseraError, ValueError, RuntimeError)):
            message = str(error).partition("] ")[2] if isinstance(error, TesseraError) else str(error)
        else:
            return
        raise CompilationFailed(Failure(*self._where, message, tuple(found), ir=self._kept)) from None


def convert_diagnostic(diagnostic: Any) -> Diagnostic:
    """Copy a diagnostic of MLIR into a value that outlives its context."""
    return Diagnostic(
        diagnostic.severity.name.lower(),
        diagnostic.message,
        tuple(frames(diagnostic.location)),
        tuple(convert_diagnostic(note) for note in diagnostic.notes),
    )


def _test_fault(stage: str) -> None:
    """Fail on purpose where a test asks for it: ``TESSERA_TEST_FAULT=linalg:abort`` (or ``segv``, ``hang``)."""
    fault = os.environ.get("TESSERA_TEST_FAULT")
    if not fault or fault.partition(":")[0] != stage:
        return
    actions: dict[str, Callable[[], object]] = {
        "abort": os.abort,
        "segv": lambda: signal.raise_signal(signal.SIGSEGV),
        "hang": lambda: time.sleep(3600),
    }
    actions[fault.partition(":")[2]]()


def bytecode(module: ir.Module) -> bytes:
    """Serialise a module with its locations: what travels to the child process."""
    buffer = io.BytesIO()
    module.operation.write_bytecode(buffer)
    return buffer.getvalue()
