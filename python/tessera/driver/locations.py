# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MLIR's locations as lines of the user's source."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tessera._mlir import ir
from tessera.driver.job import Frame


def frames(location: ir.Location, function: str = "") -> Iterator[Frame]:
    """Source lines of a location, innermost first; names around a file position are the function's."""
    if location.is_a_callsite():
        yield from frames(location.callee, function)
        yield from frames(location.caller)
    elif location.is_a_name():
        yield from frames(location.child_loc, location.name_str)
    elif location.is_a_fused():
        # A pass fuses the locations of the ops that it merged: the first that leads to a source line stands for them.
        for part in location.locations:
            found = list(frames(part, function))
            if found:
                yield from found
                return
    elif location.is_a_file():
        # MLIR counts columns from 1; a location without a range gets one caret.
        start = max(location.start_col - 1, 0)
        end = location.end_col - 1 if location.end_line == location.start_line else 0
        yield Frame(location.filename, location.start_line, start, max(end, start + 1), function)


def source_lines(location: ir.Location) -> list[str]:
    """The lines of all that was fused into a location, without repeats: ``file.py:12``, the innermost frame of each."""

    def walk(location: ir.Location) -> Iterator[str]:
        if location.is_a_fused():
            for part in location.locations:
                yield from walk(part)
        elif frame := next(frames(location), None):
            yield f"{os.path.basename(frame.file)}:{frame.line}"

    return list(dict.fromkeys(walk(location)))
