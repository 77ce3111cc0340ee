# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera compile``."""

from __future__ import annotations

import difflib
import importlib.util
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import typer

from tessera.artifact import Artifact
from tessera.cli.app import COMPILE_FAILED, USAGE, fail
from tessera.cli.options import parse_dims, parse_dtypes, parse_static
from tessera.container import write_atomically
from tessera.errors import TesseraError
from tessera.stages import STAGES, stages_of

if TYPE_CHECKING:
    from rich.status import Status

_SLOW_SECONDS = 1.0
_PACKAGE = str(Path(__file__).resolve().parents[1])


def compile_file(
    source: str,
    *,
    output: Path | None,
    targets: list[str],
    dims: list[str],
    dtypes: list[str],
    static: list[str],
    emit: str | None,
    dump_dir: Path | None,
    keep_ir: bool,
    in_process: bool,
    timeout: float | None,
    ptxas: Path | None,
    lineinfo: bool,
    debug: bool | str,
    times: bool,
) -> None:
    """Compile what the command line says."""
    from tessera.compile import HostObject, compile
    from tessera.driver import worker
    from tessera.driver.targets import parse_targets

    if emit is not None and emit not in STAGES:
        nearest = difflib.get_close_matches(emit, STAGES, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise fail(USAGE, f"--emit: unknown stage '{emit}': expected one of {', '.join(STAGES)}{hint}")
    chosen = parse_targets(targets)  # before anything else, as a typing mistake is the likeliest failure
    if emit is not None and not any(emit in target.stages for target in chosen):
        raise fail(USAGE, f"--emit: no stage '{emit}' of {', '.join(target.name for target in chosen)}")
    if not in_process:
        worker.shared().start()
    functions = load_functions(source)
    dtype, by_name = parse_dtypes(dtypes)
    arguments: dict[str, Any] = {
        "dims": parse_dims(dims),
        "dtypes": by_name,
        "static": parse_static(static),
        "in_process": in_process,
        "timeout": timeout,
        "ptxas": ptxas,
        "lineinfo": lineinfo,
        "debug": debug,
        "targets": [target.name for target in chosen],
    }
    if dtype is not None:
        arguments["dtype"] = dtype
    # One function keeps its own name as the entry's.
    subject = functions if len(functions) > 1 else next(iter(functions.values()))
    started = time.monotonic()
    with Spinner() as spinner, _users_errors(Path(source.rpartition(":")[0]), "cannot be compiled"):
        compiled = compile(
            subject,
            **arguments,
            keep_ir=keep_ir or emit not in (None, "obj"),
            dump_dir=dump_dir,
            emit="object" if emit == "obj" else "artifact",
            progress=spinner.show,
        )
    elapsed = time.monotonic() - started
    name = next(iter(functions))
    if isinstance(compiled, HostObject):
        path = output or Path(f"{name}.o")
        write_atomically(path, (compiled.object,))
        write_atomically(path.with_suffix(".h"), (compiled.header.encode(),))
        _say(f"wrote {path} and {path.with_suffix('.h')}")
    elif emit is not None:
        _write_text(output, "\n".join(compiled.mlir(emit, target.name) for target in chosen if emit in target.stages))
    else:
        path = output or Path(f"{name}.tsr")
        compiled.save(path)
        _say(f"wrote {path} ({path.stat().st_size} bytes) in {elapsed:.2f} s")
    if isinstance(compiled, Artifact) and (times or elapsed > _SLOW_SECONDS):
        show_times(compiled.compile_seconds, elapsed)


def load_functions(source: str) -> dict[str, Callable[..., Any]]:
    """Import ``FILE.py`` and return what ``NAME,NAME`` are in it."""
    file, colon, names = source.rpartition(":")
    if not colon or not names:
        raise fail(USAGE, f"expected FILE.py:NAME, got {source!r}")
    path = Path(file)
    if not path.is_file():
        raise fail(USAGE, f"no file {file!r}")
    module = _import_file(path)
    return {name: _find(module, path, name.strip()) for name in names.split(",")}


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise fail(USAGE, f"expected a Python file, got {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # as `python FILE.py` does
    sys.modules.setdefault(path.stem, module)
    with _users_errors(path, "cannot be imported"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _users_errors(path: Path, what: str) -> Iterator[None]:
    """Show an exception raised by the user's file with the user's frames only: what is above them is this command."""
    try:
        yield
    except (TesseraError, OSError):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        first = next((i for i, frame in enumerate(frames) if frame.filename == str(path)), None)
        if first is None and not isinstance(error, SyntaxError):
            raise  # ours
        shown = [] if first is None else [f for f in frames[first:] if not f.filename.startswith(_PACKAGE)]
        where = "".join(traceback.format_list(shown)) + "".join(traceback.format_exception_only(error))
        raise fail(COMPILE_FAILED, f"{path} {what}\n{where.rstrip()}") from None


def _find(module: ModuleType, path: Path, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(module, name, None)
    if callable(found):
        return found
    candidates = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    nearest = difflib.get_close_matches(name, candidates, n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    raise fail(USAGE, f"{path} has no function '{name}'{hint}")


class Spinner:
    """Shows the running stage on a terminal, once a compile has taken a second."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Spinner:
        return self

    def show(self, target: str, stage: str) -> None:
        """Take note that a stage begins."""
        if not self._terminal or time.monotonic() - self._started < _SLOW_SECONDS:
            return
        if self._status is None:
            from rich.console import Console
            from rich.status import Status

            self._status = Status("", console=Console(stderr=True))
            self._status.start()
        stages = stages_of(target)
        self._status.update(f"{target}: {stage} ({stages.index(stage) + 1} of {len(stages)})")

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()


def show_times(seconds: Mapping[str, Mapping[str, float]], elapsed: float) -> None:
    """Print the time of each stage, by target, to standard error."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"compiled in {elapsed:.2f} s", title_justify="left")
    table.add_column("stage")
    for target in seconds:
        table.add_column(f"{target}, ms", justify="right")
    for stage in STAGES:
        if any(stage in times for times in seconds.values()):
            cells = (f"{times[stage] * 1e3:.1f}" if stage in times else "" for times in seconds.values())
            table.add_row(stage, *cells)
    Console(stderr=True).print(table)


def _write_text(output: Path | None, text: str) -> None:
    if output is None:
        typer.echo(text)
    else:
        write_atomically(output, (text.encode(),))
        _say(f"wrote {output}")


def _say(text: str) -> None:
    typer.echo(text, err=True)
