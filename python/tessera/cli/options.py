# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How options such as ``--dim S=1:8192:16`` are read."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from tessera.cli.app import USAGE, fail


def split_assignment(option: str, text: str) -> tuple[str, str]:
    """Split ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise fail(USAGE, f"--{option}: expected NAME=VALUE, got {text!r}")
    return name.strip(), value.strip()


def parse_dims(texts: Iterable[str]) -> dict[str, Any]:
    """Read ``D=4096`` and ``S=min:max:multiple`` (each part may be left out)."""
    from tessera.frontend import Dim

    dims: dict[str, Any] = {}
    for text in texts:
        name, value = split_assignment("dim", text)
        parts = value.split(":")
        try:
            numbers = [int(part) if part else None for part in parts]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3 or (len(numbers) == 1 and numbers[0] is None):
            raise fail(USAGE, f"--dim: expected D=4096 or S=min:max:multiple, got {text!r}")
        if len(numbers) == 1:
            dims[name] = numbers[0]
        else:
            low, high, multiple = [*numbers, None][:3]
            dims[name] = Dim(low or 0, high, multiple_of=multiple or 1)
    return dims


def parse_sizes(texts: Iterable[str]) -> dict[str, int]:
    """Read sizes of symbols: ``S=512``."""
    sizes = {}
    for text in texts:
        name, value = split_assignment("dim", text)
        if not value.isdecimal():
            raise fail(USAGE, f"--dim: expected a size such as S=512, got {text!r}")
        sizes[name] = int(value)
    return sizes


def parse_dtypes(texts: Iterable[str]) -> tuple[Any, dict[str, Any]]:
    """Read ``bf16`` (for all) and ``w=bf16`` (for one)."""
    default, by_name = None, {}
    for text in texts:
        if "=" in text:
            name, value = split_assignment("dtype", text)
            by_name[name] = dtype_named(value)
        else:
            default = dtype_named(text)
    return default, by_name


def dtype_named(name: str) -> Any:
    """Return the dtype of this name."""
    import difflib

    from tessera import dtypes

    known: Mapping[str, Any] = {
        key: value for key, value in vars(dtypes).items() if isinstance(value, dtypes.DType) and not key.startswith("_")
    }
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    raise fail(USAGE, f"--dtype: unknown dtype '{name}': expected one of {', '.join(known)}{hint}")


def parse_static(texts: Iterable[str]) -> dict[str, Any]:
    """Read values as Python literals; what is none is a string."""
    values: dict[str, Any] = {}
    for text in texts:
        name, value = split_assignment("static", text)
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values
