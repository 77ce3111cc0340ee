# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``--coverage-json=FILE``: which operations passing tests compiled, with which dtypes, for which target.

``tools/write_coverage.py`` makes docs/coverage.md of such files. What a test compiled it also ran on this machine; a
test that calls what an earlier one compiled does not count again. With pytest-xdist, each worker sends its counts.
"""

from __future__ import annotations

import importlib
import json
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

OPTION = "--coverage-json"
WORKER_KEY = "tessera_coverage"

#: An operation's name, a dtype's name and a target's.
Use = tuple[str, str, str]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, metavar="FILE", help="write which operations, dtypes and targets passing tests compiled")


def pytest_configure(config: pytest.Config) -> None:
    # Without a default the option is unknown where pytest found this file only after reading the command line.
    if config.getoption(OPTION, None):
        config.pluginmanager.register(Coverage(config), "tessera-coverage")


class Coverage:
    """Watches what is compiled, and counts what passing tests used."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._current: set[Use] = set()
        self._passed: Counter[Use] = Counter()
        self._watch("tessera.driver.jit", "load_or_build", lambda traced, target: ([traced], target.name))
        self._watch("tessera.compile", "build", lambda entries, targets, options: (entries, picked(targets)))

    def _watch(self, module: str, name: str, arguments: Any) -> None:
        """Look at the arguments of a function that makes code, once it has."""
        owner = importlib.import_module(module)
        original = getattr(owner, name)

        def watched(*args: Any) -> Any:
            result = original(*args)
            entries, target = arguments(*args)
            if target is not None:
                self._current |= {(*use, target) for entry in entries for use in operations(entry.module)}
            return result

        setattr(owner, name, watched)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._current.clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed.update(self._current)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist is done."""
        for *use, count in node.workeroutput[WORKER_KEY] if hasattr(node, "workeroutput") else ():
            self._passed[tuple(use)] += count

    def pytest_sessionfinish(self) -> None:
        counts = [[*use, count] for use, count in sorted(self._passed.items())]
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[WORKER_KEY] = counts
            return
        arguments = [str(a) for a in self._config.invocation_params.args if not str(a).startswith(OPTION)]
        run = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "command": " ".join(["pytest", *arguments]),
            "counts": counts,
        }
        Path(self._config.getoption(OPTION)).write_text(json.dumps(run) + "\n")


def picked(targets: Sequence[Any]) -> str | None:
    """The target whose code the runtime takes for NumPy arrays on this machine; None if it cannot run any."""
    from tessera import _runtime
    from tessera.driver.targets import CpuTarget

    here = set(_runtime.host_features())
    runnable = [target for target in targets if isinstance(target, CpuTarget) and here.issuperset(target.features)]
    return max(runnable, key=lambda target: len(target.features)).name if runnable else None


def operations(module: bytes) -> set[tuple[str, str]]:
    """The operations of our dialect in a module, each with every dtype among its operands and results."""
    from tessera._mlir import ir
    from tessera.dtypes import ALL

    names = {dtype.mlir: dtype.name for dtype in ALL} | {"index": "index"}  # sizes
    found: set[tuple[str, str]] = set()
    with ir.Context():
        for operation in walk(ir.Module.parse(module).operation):
            if not operation.name.startswith("tessera."):
                continue
            types = [value.type for value in (*operation.operands, *operation.results)]
            elements = {str(kind.element_type if isinstance(kind, ir.ShapedType) else kind) for kind in types}
            found |= {(operation.name, names[element]) for element in elements if element in names}
    return found


def walk(operation: Any) -> Iterator[Any]:
    yield operation
    for region in operation.regions:
        for block in region:
            for inner in block.operations:
                yield from walk(inner.operation)


def machine() -> str:
    """The processor's model and, where there are any, the GPUs' names."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    names = models[:1] or [platform.machine()]
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names += dict.fromkeys(subprocess.run(query, capture_output=True, text=True).stdout.splitlines())
    return ", ".join(names)
