# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The examples of the language reference run, in order."""

import re
from pathlib import Path
from typing import Any

import tessera

PAGE = Path(__file__).resolve().parents[3] / "docs" / "language.md"


def test_examples() -> None:
    text = PAGE.read_text()
    names: dict[str, Any] = {"__name__": "language"}
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        # Padded, so that errors name the page's own lines.
        lines = text.count("\n", 0, match.start(1))
        exec(compile("\n" * lines + match[1], str(PAGE), "exec"), names)


def test_every_operation_is_named() -> None:
    text = PAGE.read_text()
    section = text[text.index("## Operations") : text.index("## Numbers")]
    spelled = set(re.findall(r"\w+", section))
    operators = (
        "add sub mul div floor_divide remainder pow neg index equal not_equal less less_equal greater greater_equal "
        "bitwise_and bitwise_or bitwise_xor bitwise_not left_shift right_shift "
        "logical_and logical_or logical_xor logical_not expand_dims manual_seed"
    )
    assert set(tessera.ops.__all__) - spelled - set(operators.split()) == set()
