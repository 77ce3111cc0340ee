# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled files: `Artifact` and `load`. Nothing here imports the compiler."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tessera import _runtime
from tessera.container import Container, write_atomically
from tessera.description import describe, signature_text
from tessera.dtypes import as_dtype
from tessera.entry import CallGraph, EntryPoint
from tessera.errors import ArgumentError, ArtifactError
from tessera.profile import Profile
from tessera.stages import stage_file, stages_of
from tessera.values import ValueComparison, compare_values
from tessera.weights import check_weights, read_weights

if TYPE_CHECKING:
    import numpy as np

_PIECE = 1 << 20


def load(path: str | os.PathLike[str], *, target: str | None = None) -> Artifact:
    """Open an artifact.

    Loading maps the artifact's machine code into this process, and calls run it: load only files that you trust.

    Parameters
    ----------
    path
        A ``.tsr`` file.
    target
        The only target whose code is used; otherwise the best for where a call's arrays lie.

    Raises
    ------
    ArtifactError
        When the file is not an artifact, is damaged or altered, or holds no code that this machine can run.
    FileNotFoundError
        When there is no such file.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"no artifact at {os.fspath(path)!r}")
    return Artifact(path, program=_runtime.load(path, target=target))


class Artifact(_runtime.Shortcut):
    """A compiled artifact: callable, and saved as one file.

    With one entry point the artifact itself is called; with several each is an attribute: ``artifact.prefill(x)``.

    Parameters
    ----------
    source
        A path, or the artifact's bytes.
    program
        The same, already opened by the runtime.
    lower
        Makes the IR of a stage on request, where the compiler is at hand.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        program: _runtime.Program | None = None,
        lower: Callable[[str, str], str] | None = None,
    ) -> None:
        super().__init__()
        self._source = source if isinstance(source, bytes) else os.path.abspath(source)
        self._container = Container(self._source)
        self.manifest: dict[str, Any] = self._container.manifest
        self.compile_seconds: dict[str, dict[str, float]] = {}
        """The time that each stage took, by target; empty for an artifact that was loaded."""
        self._program = program
        self._lower = lower
        self._lock = threading.Lock()
        self._entries: dict[str, EntryPoint] = {}
        self._only = next(iter(self.manifest["entries"])) if len(self.manifest["entries"]) == 1 else None

    # Calls

    @property
    def entries(self) -> tuple[str, ...]:
        """The names of the entry points."""
        return tuple(self.manifest["entries"])

    @property
    def program(self) -> _runtime.Program:
        """The artifact as the runtime holds it: opened on first use."""
        if self._program is None:
            with self._lock:
                if self._program is None:
                    source = self._source
                    self._program = _runtime.load_bytes(source) if isinstance(source, bytes) else _runtime.load(source)
        return self._program

    def entry(self, name: str | None = None) -> EntryPoint:
        """Return an entry point by name; the only one when no name is given."""
        if name is None:
            name = self._only
        found = None if name is None else self._entries.get(name)
        if found is None:
            name, manifest = pick_entry(self.manifest, name)
            modules = self.manifest.get("modules")
            found = self._entries.setdefault(name, EntryPoint(name, manifest, self.program.entry(name), modules))
        return found

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the only entry point; see `EntryPoint`."""
        entry = self.entry()
        if entry.is_direct:  # from now on, without us
            self.shorten(entry.runtime_entry)
        return entry(*args, **kwargs)

    def __getattr__(self, name: str) -> EntryPoint:
        if name.startswith("_") or name not in self.__dict__.get("manifest", {}).get("entries", ()):
            raise AttributeError(f"'Artifact' has no attribute or entry point '{name}'")
        return self.entry(name)

    def __dir__(self) -> Iterator[str]:
        yield from super().__dir__()
        yield from self.entries

    def workspace_size(self, entry: str | None = None, **dims: int) -> int:
        """Bytes of workspace that a call of an entry point with these sizes of the symbols needs."""
        return self.entry(entry).workspace_size(**dims)

    def benchmark(self, *args: Any, entry: str | None = None, **kwargs: Any) -> dict[str, float]:
        """Time calls of an entry point; see `EntryPoint.benchmark`."""
        return self.entry(entry).benchmark(*args, **kwargs)

    def profile(self, *args: Any, entry: str | None = None, repeats: int = 10, **kwargs: Any) -> Profile:
        """Time each kernel of a call.

        Parameters
        ----------
        *args, **kwargs
            The call's arguments.
        entry
            The entry point, where there are several.
        repeats
            Calls that are measured, after one that is not; times are medians of these.

        Returns
        -------
        Profile
            Prints as a table.

        Notes
        -----
        On a GPU, CUDA events around each kernel take its time; kernels that would overlap run one after the other. On a
        CPU the call is one row.
        """
        return self.entry(entry).profile(*args, repeats=repeats, **kwargs)

    def compare_values(
        self,
        *args: Any,
        target: str,
        against: str,
        entry: str | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        **kwargs: Any,
    ) -> ValueComparison:
        """Find the first value that two targets of the artifact compute differently.

        Both make the same call, with the weights of the file. A value is a result of a kernel; what one target has in
        kernels that the other divides otherwise is left out.

        Parameters
        ----------
        *args, **kwargs
            The call's arguments, in CPU memory; they are copied.
        target, against
            The targets: the one in doubt, such as ``"sm_90a"``, and the one that is right.
        entry
            The entry point, where there are several.
        rtol, atol
            Tolerances; by the dtype and the largest value when not given.

        Raises
        ------
        ArgumentError
            When the artifact was not compiled with ``debug=True``.
        """
        point = self.entry(entry)
        return self.compare_flat(point.name, point.flatten(*args, **kwargs), target, against, rtol, atol)

    def compare_flat(
        self,
        entry: str,
        arrays: Sequence[Any],
        target: str,
        against: str,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> ValueComparison:
        """The same for arrays in the manifest's order."""
        points = [self._only_for(name).entry(entry) for name in (target, against)]
        return compare_values(points[0], points[1], (target, against), arrays, rtol, atol)

    def _only_for(self, target: str) -> Artifact:
        """The artifact, opened again for one target."""
        source = self._source
        opened = (
            _runtime.load_bytes(source, target=target)
            if isinstance(source, bytes)
            else _runtime.load(source, target=target)
        )
        return Artifact(source, program=opened)

    def graph(self, *args: Any, entry: str | None = None, **kwargs: Any) -> CallGraph:
        """Capture a call of an entry point in a CUDA graph; see `EntryPoint.graph`."""
        return self.entry(entry).graph(*args, **kwargs)

    def weights(self) -> list[str]:
        """Names of the weights that the artifact holds or expects."""
        return list(self.inspect()["weights"])

    def set_weight(self, name: str, array: np.ndarray[Any, Any] | Any) -> None:
        """Replace a weight for this process; its dtype and shape stay.

        Of a weight that a mesh divides, this is all of it, and the process keeps its rank's part.
        """
        self.program.set_weight(name, self._part(name, array))

    def _part(self, name: str, array: Any) -> Any:
        """Take the part of a weight that is this rank's."""
        for entry in self.manifest["entries"].values():
            for item in entry["inputs"]:
                if item["name"] == name and item["kind"] == "weight" and "sharding" in item:
                    from tessera.dist import Mesh, ShardSpec, device_put

                    mesh, spec = Mesh.from_manifest(entry["mesh"]), ShardSpec.from_manifest(item["sharding"])
                    if tuple(array.shape) != mesh.whole(item["shape"], spec):
                        return array  # which the runtime refuses, by name
                    return device_put(array, mesh, spec)
        return array

    def load_weights(self, path: str | os.PathLike[str], strict: bool = True, cast: bool = False) -> None:
        """Replace weights for this process by those of a safetensors file, without compiling again.

        The file is mapped and not read; replace it, don't rewrite it in place. Each weight waits for calls in flight;
        calls that start meanwhile may get some weights of before and some of the file.

        Parameters
        ----------
        path
            A safetensors file with tensors named as in ``weights()``, of their dtypes and shapes.
        strict
            Whether the names have to be the same; if not, what is in both is replaced.
        cast
            Whether floats of another dtype are converted to the weight's.

        Raises
        ------
        ArgumentError
            If names are missing or unexpected (unless ``strict`` is False), or a shape or dtype differs. Nothing is
            changed then.
        ArtifactError
            If the file is damaged or truncated. Nothing is changed then.
        OSError
            If it cannot be opened.
        """
        expected = {
            name: (as_dtype(weight["dtype"]), tuple(weight["shape"]))
            for name, weight in self.inspect()["weights"].items()
        }
        arrays = read_weights([path])
        for name in check_weights(expected, arrays, os.fspath(path), strict=strict, cast=cast):
            self.set_weight(name, arrays[name].astype(expected[name][0].numpy, copy=False))

    # The file

    def to_bytes(self) -> bytes:
        """Return the artifact as the bytes of a ``.tsr`` file."""
        if isinstance(self._source, bytes):
            return self._source
        with open(self._source, "rb") as file:
            return file.read()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the artifact to a file, whole or not at all."""
        if isinstance(self._source, bytes):
            write_atomically(path, (self._source,))
            return
        # In pieces: the weights in it may be larger than what memory is left.
        with open(self._source, "rb") as file:
            write_atomically(path, iter(lambda: file.read(_PIECE), b""))

    def __reduce__(self) -> tuple[Any, ...]:
        return Artifact, (self.to_bytes(),)

    # What is in it

    def inspect(self) -> dict[str, Any]:
        """Describe the artifact as a JSON-able dict. Runs none of its code.

        Returns
        -------
        dict
            ``signature`` (by entry: text, symbols, inputs, outputs, static values, guards), ``targets``, ``kernels``,
            ``weights``, ``collectives``, ``host_syncs``, ``versions`` and ``members``. A kernel has ``targets`` where
            only some have it, or GPUs do: by target, its registers, spills, shared memory and how it is launched.
        """
        return describe(self.manifest)

    def mlir(self, stage: str = "tessera", target: str | None = None) -> str:
        """Return the IR of one stage of the compile.

        Parameters
        ----------
        stage
            ``tessera``, ``linalg``, ``kernels`` or ``rt``; then for a CPU ``llvm`` and ``llvmir``; for a GPU ``gpu``,
            ``nvvm``, ``ptx`` and ``sass`` (the kernels' machine code, shown by ``nvdisasm``), and
            ``llvmir`` of the host program.
        target
            Which target's IR, where there are several; by default the first that has the stage.

        Raises
        ------
        ArgumentError
            When there is no such stage or target.
        ArtifactError
            When a loaded artifact was compiled without ``keep_ir=True``; ``sass`` and the PTX of portable architectures
            are always there.
        ToolError
            When the stage is ``sass`` and ``nvdisasm`` is not found.
        """
        targets = self.inspect()["targets"]
        if target is None:
            target = next((name for name in targets if stage in stages_of(name)), targets[0])
        elif target not in targets:
            raise ArgumentError(
                f"[TSR4006] the artifact has no target '{target}': expected one of {', '.join(targets)}"
            )
        stages = stages_of(target)[:-1]
        if stage not in stages:
            raise ArgumentError(
                f"[TSR4006] unknown stage '{stage}' of target '{target}': expected one of {', '.join(stages)}"
            )
        module = self.manifest.get("modules", {}).get(target, {})
        if stage == "sass":
            from tessera.driver.sass import disassemble

            return disassemble(self._container.read(module["cubin"])) if "cubin" in module else ""
        if stage == "ptx" and "ptx" in module:
            return self._container.read(module["ptx"]).decode()
        member = ir_member(target, stage)
        if member in self._container.names():
            return self._container.read(member).decode()
        if self._lower is not None:
            return self._lower(stage, target)
        raise ArtifactError("[TSR4005] the artifact keeps no IR: compile it with keep_ir=True")

    def __repr__(self) -> str:
        lines = [signature_text(name, entry) for name, entry in self.manifest["entries"].items()]
        return f"<tessera.Artifact {'; '.join(lines)} for {', '.join(self.inspect()['targets'])}>"


def ir_member(target: str, stage: str) -> str:
    """Where an artifact keeps the IR of a stage."""
    return f"ir/{target.replace(':', '-')}/{stage_file(stage)}"


def pick_entry(manifest: Mapping[str, Any], name: str | None) -> tuple[str, dict[str, Any]]:
    """Find an entry point in a manifest by name; the only one when no name is given."""
    entries: dict[str, dict[str, Any]] = manifest["entries"]
    if name is None and len(entries) == 1:
        return next(iter(entries.items()))
    if name not in entries:
        problem = "the artifact has several entry points" if name is None else f"unknown entry point '{name}'"
        raise ArgumentError(f"[TSR4006] {problem}: expected one of {', '.join(entries)}")
    return name, entries[name]
