# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the driver asks of the compiler and gets back: plain values that travel to the child process and return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tessera.driver.targets import GpuTarget, Target
from tessera.driver.toolkit import Toolkit

Progress: TypeAlias = Callable[[str, str], None]
"""Called as each stage begins: ``progress(target, stage)``."""


@dataclass(frozen=True)
class Job:
    """One compile.

    Attributes
    ----------
    modules
        ``(entry name, module as MLIR bytecode or text)``; each module holds the entry function and private callees.
    targets
        What to compile for.
    keep
        Stages whose IR comes back as text.
    last
        The stage to stop after.
    stop_before
        A (target, stage) to stop short of, giving the IR as it is then: how reproducers are made.
    toolkit
        What GPU targets are compiled with.
    lineinfo
        Keep the user's source lines in cubins.
    debug
        Keep every check of values, and show the runtime what each kernel computes.
    """

    modules: tuple[tuple[str, bytes], ...]
    targets: tuple[Target, ...]
    keep: tuple[str, ...] = ()
    last: str = "obj"
    stop_before: tuple[str, str] | None = None
    toolkit: Toolkit | None = None
    lineinfo: bool = False
    debug: bool = False

    def pipeline(self, target: Target, stage: str) -> str:
        """Return the pipeline of one stage, as ``tessera-opt --pass-pipeline`` takes it; empty where it has none."""
        if stage != "ptx" or not isinstance(target, GpuTarget):
            return target.pipeline(stage, debug=self.debug)
        assert self.toolkit is not None
        lines = "ensure-debug-info-scope-on-llvm-func{emission-kind=DebugDirectivesOnly},"
        serialize = f"gpu-module-to-binary{{format=isa toolkit={self.toolkit.root}}}"
        return f"builtin.module({lines if self.lineinfo else ''}{serialize})"


@dataclass
class DeviceModule:
    """The kernels of one GPU target: the facts that launches need, in the cubin's order, and their code.

    A program without kernels has no code.
    """

    kernels: list[dict[str, Any]] = field(default_factory=list)
    ptx: str = ""
    cubin: bytes = b""


@dataclass
class Compiled:
    """What one target's pipeline gave."""

    target: str
    object: bytes = b""
    ir: dict[str, str] = field(default_factory=dict)
    kernels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    module: DeviceModule | None = None
    host_syncs: dict[str, list[str]] = field(default_factory=dict)
    """Where each entry's host program reads from a GPU's memory, and so waits for it: ``file.py:12``."""
    collectives: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What each entry's ranks do together; axes by number."""
    shardings: dict[str, list[list[list[int]]]] = field(default_factory=dict)
    """Of entries that the compiler divided: the mesh axes, by number, that cut each dimension of each result."""
    values: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What each entry's host program shows the runtime, for debugging."""


@dataclass(frozen=True)
class Frame:
    """A line of the user's source, with the function it is in; columns count from 0."""

    file: str
    line: int
    column: int
    end_column: int
    function: str


@dataclass(frozen=True)
class Diagnostic:
    """One message of the compiler; the first frame is the innermost."""

    severity: str
    message: str
    frames: tuple[Frame, ...] = ()
    notes: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Failure:
    """How a compile failed: in which stage, and what was said.

    ``crash`` says how the process ended, where it did; ``log`` is the tail of its standard error; ``ir`` holds what the
    job kept of the stages before.
    """

    target: str
    stage: str
    pipeline: str
    message: str
    diagnostics: tuple[Diagnostic, ...] = ()
    crash: str | None = None
    log: str = ""
    ir: dict[str, str] = field(default_factory=dict)


class CompilationFailed(Exception):
    """Carries a `Failure` out of the pipeline."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)  # the only argument, so that it survives pickling
        self.failure = failure


class StoppedBefore(Exception):
    """Carries the IR out of a pipeline that was asked to stop short of a stage."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
