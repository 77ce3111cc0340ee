// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraPlaceScratchPass : InterfacePass<"tessera-place-scratch", "::mlir::FunctionOpInterface"> {
  let summary = "Allocate what a kernel needs for itself once, outside its loops";
  let description = [{
    An allocation in a loop moves to the function's entry, with a constant bound in place of a size that varies in the
    loop. Small ones go on the stack; others come from the runtime's per-thread scratch and are given back at the end.
    In a kernel of a gpu.module, all go into the block's dynamic shared memory, one after the other; `tessera.shared` is
    its size.

    Before:
    ```mlir
    scf.for %i = ... {
      %s = affine.min affine_map<(d0) -> (-d0 + 100, 32)>(%i)
      %a = memref.alloc(%s) : memref<?xf32>
    ```
    After:
    ```mlir
    %0 = memref.alloca() : memref<32xf32>
    scf.for %i = ... {
      %a = memref.subview %0[0] [%s] [1] : memref<32xf32> to memref<?xf32, strided<[1]>>
    ```

    Pre-condition: bufferized kernels, parallel loops outlined. Post-condition: no allocation is in a loop.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect", "::mlir::memref::MemRefDialect"];
}
