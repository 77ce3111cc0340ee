# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""C headers for host objects that are linked statically."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tessera.description import signature_text, size_text

# Of C and C++, those that Python lets a function be named.
_KEYWORDS = """
alignas alignof asm auto bool case catch char class const constexpr delete default do double enum explicit export extern
false float friend goto inline int long main mutable namespace new nullptr operator private protected public register
restrict short signed sizeof static struct switch template this throw true typedef typeid typename union unsigned using
virtual void volatile
"""
_C_KEYWORDS = frozenset(_KEYWORDS.split())


def c_header(name: str, manifest: Mapping[str, Any]) -> str:
    """Write the header that declares every entry of an object.

    The caller of these functions does what the runtime does for an artifact: it allocates outputs and the workspace,
    and checks sizes.
    """
    guard = "TESSERA_" + "".join(c if c.isalnum() else "_" for c in name.upper()) + "_H"
    producer = manifest["producer"]
    lines = [
        f"/* Made by Tessera {producer['tessera']}. Link with the object beside it and with the tessera runtime.",
        " * Call tessera_init() once, before anything else. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <tessera/runtime.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "extern const tsr_api *tsr_runtime;",
        "static inline void tessera_init(void) { tsr_runtime = tsr_get_api(); }",
    ]
    for entry_name, entry in manifest["entries"].items():
        lines += ["", *_entry_lines(entry_name, entry)]
    lines += ["", "#ifdef __cplusplus", "}", "#endif", f"#endif /* {guard} */", ""]
    return "\n".join(lines)


def _entry_lines(name: str, entry: Mapping[str, Any]) -> list[str]:
    values = [("in", item) for item in entry["inputs"]] + [("out", item) for item in entry["outputs"]]
    lines = [f"/* {signature_text(name, entry)}"]
    for index, (direction, item) in enumerate(values):
        shape = ", ".join(map(size_text, item["shape"]))
        lines.append(
            f" *   buffers[{index}]  {direction:3} {item['name'] or 'result'}: {item['dtype']}[{shape}], row-major"
        )
    for index, symbol in enumerate(entry["symbols"]):
        lines.append(f" *   symbols[{index}]  {symbol['name']}")
    c_name = _identifier(name)
    label = "" if c_name == name else f' __asm__("{name}")'
    lines += [
        " * Returns 0, or an error number (see tsr_last_error). The workspace is aligned to 64 bytes. */",
        f"int32_t {c_name}(void *const *buffers, const int64_t *symbols, void *workspace){label};",
        f'int64_t {c_name}_workspace(const int64_t *symbols) __asm__("{name}.workspace");',
    ]
    return lines


def _identifier(name: str) -> str:
    """An entry's name as C can write it; an assembler label keeps the symbol's own."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return f"{name}_" if name in _C_KEYWORDS else f"_{name}" if name[:1].isdigit() else name
