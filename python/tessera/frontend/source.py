# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where in the user's program we are: frames for locations, and error messages with source lines and carets."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from tessera.errors import CODES, TesseraError

_PACKAGE = str(Path(__file__).resolve().parents[1])


class Frame(NamedTuple):
    """A position in the user's source; columns count from 0, in characters of the line."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    function: str

    @property
    def place(self) -> str:
        """``file.py:12``, without directories, so that artifacts don't depend on where they were built."""
        return f"{Path(self.file).name}:{self.line}"


class _State(threading.local):
    """The Python frames at which running traces called into the user's function, outermost first."""

    def __init__(self) -> None:
        self.boundaries: list[FrameType] = []


state = _State()


@cache
def _positions(code: CodeType) -> tuple[tuple[int | None, int | None, int | None, int | None], ...]:
    return tuple(code.co_positions())


@cache
def _is_library(filename: str) -> bool:
    """Whether a file is part of Tessera, or is no file of the user's at all."""
    return filename.startswith((_PACKAGE, "<frozen", "<__array_function__")) or filename.endswith(
        ("/functools.py", "/contextlib.py")
    )


def _frame(frame: FrameType) -> Frame:
    code = frame.f_code
    line, end_line, column, end_column = _positions(code)[frame.f_lasti // 2]
    line = frame.f_lineno if line is None else line
    return Frame(code.co_filename, line, column or 0, end_line or line, end_column or 0, code.co_qualname)


def user_python_frames(whole: bool = False) -> Iterator[FrameType]:
    """The frames of the user's code, innermost first; see ``user_frames``."""
    boundaries = state.boundaries
    stop = (boundaries[0] if whole else boundaries[-1]) if boundaries else None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not stop:
        if not _is_library(frame.f_code.co_filename):
            yield frame
        frame = frame.f_back


def user_frames(whole: bool = False) -> Iterator[Frame]:
    """The user's positions, innermost first.

    Parameters
    ----------
    whole
        Go on through the callers of a function that is traced inside another one; otherwise stop at the function.
    """
    return map(_frame, user_python_frames(whole))


def definition(function: object) -> Frame | None:
    """The ``def`` line of a function."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return None
    line = code.co_firstlineno
    # A decorated function starts at its first decorator.
    for number in range(line, line + 50):
        text = linecache.getline(code.co_filename, number)
        if text.lstrip().startswith(("def ", "async def ")):
            column = len(text) - len(text.lstrip())
            return Frame(code.co_filename, number, column, number, len(text.rstrip()), code.co_qualname)
        if not text:
            break
    return Frame(code.co_filename, line, 0, line, 0, code.co_qualname)


def excerpt(frame: Frame) -> list[str]:
    """The source line with carets under the expression; nothing where there is no source."""
    text = linecache.getline(frame.file, frame.line).rstrip("\n")
    if not text.strip():
        return []
    # co_positions counts UTF-8 bytes; the carets need characters.
    raw = text.encode()
    start = len(raw[: frame.column].decode(errors="ignore"))
    end = len(raw[: frame.end_column].decode(errors="ignore")) if frame.end_line == frame.line else len(text)
    start = max(start, len(text) - len(text.lstrip()))
    number = str(frame.line)
    lines = [f"  {number} | {text}"]
    if end > start:
        lines.append(f"  {' ' * len(number)} | {' ' * start}{'^' * (end - start)}")
    return lines


def diagnostic(
    code: str, message: str, *, help: str = "", note: str = "", frames: list[Frame] | None = None
) -> TesseraError:
    """Make the exception for ``code``, with the user's line and the calls that led there.

    Parameters
    ----------
    code
        A key of ``tessera.errors.CODES``; it decides the class.
    message
        ``<what is wrong>: expected <x>, got <y>``.
    help
        What the user would change.
    note
        A fact about another place involved.
    frames
        Where, innermost first, if not where we are.
    """
    lines = [f"[{code}] {message}"]
    shown = list(user_frames(whole=True)) if frames is None else frames
    if state.boundaries == [] and frames is None:
        shown = shown[:1]
    for depth, frame in enumerate(shown):
        lines.append(f"  {'called from' if depth else '-->'} {frame.file}:{frame.line}, in {frame.function}")
        lines += excerpt(frame)
    if note:
        lines.append(f"  note: {note}")
    if help:
        lines.append(f"  help: {help}")
    return CODES[code].error("\n".join(lines))
