// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraLowerToNvvmPass : Pass<"tessera-lower-to-nvvm", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Lower kernels to the llvm and nvvm dialects";
  let description = [{
    Upstream's patterns, together with those of rt. Mathematical functions become calls of libdevice. Dynamic shared
    memory is an external array: upstream's lowering makes it an internal one, which the assembler places below static
    arrays as if it had no size.

    Before:
    ```mlir
    gpu.func @k(%x: !rt.buffer, %n: index) kernel { ... math.exp %0 : f32 ... }
    ```
    After:
    ```mlir
    llvm.func @k(%x: !llvm.ptr, %n: i64) attributes {gpu.kernel, nvvm.kernel} { ... llvm.call @__nv_expf(%0) ... }
    ```

    Pre-condition: kernels of loops over scalars and vectors, with control flow as branches. Post-condition: only llvm and
    nvvm are left.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}
