# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled functions: `Artifact` and `load`. Nothing here imports the compiler."""

from __future__ import annotations

import functools
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tessera import _runtime, tree
from tessera.container import Container, write_atomically
from tessera.description import describe, signature_text
from tessera.dtypes import as_dtype
from tessera.errors import ArgumentError, ArtifactError, ShapeError
from tessera.profile import Profile, profile
from tessera.stages import stage_file, stages_of
from tessera.weights import check_weights, read_weights

if TYPE_CHECKING:
    import numpy as np

_PIECE = 1 << 20


def load(path: str | os.PathLike[str]) -> Artifact:
    """Open an artifact.

    Loading maps the artifact's machine code into this process, and calls run it: load only files that you trust.

    Parameters
    ----------
    path
        A ``.tsr`` file.

    Raises
    ------
    ArtifactError
        When the file is not an artifact, is damaged or altered, or holds no code that this machine can run.
    FileNotFoundError
        When there is no such file.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"no artifact at {os.fspath(path)!r}")
    return Artifact(path, program=_runtime.load(path))


class AnyRank:
    """An entry whose leading dimensions are one, which is the product of those that a call has.

    It views the arrays of a call, and its results, in the shapes that the two sides expect.
    """

    def __init__(self, manifest: Mapping[str, Any], entry: Callable[..., Any]) -> None:
        self.entry = entry
        arguments = [value for value in manifest["inputs"] if value["kind"] == "argument"]
        self._names = [value["name"] for value in arguments]
        self._inputs, self._outputs = (
            [len(value["shape"]) - 1 if value["shape"][:1] == ["..."] else None for value in values]
            for values in (arguments, manifest["outputs"])
        )

    def __call__(self, *arrays: Any, out: Any = None, stream: Any = None) -> Any:
        leading: tuple[int, ...] | None = None
        flat = list(arrays)
        for i, (array, kept) in enumerate(zip(arrays, self._inputs, strict=False)):
            shape = getattr(array, "shape", None)
            if kept is None or shape is None or len(shape) < kept:
                continue  # the entry says what is wrong with it
            mine = tuple(map(int, shape[: len(shape) - kept]))
            if leading is None:
                first, leading = self._names[i], mine
            elif mine != leading:
                raise ShapeError(
                    f"[TSR1106] argument '{self._names[i]}': expected the leading dimensions {list(leading)} of "
                    f"'{first}', got {list(mine)}"
                )
            flat[i] = _collapse(array, len(mine))
        if leading is None:
            return self.entry(*flat, out=out, stream=stream)
        if out is not None:
            targets = out if isinstance(out, (tuple, list)) else [out]
            views = tuple(
                target
                if kept is None or tuple(target.shape[: len(leading)]) != leading
                else _collapse(target, len(leading))
                for target, kept in zip(targets, self._outputs, strict=False)
            )
            self.entry(*flat, out=views if isinstance(out, (tuple, list)) else views[0], stream=stream)
            return out
        results = self.entry(*flat, stream=stream)
        several = isinstance(results, tuple)
        expanded = tuple(
            result if kept is None else result.reshape((*leading, *result.shape[1:]))
            for result, kept in zip(results if several else (results,), self._outputs, strict=True)
        )
        return expanded if several else expanded[0]


def _collapse(array: Any, count: int) -> Any:
    """A view whose first ``count`` dimensions are one; an array that has none is left as it is."""
    if not hasattr(array, "reshape"):
        return array
    return array.reshape((math.prod(array.shape[:count]), *array.shape[count:]))


class CallGraph:
    """A call captured in a CUDA graph: see `EntryPoint.graph`.

    Attributes
    ----------
    outputs
        The call's result, whose arrays each replay writes.
    """

    __slots__ = ("_graph", "outputs")

    def __init__(self, graph: _runtime.Graph, outputs: Any) -> None:
        self._graph = graph
        self.outputs = outputs

    def replay(self, stream: Any = None) -> Any:
        """Queue the call again and return the outputs.

        Parameters
        ----------
        stream
            Where; by default the current stream of the framework that the arrays are from.
        """
        self._graph.replay(stream)
        return self.outputs


class EntryPoint(_runtime.Shortcut):
    """One compiled function of an artifact.

    Call it with the arguments of the Python function that it was compiled from, by position or keyword. ``out=`` takes
    arrays to write the results to: one array, or arrays in the structure of the result. A call whose arrays are on a
    GPU runs there, on the current stream of the framework that they are from, or on ``stream=``: an integer or an
    object with ``__cuda_stream__``, ``cuda_stream`` (torch) or ``ptr`` (CuPy). It returns before the work is done.
    """

    __slots__ = (
        "_bind",
        "_count",
        "_entry",
        "_output",
        "_plain",
        "is_direct",
        "manifest",
        "modules",
        "name",
        "runtime_entry",
    )

    def __init__(
        self, name: str, manifest: Mapping[str, Any], entry: _runtime.Entry, modules: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.manifest = manifest
        self.modules = modules or {}
        is_open = any(symbol["name"] == "..." for symbol in manifest["symbols"])
        self._entry = AnyRank(manifest, entry) if is_open else entry
        self.runtime_entry = entry
        """The flat function below: positional arrays in, arrays out, in the manifest's order."""
        parameters = manifest["parameters"]
        self._bind = tree.binder(name, parameters)
        # How many positional arrays go straight to the runtime; -1 where that never holds.
        count = tree.is_flat(parameters)
        self._count = -1 if count is None else count
        self._output: tree.Tree = manifest["output_tree"]
        outputs = len(manifest["outputs"])
        self._plain = self._output == 0 if outputs == 1 else self._output == {"tuple": list(range(outputs))}
        self.is_direct = self._plain and self._count >= 0 and not is_open
        if self.is_direct:
            self.shorten(entry)

    def takes_flat(self, count: int) -> bool:
        """Whether this many positional arrays are the whole call, and the runtime's result is the function's."""
        return self.is_direct and count == self._count

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self._call_flat(self._entry, args, kwargs)

    def _call_flat(self, entry: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not kwargs and len(args) == self._count:
            result = entry(*args)
        else:
            out, stream = kwargs.pop("out", None), kwargs.pop("stream", None)
            flat = self._bind(args, kwargs)
            if out is not None and not self._plain:
                out = self._flat_outputs(out)
            result = entry(*flat, out=out, stream=stream)
        if self._plain:
            return result
        return tree.unflatten(self._output, result if isinstance(result, tuple) else (result,))

    def observe(self, *args: Any, on_kernel: Callable[[str, float], object] | None = None, **kwargs: Any) -> Any:
        """Make a call, and be told what happened in it.

        Parameters
        ----------
        *args, **kwargs
            The call's arguments.
        on_kernel
            Called with the name and the microseconds of each kernel that ran on a GPU, in order, once all is done. On
            a CPU, called once for the whole call, with the entry's name.
        """
        entry: Any = functools.partial(self.runtime_entry.observe, on_kernel=on_kernel)
        if isinstance(self._entry, AnyRank):
            entry = AnyRank(self.manifest, entry)
        return self._call_flat(entry, args, kwargs)

    def profile(self, *args: Any, repeats: int = 10, **kwargs: Any) -> Profile:
        """Time the kernels of a call; see `Artifact.profile`."""
        return profile(self, functools.partial(self.observe, *args, **kwargs), repeats)

    def graph(self, *args: Any, **kwargs: Any) -> CallGraph:
        """Capture a call on a GPU in a CUDA graph, which replays it with less work for the CPU.

        Nothing runs yet. Replays read the given arrays and write the outputs where these lie, with the weights that
        there are now.

        Parameters
        ----------
        *args, **kwargs
            The call's arguments, contiguous and on a GPU, and ``out=``.

        Raises
        ------
        ArgumentError
            If the program reads values back from the GPU (``inspect()["host_syncs"]``), or the arrays are on the CPU.
        """
        if syncs := self.manifest.get("host_syncs"):
            raise ArgumentError(
                f"[TSR2038] {self.name} cannot be captured in a graph: it reads values back from the GPU ("
                f"{'; '.join(map(str, syncs))})"
            )
        out = kwargs.pop("out", None)
        flat = self._bind(args, kwargs)
        if out is not None and not self._plain:
            out = self._flat_outputs(out)
        if isinstance(self._entry, AnyRank):
            raise ArgumentError(
                f'[TSR2038] {self.name} cannot be captured in a graph: its leading dimensions ("...") are open; '
                "compile it with their number"
            )
        graph = self._entry.capture(*flat, out=out)
        outputs = graph.outputs
        if not self._plain:
            outputs = tree.unflatten(self._output, outputs if isinstance(outputs, tuple) else (outputs,))
        return CallGraph(graph, outputs)

    def _flat_outputs(self, out: Any) -> Any:
        flat: list[Any] = [None] * len(self.manifest["outputs"])
        for index, leaf in zip(tree.leaf_order(self._output), tree.flatten_like(self._output, out, "out"), strict=True):
            flat[index] = leaf
        return flat[0] if len(flat) == 1 else tuple(flat)

    def workspace_size(self, **dims: int) -> int:
        """Bytes of workspace that a call with these sizes of the symbols needs."""
        size: int = self.runtime_entry.workspace_size(dims)
        return size

    def mesh_traffic(self) -> list[dict[str, int]]:
        """What this rank's calls have moved so far, in this process.

        Returns
        -------
        list
            For each collective, in the manifest's order: ``calls``, how often it was started, and the bytes of the
            arrays that this rank has ``given`` to it and ``got`` of it. Replays of a graph are not counted.
        """
        counted = (self.runtime_entry.mesh_traffic(i) for i in range(len(self.manifest.get("collectives", ()))))
        return [dict(zip(("calls", "given", "got"), numbers, strict=True)) for numbers in counted]

    def benchmark(self, *args: Any, warmup: int = 10, seconds: float = 1.0, **kwargs: Any) -> dict[str, float]:
        """Time calls with these arguments.

        Parameters
        ----------
        *args, **kwargs
            The call's arguments.
        warmup
            Calls before measuring.
        seconds
            How long to measure; at least 10 calls are made.

        Returns
        -------
        dict
            ``runs`` and, in microseconds, ``min``, ``median``, ``mean``, ``p10``, ``p90``, ``p99``.
        """
        return time_calls(lambda: self(*args, **kwargs), warmup=warmup, seconds=seconds)

    def __repr__(self) -> str:
        return f"<tessera entry {signature_text(self.name, self.manifest)}>"


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


def time_calls(call: Callable[[], Any], *, warmup: int, seconds: float) -> dict[str, float]:
    """Time a call repeatedly and return percentiles in microseconds."""
    for _ in range(warmup):
        call()
    times: list[int] = []
    clock = time.perf_counter_ns
    deadline = clock() + int(seconds * 1e9)
    while len(times) < 10 or (clock() < deadline and len(times) < 1_000_000):
        start = clock()
        call()
        times.append(clock() - start)
    times.sort()

    def percentile(percent: int) -> float:
        return times[min(len(times) - 1, len(times) * percent // 100)] / 1e3

    return {
        "runs": len(times),
        "min": times[0] / 1e3,
        "median": statistics.median(times) / 1e3,
        "mean": statistics.fmean(times) / 1e3,
        "p10": percentile(10),
        "p90": percentile(90),
        "p99": percentile(99),
    }
