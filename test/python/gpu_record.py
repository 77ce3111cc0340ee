# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A pytest plugin that makes tests of a GPU from what tests call on the CPU.

``pytest -p gpu_record --record-gpu=DIR test/python/numerics`` compiles every function that a passing test calls
directly for a GPU too, which takes none, and keeps the artifact beside the arguments and the CPU's results, which the
test has compared with its reference. ``test/gpu/replay.py DIR`` runs them where the GPU is; that machine needs the
runtime and torch alone.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER, TARGET = "--record-gpu", "--record-target"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(FOLDER, metavar="DIR", help="keep a GPU test of each function that a passing test calls")
    parser.addoption(TARGET, default="sm_90a", help="the GPU to compile them for")


def pytest_configure(config: pytest.Config) -> None:
    if folder := config.getoption(FOLDER, None):
        config.pluginmanager.register(Recorder(Path(folder), config.getoption(TARGET)), "tessera-gpu-record")


class Recorder:
    """Watches the first call of each kind; later ones go past Python."""

    def __init__(self, folder: Path, target: str) -> None:
        from tessera.driver import jit
        from tessera.driver.targets import parse_target
        from tessera.entry import EntryPoint

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._target = parse_target(target)
        self._numbers = itertools.count()
        self._sources: dict[int, tuple[Any, Any, Any]] = {}
        self._calls: list[tuple[Any, Any, list[Any], list[Any]]] = []
        compile_variant, call = jit.compile_variant, EntryPoint.__call__

        def compiling(function: Any, spec: Any, target: Any) -> Any:
            variant = compile_variant(function, spec, target)
            self._sources[id(variant.entry)] = function, spec, variant
            return variant

        def calling(entry: EntryPoint, *args: Any, **kwargs: Any) -> Any:
            source = self._sources.pop(id(entry), None)
            if source is None or "out" in kwargs:
                return call(entry, *args, **kwargs)
            inputs = [np.array(array) for array in entry._bind(args, kwargs)]  # before a donated one changes
            result = call(entry, *args, **kwargs)
            self._calls.append((*source[:2], inputs, list(leaves(result))))
            return result

        jit.compile_variant = compiling  # type: ignore[assignment]
        EntryPoint.__call__ = calling  # type: ignore[method-assign]

    def pytest_runtest_setup(self) -> None:
        self._calls.clear()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Iterator[None]:
        outcome: Any = yield
        report = outcome.get_result()
        if report.when == "call" and report.passed:
            for recorded in self._calls:
                self._keep(item.nodeid, *recorded)

    def _keep(self, test: str, function: Any, spec: Any, inputs: list[Any], outputs: list[Any]) -> None:
        import torch
        from tessera.driver.build import Options, build
        from tessera.driver.trace import trace_entry

        name = f"{os.getpid()}-{next(self._numbers)}"
        try:
            data, _ = build((trace_entry(function, spec),), (self._target,), Options())
        except Exception as error:
            (self._folder / f"{name}.json").write_text(json.dumps({"test": test, "error": str(error)}))
            return
        (self._folder / f"{name}.tsr").write_bytes(data)
        values = {"test": test, "inputs": [to_torch(a) for a in inputs], "outputs": [to_torch(a) for a in outputs]}
        torch.save(values, self._folder / f"{name}.pt")


def leaves(result: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays of a result, in order; of dataclasses too."""
    if isinstance(result, (tuple, list)):
        for item in result:
            yield from leaves(item)
    elif isinstance(result, dict):
        for item in result.values():
            yield from leaves(item)
    elif hasattr(result, "__dataclass_fields__"):
        for field in result.__dataclass_fields__:
            yield from leaves(getattr(result, field))
    elif result is not None:
        yield np.array(result)


def to_torch(array: np.ndarray[Any, Any]) -> Any:
    """A tensor of the same dtype; ml_dtypes' floats go by their bits."""
    import torch

    narrow = {"bfloat16": torch.bfloat16, "float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}
    if (dtype := narrow.get(array.dtype.name)) is not None:
        return torch.from_numpy(array.view(f"uint{8 * array.itemsize}").copy()).view(dtype)
    return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
