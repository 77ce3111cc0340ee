# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A hand-written program with a kernel, as it is after the nvvm stage, and a way to compile it from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import sample
from tessera.driver.build import Traced
from tessera.driver.targets import GpuTarget

# erf comes from libdevice; the second kernel has every fact that a launch may need.
KERNELS = """
  gpu.module @kernels [#nvvm.target<chip = "@CHIP@", features = "@FEATURES@", O = 3>] {
    llvm.func @__nv_erff(f32) -> f32
    llvm.func @helper(%x: f32) -> f32 attributes {passthrough = ["noinline"]} {
      %y = llvm.call @__nv_erff(%x) : (f32) -> f32
      llvm.return %y : f32
    }
    llvm.func @add_one(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64)
        attributes {gpu.kernel, nvvm.kernel, nvvm.maxntid = array<i32: 256>, tessera.threads = 256 : i32} {
      %thread = nvvm.read.ptx.sreg.tid.x : i32
      %i = llvm.zext %thread : i32 to i64
      %inside = llvm.icmp "slt" %i, %n : i64
      llvm.cond_br %inside, ^body, ^end
    ^body:
      %from = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
      %to = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
      %value = llvm.load %from : !llvm.ptr -> f32
      %result = llvm.call @helper(%value) : (f32) -> f32
      llvm.store %result, %to : f32, !llvm.ptr
      llvm.br ^end
    ^end:
      llvm.return
    }
    llvm.func @add_one_1() attributes {gpu.kernel, nvvm.kernel, nvvm.maxntid = array<i32: 128>,
        tessera.threads = 128 : i32, tessera.cluster = 2 : i32, tessera.shared = 65536 : i64, tessera.pdl} {
      llvm.return
    }
  }
"""

HOST = """
module attributes {gpu.container_module} {
@KERNELS@
  llvm.mlir.global external @tsr_runtime() {addr_space = 0 : i32} : !llvm.ptr {
    %null = llvm.mlir.zero : !llvm.ptr
    llvm.return %null : !llvm.ptr
  }
  llvm.func @add_one(%buffers: !llvm.ptr, %symbols: !llvm.ptr, %workspace: !llvm.ptr) -> i32
      attributes {tessera.entry} {
    %zero = llvm.mlir.constant(0 : i32) : i32
    llvm.return %zero : i32
  }
  llvm.func @add_one.workspace(%symbols: !llvm.ptr) -> i64 {
    %zero = llvm.mlir.constant(0 : i64) : i64
    llvm.return %zero : i64
  }
}
"""


def nvvm_module(target: GpuTarget, kernels: str = KERNELS) -> bytes:
    """The program's text for a target."""
    text = HOST.replace("@KERNELS@", kernels)
    return text.replace("@CHIP@", target.name).replace("@FEATURES@", target.ptx_features).encode()


def traced(target: GpuTarget, kernels: str = KERNELS) -> Traced:
    """The program as an entry whose module is at the nvvm stage already."""
    return Traced("add_one", nvvm_module(target, kernels), sample.ENTRY)


@contextmanager
def from_nvvm_on() -> Iterator[None]:
    """Leave out the passes before the ptx stage, in this process."""
    with mock.patch.object(GpuTarget, "pipeline", lambda self, stage, *, debug=False: ""):
        yield
