# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The language reference names every operation, function and layer."""

import re
from pathlib import Path

import tessera

PAGE = Path(__file__).resolve().parents[3] / "docs" / "language.md"


def spelled() -> set[str]:
    text = PAGE.read_text()
    return set(re.findall(r"\w+", text[text.index("## Operations") : text.index("## Numbers")]))


def test_every_operation_is_named() -> None:
    operators = (
        "add sub mul div floor_divide remainder pow neg index equal not_equal less less_equal greater greater_equal "
        "bitwise_and bitwise_or bitwise_xor bitwise_not left_shift right_shift "
        "logical_and logical_or logical_xor logical_not expand_dims manual_seed"
    )
    assert set(tessera.ops.__all__) - spelled() - set(operators.split()) == set()


def test_every_function_and_layer_is_named() -> None:
    basics = {"Module", "Parameter", "module"}  # in the section on modules
    assert {*tessera.nn.__all__, *tessera.nn.parallel.__all__} - spelled() - basics == set()
