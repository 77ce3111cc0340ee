# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Direct calls of functions: compiled on first use for what holds their arrays, kept in memory and on disk.

A variant is compiled for the dtypes, the structure and the compile-time values of a call; sizes stay symbols, so a call
with other sizes runs the same code.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Hashable
from typing import Any

from tessera import _runtime
from tessera.array import to_numpy
from tessera.artifact import Artifact
from tessera.driver import worker
from tessera.driver.build import Options, Traced, build, cache_key, make_job
from tessera.driver.cache import DiskCache
from tessera.driver.targets import Target, gpu_target, parse_target
from tessera.driver.trace import Function, TraceSpec, bind_call, current_policy, trace_entry
from tessera.entry import EntryPoint
from tessera.errors import ArtifactError


class Variant:
    """The code for one kind of call, and the weights that it closes over."""

    def __init__(self, artifact: Artifact, weights: dict[str, Any]) -> None:
        self.entry: EntryPoint = artifact.entry()
        self._artifact = artifact
        self._weights = weights
        self._versions: dict[str, Any] = {}
        self.refresh()

    @property
    def versioned(self) -> bool:
        """Whether a weight's values may be replaced between calls."""
        return any(hasattr(array, "version") for array in self._weights.values())

    def refresh(self) -> None:
        """Take the values of weights that were replaced (``Parameter.load``) since the last call."""
        for name, array in self._weights.items():
            version = getattr(array, "version", 0)
            if self._versions.get(name) != version:
                self._artifact.set_weight(name, to_numpy(array))
                self._versions[name] = version


class JitFunction:
    """Calls a traced function on arrays.

    Notes
    -----
    A call whose arguments are plain positional arrays goes through the runtime's dispatcher, which knows the variants
    compiled so far; anything else, and the first call of each kind, through `_slow`.
    """

    def __init__(self, function: Function[..., Any]) -> None:
        self._function = function
        self._lock = threading.RLock()
        self._variants: dict[Hashable, Variant] = {}
        # By numeric policy: code compiled under one must not answer calls under another.
        self._dispatchers: dict[Hashable, _runtime.Dispatcher] = {}
        self._latest: tuple[Any, Any] = (None, None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        policy, dispatcher = self._latest
        if policy is not current_policy():
            dispatcher = self._select()
        return dispatcher(*args, **kwargs)

    def _select(self) -> _runtime.Dispatcher:
        policy = current_policy()
        with self._lock:
            dispatcher = self._dispatchers.get(policy)
            if dispatcher is None:
                dispatcher = self._dispatchers[policy] = _runtime.Dispatcher(self._slow)
            self._latest = (policy, dispatcher)
        return dispatcher

    def _slow(self, *args: Any, **kwargs: Any) -> Any:
        """Bind a call in Python, compile if its kind is new, and run it."""
        options = {name: kwargs.pop(name) for name in ("out", "stream") if name in kwargs}
        call = bind_call(self._function, args, kwargs)
        policy = current_policy()
        target = target_for(call.device)
        key = (policy, target.name, call.key)
        variant = self._variants.get(key)
        if variant is None:
            with self._lock:  # one compile, however many threads ask
                variant = self._variants.get(key)
                if variant is None:
                    variant = self._variants[key] = compile_variant(self._function, call.spec, target)
                    if not kwargs and not variant.versioned and variant.entry.takes_flat(len(args)):
                        self._dispatchers[policy].add(variant.entry.runtime_entry)
        variant.refresh()
        return variant.entry(*args, **options, **kwargs)


def jit(function: Function[..., Any]) -> JitFunction:
    """Return what calls a function directly."""
    return JitFunction(function)


@functools.cache
def target_for(device: int | None) -> Target:
    """Return the target for calls on arrays of one GPU of this machine, or of the CPU."""
    if device is None:
        return parse_target("native")
    return gpu_target(_runtime.cuda_devices()[device][1])


def compile_variant(function: Function[..., Any], spec: TraceSpec, target: Target) -> Variant:
    """Trace a function, and take its code from the disk cache or compile it."""
    worker.shared().start()  # it imports the compiler while we trace
    traced = trace_entry(function, spec)
    # Weights stay in memory: the cache holds code, and a model's weights may be larger than all of it.
    artifact = load_or_build(Traced(traced.name, traced.module, traced.manifest), target)
    return Variant(artifact, dict(traced.weights))


def load_or_build(traced: Traced, target: Target) -> Artifact:
    """Return the artifact of one entry for one target, by way of the disk cache."""
    job = make_job((traced,), (target,), Options())
    cache = DiskCache()
    key = cache_key((traced,), job.targets, job.toolkit)
    path = cache.get(key) if cache.limit > 0 else None
    if path is not None:
        try:
            return Artifact(path, program=_runtime.load(path))
        except (ArtifactError, OSError):
            cache.remove(key)  # damaged, or pruned by another process meanwhile
    data, _ = build((traced,), job.targets, Options())
    cache.put(key, data)
    return Artifact(data)
