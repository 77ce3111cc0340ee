# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled functions: `EntryPoint`. Nothing here imports the compiler."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from tessera import _runtime, tree
from tessera.description import signature_text
from tessera.errors import ArgumentError, ShapeError
from tessera.profile import Profile, profile
from tessera.values import KernelValue, value_reader


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

    def observe(
        self,
        *args: Any,
        on_kernel: Callable[[str, float], object] | None = None,
        on_value: Callable[[KernelValue], object] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make a call, and be told what happened in it.

        Parameters
        ----------
        *args, **kwargs
            The call's arguments.
        on_kernel
            Called with the name and the microseconds of each kernel that ran on a GPU, in order, once all is done. On
            a CPU, called for each kernel of a function that was compiled with ``debug=True``; otherwise once for the
            whole call, with the entry's name.
        on_value
            Called with each result of a kernel as soon as it is there, for functions that were compiled with
            ``debug=True``. What it raises ends the call. Values are not checked then.

        Raises
        ------
        ArgumentError
            When there is ``on_value``, and the artifact was not compiled with ``debug=True``.
        """
        return self._call_flat(self.flat_observer(on_kernel, on_value), args, kwargs)

    def flat_observer(
        self,
        on_kernel: Callable[[str, float], object] | None = None,
        on_value: Callable[[KernelValue], object] | None = None,
    ) -> Callable[..., Any]:
        """The flat function below `observe`: positional arrays in, arrays out, in the manifest's order."""
        reader = value_reader(self.name, self.manifest, on_value)
        entry = functools.partial(self.runtime_entry.observe, on_kernel=on_kernel, on_value=reader)
        return AnyRank(self.manifest, entry) if isinstance(self._entry, AnyRank) else entry

    def flatten(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The arrays of a call, in the manifest's order."""
        return self._bind(args, kwargs)

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
