# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LLVM IR to host objects that the loader takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample
from tessera.driver import codegen
from tessera.driver.codegen import generate_object
from tessera.driver.targets import parse_target
from tessera.errors import CompileError


@pytest.mark.parametrize("name", ["cpu", "cpu:avx512", "cpu:avx512-bf16"])
def test_objects_are_elf_and_deterministic(name: str) -> None:
    target = parse_target(name)
    data, text = generate_object(sample.LLVM_IR, target)
    assert data.startswith(b"\x7fELF")
    assert generate_object(sample.LLVM_IR, target)[0] == data
    assert "target triple" in text


def test_vectors_use_the_target() -> None:
    _, narrow = generate_object(sample.LLVM_IR, parse_target("cpu"))
    _, wide = generate_object(sample.LLVM_IR, parse_target("cpu:avx512"))
    assert "<8 x float>" in narrow and "<16 x float>" not in narrow
    assert "<16 x float>" in wide


def test_an_undefined_symbol_is_refused() -> None:
    text = """
    declare float @expf(float)
    define float @f(float %x) {
      %y = call float @expf(float %x)
      ret float %y
    }
    """
    with pytest.raises(CompileError, match=r"the generated object cannot be loaded: .*expf"):
        generate_object(text, parse_target("cpu"))


def test_wrong_text_is_refused() -> None:
    with pytest.raises(CompileError, match="LLVM refused the generated code"):
        generate_object("define nonsense", parse_target("cpu"))


def test_the_replay_command(tmp_path: Path) -> None:
    source = tmp_path / "before-obj.ll"
    source.write_text(sample.LLVM_IR)
    assert codegen.main([str(source), "--target", "cpu", "-o", str(tmp_path / "out.o")]) == 0
    assert (tmp_path / "out.o").read_bytes().startswith(b"\x7fELF")
