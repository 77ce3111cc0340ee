# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The artifacts that several test files call."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from handmade import Entry, build, rt, tensor, value

C_TYPES = {"f64": "double", "f32": "float", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t"}
C_TYPES |= {"int64": "int64_t", "bool": "uint8_t", "f16": "uint16_t", "bf16": "uint16_t"}
C_TYPES |= {"fp8_e4m3": "uint8_t", "fp8_e5m2": "uint8_t"}

N = {"name": "N", "min": 0, "max": None, "multiple_of": 1}
M = {**N, "name": "M"}


def function(name: str, body: str) -> str:
    """The C of an entry: buffers ``b``, symbols ``s``, workspace ``w``."""
    return f"int32_t {name}(void *const *b, const int64_t *s, void *w) {{ {body} return 0; }}"


def copy_entry(dtype: str) -> Entry:
    """``copy(x[N, M]) -> [N, M]``, element by element, for every dtype."""
    c = C_TYPES[dtype]
    body = f"const {c} *x = b[0]; {c} *y = b[1]; for (int64_t i = 0; i < s[0] * s[1]; ++i) y[i] = x[i];"
    return Entry(function("copy", body), [tensor("x", dtype, "N", "M")], [value(dtype, "N", "M")], [N, M])


ADD = Entry(
    function(
        "add",
        "const float *x = b[0], *y = b[1]; float *z = b[2]; for (int64_t i = 0; i < s[0]; ++i) z[i] = x[i] + y[i];",
    ),
    [tensor("x", "f32", "N", source="file.py:3"), tensor("y", "f32", "N", source="file.py:4")],
    [value("f32", "N")],
    [N],
)

NORM = Entry(
    function("norm", ""),
    [
        tensor("x", "f32", "B", "S", "D", source="file.py:12"),
        tensor("weight", "f32", "D", source="file.py:13"),
        tensor("half", "f32", ["//", "D", 2]),
    ],
    [value("f32", "B", "S", ["-", "D", 8])],
    [
        {"name": "B", "min": 0, "max": 4, "multiple_of": 1},
        {"name": "S", "min": 16, "max": 8192, "multiple_of": 16},
        {"name": "D", "min": 0, "max": None, "multiple_of": 2},
    ],
    [{"left": ["%", "D", 64], "right": ["*", 0, "S"], "message": "D must be whole blocks", "source": "file.py:20"}],
)


WORKSPACE_SUMS = Entry(
    "WORKSPACE(sums) { return s[0] * 8; }"
    + function(
        "sums",
        """double *t = w; const float *x = b[0]; float *y = b[1];
        for (int64_t i = 0; i < s[0]; ++i) t[i] = x[i];
        for (int64_t i = 0; i < s[0]; ++i) y[i] = (i ? y[i - 1] : 0) + (float)t[i];
        if ((intptr_t)w % 64) return 2902;""",
    ),
    [tensor("x", "f32", "N")],
    [value("f32", "N")],
    [N],
    workspace=True,
)


@cache
def program(kind: str) -> Any:
    """A loaded program by name, made once."""
    entries = {"add": {"add": ADD}, "norm": {"norm": NORM}, "sums": {"sums": WORKSPACE_SUMS}}.get(kind) or {
        "copy": copy_entry(kind)
    }
    return rt.load_bytes(build(entries))


def load(
    name: str, body: str, inputs: list[Any], outputs: list[Any], symbols: list[Any] | None = None, **rest: Any
) -> Any:
    """One entry made on the spot, ready to be called."""
    prelude = rest.pop("prelude", "")
    entry = Entry(prelude + function(name, body), inputs, outputs, symbols or [], **rest)
    return rt.load_bytes(build({name: entry})).entry(name)


def library() -> Path:
    """libtessera_runtime.so as the extension found it."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "libtessera_runtime" in line:
            return Path(line.split()[-1])
    raise LookupError("the extension is loaded, its library is not")
