# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`tessera-expand-fp8` against ml_dtypes: every code widened, every half-way case narrowed, NaN's bits included."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("tessera._mlir", reason="the compiler is not built")

from tessera._mlir import ir
from tessera._mlir._mlir_libs import _tessera
from tessera._mlir.passmanager import PassManager
from tessera.driver.targets import parse_target

Array = np.ndarray[Any, Any]

DTYPES: dict[str, Any] = {
    "f8E4M3FN": ml_dtypes.float8_e4m3fn,
    "f8E5M2": ml_dtypes.float8_e5m2,
    "bf16": ml_dtypes.bfloat16,
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
}
FP8 = ["f8E4M3FN", "f8E5M2"]
TARGETS = ["cpu", "cpu:avx512"]

# Whole vectors, then the rest as scalars: both forms of the conversion.
SOURCE = """
func.func @convert(%x: !rt.buffer, %y: !rt.buffer, %workspace: !rt.buffer, %n: index) attributes {{tessera.entry}} {{
  %from = rt.bind %x[%n] : memref<?x{source}>
  %to = rt.bind %y[%n] : memref<?x{target}>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  cf.br ^vectors(%c0 : index)
^vectors(%i: index):
  %next = arith.addi %i, %c16 : index
  %whole = arith.cmpi sle, %next, %n : index
  cf.cond_br %whole, ^vector, ^scalars(%i : index)
^vector:
  %0 = vector.load %from[%i] : memref<?x{source}>, vector<16x{source}>
  %1 = arith.{op} %0 : vector<16x{source}> to vector<16x{target}>
  vector.store %1, %to[%i] : memref<?x{target}>, vector<16x{target}>
  cf.br ^vectors(%next : index)
^scalars(%j: index):
  %more = arith.cmpi slt, %j, %n : index
  cf.cond_br %more, ^scalar, ^done
^scalar:
  %2 = memref.load %from[%j] : memref<?x{source}>
  %3 = arith.{op} %2 : {source} to {target}
  memref.store %3, %to[%j] : memref<?x{target}>
  %k = arith.addi %j, %c1 : index
  cf.br ^scalars(%k : index)
^done:
  return
}}
"""


@functools.cache
def _converter(source: str, target: str, machine: str) -> Callable[[Array], Array]:
    op = "extf" if source in FP8 else "truncf"
    with ir.Context():
        module = ir.Module.parse(SOURCE.format(source=source, target=target, op=op))
        PassManager.parse("builtin.module(func.func(tessera-expand-fp8),tessera-lower-to-llvm)").run(module.operation)
        text = _tessera.translate_to_llvmir(module.operation)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    kind = parse_target(machine)
    code = llvm.Target.from_triple(kind.llvm_triple).create_target_machine(
        cpu=kind.cpu, features=kind.llvm_features, opt=3
    )
    parsed = llvm.parse_assembly(text)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(code, options)
    builder.getModulePassManager().run(parsed, builder)
    engine = llvm.create_mcjit_compiler(parsed, code)
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
        engine.get_function_address("convert")
    )

    def convert(x: Array) -> Array:
        x = np.ascontiguousarray(x)
        y = np.empty(x.shape, DTYPES[target])
        buffers = (ctypes.c_void_p * 2)(x.ctypes.data, y.ctypes.data)
        symbols = (ctypes.c_int64 * 1)(x.size)
        assert function(buffers, symbols, None) == 0
        return y

    # The engine owns the code.
    convert.engine = engine  # type: ignore[attr-defined]
    return convert


def _bits(x: Array) -> Array:
    return x.view(f"u{x.itemsize}")


def _check(x: Array, source: str, target: str, machine: str) -> None:
    if machine != "cpu" and not llvm.get_host_cpu_features().get("avx512vl"):
        pytest.skip("this machine has no AVX-512")
    with np.errstate(invalid="ignore", over="ignore"):
        expected = x.astype(DTYPES[target])
    # Mostly vectors, and then scalars alone.
    for part in (slice(None), slice(0, 15)):
        got = _converter(source, target, machine)(x[part])
        wrong = np.flatnonzero(_bits(got) != _bits(expected[part]))
        assert wrong.size == 0, [(x[part][i], got[i], expected[part][i]) for i in wrong[:5]]


@pytest.mark.parametrize("machine", TARGETS)
@pytest.mark.parametrize("target", ["f32", "f16", "bf16", "f64"])
@pytest.mark.parametrize("source", FP8)
def test_widening_of_every_code(source: str, target: str, machine: str) -> None:
    codes = np.arange(256, dtype=np.uint8).view(DTYPES[source])
    _check(codes, source, target, machine)
    for code in codes:
        _check(code[None], source, target, machine)


@pytest.mark.parametrize("machine", TARGETS)
@pytest.mark.parametrize("source", ["bf16", "f16"])
@pytest.mark.parametrize("target", FP8)
def test_narrowing_of_every_16_bit_number(source: str, target: str, machine: str) -> None:
    every = np.arange(65536, dtype=np.uint16).view(DTYPES[source])
    _check(every, source, target, machine)
    _check(every.astype(np.float32), "f32", target, machine)


@pytest.mark.parametrize("machine", TARGETS)
@pytest.mark.parametrize("target", FP8)
def test_narrowing_around_half_way(target: str, machine: str) -> None:
    numbers = np.arange(256, dtype=np.uint8).view(DTYPES[target]).astype(np.float64)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    last = numbers[-1] + (numbers[-1] - numbers[-2]) * np.array([0.5, 1.0, 1.5])
    ties = np.concatenate([(numbers[1:] + numbers[:-1]) / 2, numbers, last, -last]).astype(np.float32)
    up, down = np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf))
    edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 3.4e38], dtype=np.float32)
    _check(np.concatenate([ties, up, down, edges]), "f32", target, machine)


@pytest.mark.parametrize("machine", TARGETS)
@pytest.mark.parametrize("target", FP8)
def test_narrowing_of_random_numbers(target: str, machine: str) -> None:
    rng = np.random.default_rng(0)
    _check(rng.integers(0, 2**32, 1_000_003, dtype=np.uint32).view(np.float32), "f32", target, machine)
    scaled = rng.standard_normal(100_003) * np.exp2(rng.integers(-24, 20, 100_003))
    _check(scaled.astype(np.float32), "f32", target, machine)
    # ml_dtypes, too, goes through f32.
    _check(scaled, "f64", target, machine)
