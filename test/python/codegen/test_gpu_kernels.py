# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What kernels for NVIDIA GPUs look like, read off their PTX and from what the assembler says of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tessera
from tessera import Tensor, nn, ops

ARCHITECTURES = ["sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120a"]


@tessera.function
def rms_norm(x: Tensor["B", 4096, tessera.bf16], weight: Tensor[4096, tessera.bf16]) -> Any:
    return x / tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + 1e-6) * weight


@tessera.function
def softmax(x: Tensor["B", 4096, tessera.bf16]) -> Any:
    return nn.softmax(x)


@tessera.function
def gated(gate: Tensor["B", 4096, tessera.bf16], up: Tensor["B", 4096, tessera.bf16]) -> Any:
    return nn.swish(gate) * up


@tessera.function
def rotated(x: Tensor["B", "S", 8, 128, tessera.bf16]) -> Any:
    return nn.rotary_embedding(x)


@tessera.function
def any_length(x: Tensor["B", "N"]) -> Any:
    return nn.softmax(x)


@tessera.function
def swiglu(x: Tensor["M", "D"], gate: Tensor["D", "F"], up: Tensor["D", "F"], down: Tensor["F", "D"]) -> Any:
    return (nn.swish(x @ gate) * (x @ up)) @ down


@tessera.function
def attention(q: Tensor["B", "H", "S", 64], k: Tensor["B", "H", "S", 64], v: Tensor["B", "H", "S", 64]) -> Any:
    return ops.flash_attention(q, k, v, is_causal=True)


ROWS = [rms_norm, softmax, gated, rotated]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("function", [*ROWS, any_length, swiglu, attention], ids=lambda f: f.__name__)
def test_every_architecture_assembles(function: Any, architecture: str) -> None:
    kernels = tessera.compile(function, targets=[architecture]).inspect()["kernels"]
    assert kernels
    if function in ROWS:
        module = tessera.compile(function, targets=[architecture]).manifest["modules"][architecture]
        assert all(kernel["spills"] == 0 for kernel in module["kernels"]), module


def ptx(function: Any) -> str:
    return tessera.compile(function, targets=["sm_90a"], keep_ir=True).mlir("ptx")


@pytest.mark.parametrize(("function", "reads", "writes"), [(rms_norm, 8, 4), (softmax, 4, 4), (gated, 4, 2)])
def test_rows_are_read_once_in_vectors(function: Any, reads: int, writes: int) -> None:
    """Of 4096 elements, 128 threads that reduce have four vectors of 16 bytes of each operand, 256 others two."""
    text = ptx(function)
    assert len(re.findall(r"ld\.global\.v4\.b32", text)) == reads
    assert len(re.findall(r"st\.global\.v4\.b32", text)) == writes
    if function is not gated:  # whose last chunk, which may be cut off, goes by elements
        assert not re.search(r"(ld|st)\.global\.b16", text)


def test_a_row_of_unknown_length_has_both_forms() -> None:
    text = ptx(any_length)
    assert "ld.global.v4.b32" in text and "ld.global.b32" in text


def test_a_row_is_divided_by_a_reciprocal() -> None:
    """Divisions are left for a divisor out of range: of the 32 elements of a thread."""
    text = ptx(softmax)
    assert len(re.findall(r"rcp\.rn\.f32", text)) == 1
    assert len(re.findall(r"div\.rn\.f32", text)) == 32


@pytest.mark.parametrize(("dtype", "relaxed"), [(tessera.bf16, True), (tessera.f32, False)], ids=str)
def test_what_ends_in_16_bits_is_computed_with_few_instructions(dtype: Any, relaxed: bool) -> None:
    @tessera.function
    def scores(x: Tensor["B", 1024]) -> Any:
        return nn.softmax(x)

    text = tessera.compile(scores, targets=["sm_90a"], dtype=dtype, keep_ir=True).mlir("ptx")
    count = len(re.findall(r"ex2\.approx\.ftz\.f32", text))
    assert count > 0
    # The exact exponential splits off the power of two, and the exact quotient adds the remainder.
    products_and_sums = len(re.findall(r"fma\.", text))
    assert products_and_sums == 0 if relaxed else products_and_sums >= 5 * count


@tessera.function
def long_softmax(x: Tensor["B", 131072, tessera.bf16]) -> Any:
    return nn.softmax(x)


def test_a_row_that_no_block_can_keep_is_read_once_by_a_cluster() -> None:
    artifact = tessera.compile(long_softmax, targets=["sm_90a", "sm_80"], keep_ir=True)
    (kernel,) = artifact.manifest["modules"]["sm_90a"]["kernels"]
    assert kernel["cluster"] == 8 and kernel["spills"] == 0
    text = artifact.mlir("ptx", "sm_90a")
    assert len(re.findall(r"ld\.global\.v4\.b32", text)) == 8  # for each of 8 * 256 threads
    assert len(re.findall(r"st\.async\.weak\.shared::cluster", text)) == 2  # the largest, and the sum
    # Registers hold the row as it is read, so that three blocks have room: it is widened, and its exponentials are
    # computed, once for each use.
    assert ".minnctapersm 3" in text
    assert len(re.findall(r"ex2\.approx", text)) == 2 * 64
    (older,) = artifact.manifest["modules"]["sm_80"]["kernels"]
    assert older["cluster"] == 1


def test_a_fence_of_the_device_is_not_waited_for_by_a_cluster() -> None:
    assert "MEMBAR" not in tessera.compile(long_softmax, targets=["sm_90a"]).mlir("sass")


def test_few_long_sums_go_in_two_stages_and_the_host_picks() -> None:
    @tessera.function
    def total(x: Tensor["M", "N"]) -> Any:
        return tessera.sum(x)

    artifact = tessera.compile(total, targets=["sm_90a"], keep_ir=True)
    host = artifact.mlir("gpu").partition("gpu.module")[0]
    two, one = host.partition("scf.if")[2].split("} else {")
    assert two.count("rt.launch_blocks") == 2 and one.count("rt.launch_blocks") == 1
    assert "atom" not in artifact.mlir("ptx")


def test_columns_are_read_in_vectors() -> None:
    @tessera.function
    def columns(x: Tensor[65536, 1024, tessera.bf16]) -> Any:
        return tessera.sum(x, dim=0)

    text = ptx(columns)
    assert "ld.global.v4.b32" in text
    assert "ld.global.b16" not in text


@pytest.mark.parametrize("dtype", [tessera.f32, tessera.bf16, tessera.int8], ids=str)
def test_a_transpose_reads_and_writes_vectors(dtype: Any) -> None:
    @tessera.function
    def turned(x: Tensor[1024, 2048]) -> Any:
        return tessera.transpose(x)

    artifact = tessera.compile(turned, targets=["sm_90a"], dtype=dtype, keep_ir=True)
    (kernel,) = artifact.manifest["modules"]["sm_90a"]["kernels"]
    assert kernel["spills"] == 0 and kernel["dynamic_shared"] == 0
    lanes = 16 // dtype.itemsize
    text = artifact.mlir("ptx")
    assert len(re.findall(r"ld\.global\.v4\.b32", text)) == lanes
    assert len(re.findall(r"st\.global\.v4\.b32", text)) == lanes


@tessera.function
def narrowed(x: Tensor["N"]) -> Any:
    return tessera.cast(x, tessera.fp8_e4m3), tessera.cast(x, tessera.fp8_e5m2)


@tessera.function
def widened(x: Tensor["N", tessera.fp8_e4m3], y: Tensor["N", tessera.fp8_e5m2]) -> Any:
    return tessera.cast(x, tessera.f32), tessera.cast(y, tessera.f32)


@pytest.mark.parametrize(("architecture", "converts"), [("sm_86", False), ("sm_89", True), ("sm_90a", True)])
def test_8_bit_floats_are_converted_by_instructions(architecture: str, converts: bool) -> None:
    narrow = tessera.compile(narrowed, targets=[architecture], keep_ir=True).mlir("ptx")
    wide = tessera.compile(widened, targets=[architecture], keep_ir=True).mlir("ptx")
    for kind in ("e4m3x2", "e5m2x2"):
        assert (f"cvt.rn.satfinite.{kind}.f32" in narrow) == converts
        assert (f"cvt.rn.f16x2.{kind}" in wide) == converts


def test_kernels_overlap_from_sm_90_on() -> None:
    assert "griddepcontrol.wait" in ptx(softmax)
    assert "griddepcontrol" not in tessera.compile(softmax, targets=["sm_80"], keep_ir=True).mlir("ptx")


def test_what_no_kernel_writes_is_read_before_the_one_before_has_ended() -> None:
    """The sines of a rotary embedding are computed of a weight: a kernel waits only to write them."""

    @tessera.function
    def rope(x: Tensor["B", "S", 32, 128]) -> Any:
        return nn.rotary_embedding(x)

    table, rotation = ptx(rope).split(".visible .entry")[1:]
    wait = table.index("griddepcontrol.wait")
    assert table.index("ld.global") < wait < table.index("st.global")
    assert table.index("griddepcontrol.launch_dependents") < table.index("ld.global")
    assert rotation.index("griddepcontrol.wait") < rotation.index("ld.global")


def test_attention_takes_no_memory_that_grows_with_its_scores() -> None:
    artifact = tessera.compile(attention, targets=["sm_90a"], keep_ir=True)
    assert [artifact.workspace_size(B=1, H=1, S=length) for length in (8192, 16384, 32768)] == [0, 0, 0]
    assert "rt.scratch" not in artifact.mlir("gpu")


def test_waits_for_the_gpu_are_listed() -> None:
    @tessera.function
    def grow(x: Tensor["N"]) -> Any:
        return tessera.while_loop(lambda y: tessera.sum(y) < 100.0, lambda y: y * 2.0, x)

    line = grow.python.__code__.co_firstlineno + 1  # type: ignore[attr-defined]
    assert tessera.compile(grow, targets=["sm_90a"]).inspect()["host_syncs"] == [f"test_gpu_kernels.py:{line}"]
    assert tessera.compile(grow, targets=["cpu"]).inspect()["host_syncs"] == []


def test_a_cheap_branch_waits_for_nothing() -> None:
    @tessera.function
    def pick(choice: Tensor[tessera.bool], x: Tensor["N"], y: Tensor["N"]) -> Any:
        return tessera.cond(choice, lambda a, b: a * 2.0, lambda a, b: tessera.exp(b) + a, x, y)

    facts = tessera.compile(pick, targets=["sm_90a"]).inspect()
    assert facts["host_syncs"] == []
    assert len(facts["kernels"]) == 1


def test_a_branch_that_is_worth_it_waits() -> None:
    @tessera.function
    def pick(choice: Tensor[tessera.bool], x: Tensor["N", "N"]) -> Any:
        return tessera.cond(choice, lambda a: a @ a, lambda a: a, x)

    assert len(tessera.compile(pick, targets=["sm_90a"]).inspect()["host_syncs"]) == 1


def test_a_gather_waits_for_nothing() -> None:
    @tessera.function
    def rows(table: Tensor["V", "D"], ids: Tensor["N", tessera.int32]) -> Any:
        return tessera.take(table, ids, dim=0)

    assert tessera.compile(rows, targets=["sm_90a"]).inspect()["host_syncs"] == []


def test_names_are_those_of_the_source_in_letters_of_ptx() -> None:
    @tessera.function
    def größe(x: Tensor["N"]) -> Any:
        return x * 2.0

    text = ptx(größe)
    assert re.search(r"\.visible \.entry gr_+e_0\(", text)
