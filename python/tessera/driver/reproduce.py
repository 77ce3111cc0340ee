# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A failed compile becomes a `CompileError` for the user and a folder that replays it for us."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tessera.driver.job import CompilationFailed, Diagnostic, Failure, Frame, Job, StoppedBefore
from tessera.driver.ptxas import ptxas_command
from tessera.errors import CompileError
from tessera.frontend import source
from tessera.stages import input_file


def compile_error(failure: Failure, job: Job, rerun: Callable[[Job], object]) -> CompileError:
    """Make the error of a failed compile, and its reproducer.

    Parameters
    ----------
    failure
        What happened.
    job
        The job that failed.
    rerun
        Runs a job as the failed one was run; used to get the IR before the stage that failed.
    """
    code = "TSR4001" if failure.crash is None else "TSR4002"
    head = f"[{code}] {describe_failure(failure)}"
    lines = [f"{head}: {failure.message}{_last_words(failure.log)}"]
    if failure.diagnostics:
        first, *others = failure.diagnostics
        lines = [f"{head}: {first.message}", *_quote(first.frames), *_notes(first)]
        for diagnostic in others:
            lines += [f"{diagnostic.severity}: {diagnostic.message}", *_quote(diagnostic.frames), *_notes(diagnostic)]
    try:
        folder = write_reproducer(failure, job, rerun)
    except OSError as error:
        lines.append(f"(no reproducer: {error})")
    else:
        lines.append(f"reproducer: {folder} (replay with: sh {shlex.quote(str(folder / 'replay.sh'))})")
    return CompileError("\n".join(lines))


def describe_failure(failure: Failure) -> str:
    """Say which step failed, for which target."""
    target = f" for target '{failure.target}'" if failure.target else ""
    return f"cannot compile{target}: stage '{failure.stage}' failed"


def write_reproducer(failure: Failure, job: Job, rerun: Callable[[Job], object]) -> Path:
    """Write the folder that replays a failure, and return its path.

    It holds the IR before the failing stage, the stage's pipeline, a script that runs it, the job's whole input, and
    what the compiler printed. ``TESSERA_REPRODUCER_DIR`` says where such folders go; the default is the system's
    temporary folder.
    """
    parent = os.environ.get("TESSERA_REPRODUCER_DIR") or None
    if parent is not None:
        os.makedirs(parent, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="tessera-reproducer-", dir=parent))
    for name, module in job.modules:
        (folder / f"input-{name}.mlirbc").write_bytes(module)
    text = _ir_before(failure, job, rerun)
    before = input_file(failure.stage)
    if text is None:
        before = f"input-{job.modules[0][0]}.mlirbc"
    else:
        (folder / before).write_text(text)
    command = _replay_command(failure, job, before)
    (folder / "replay.sh").write_text(f'cd "$(dirname "$0")" && {command}\n')
    (folder / "pipeline.txt").write_text(failure.pipeline + "\n")
    report = [describe_failure(failure), failure.message, *(d.message for d in failure.diagnostics)]
    (folder / "stderr.txt").write_text("\n".join([*report, "", failure.log]))
    return folder


def _replay_command(failure: Failure, job: Job, before: str) -> str:
    if failure.stage == "sass" and job.toolkit is not None:
        return shlex.join(
            ptxas_command(
                job.toolkit.ptxas, failure.target, lineinfo=job.lineinfo, source=before, output="kernels.cubin"
            )
        )
    if failure.stage == "obj":
        return f"python -m tessera.driver.codegen {before} --target {shlex.quote(failure.target)} -o out.o"
    if failure.stage == "llvmir":
        return f"mlir-translate --mlir-to-llvmir {before}"
    pipeline = f" --pass-pipeline={shlex.quote(failure.pipeline)}" if failure.pipeline else ""
    return f"tessera-opt {before}{pipeline} --mlir-print-ir-before-all --mlir-disable-threading"


def _ir_before(failure: Failure, job: Job, rerun: Callable[[Job], object]) -> str | None:
    """Compile again up to the failing stage, so that compiles that succeed never pay for printing IR."""
    if not failure.target:
        return None
    try:
        rerun(replace(job, stop_before=(failure.target, failure.stage), keep=()))
    except StoppedBefore as stopped:
        return stopped.text
    except (CompilationFailed, CompileError):
        pass
    return None


def with_pipeline(failure: Failure, job: Job) -> Failure:
    """Fill in the pipeline of a stage that crashed before it could say."""
    if failure.pipeline or not failure.target:
        return failure
    target = next(t for t in job.targets if t.name == failure.target)
    return replace(failure, pipeline=job.pipeline(target, failure.stage))


def _quote(frames: tuple[Frame, ...]) -> Iterator[str]:
    """Source lines, in the frontend's style."""
    for depth, frame in enumerate(frames):
        inside = f", in {frame.function}" if frame.function else ""
        yield f"  {'called from' if depth else '-->'} {frame.file}:{frame.line}{inside}"
        yield from source.excerpt(
            source.Frame(frame.file, frame.line, frame.column, frame.line, frame.end_column, frame.function)
        )


def _last_words(log: str) -> str:
    """The line of a crashed process's output that most likely says why."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if "Assertion" in line or "LLVM ERROR" in line or "UNREACHABLE" in line]
    found = telling[-1:] or [line for line in lines[-1:] if "Error" in line]
    return f": {found[0]}" if found else ""


def _notes(diagnostic: Diagnostic) -> Iterator[str]:
    for note in diagnostic.notes:
        yield f"  note: {note.message}"
        yield from _quote(note.frames)
