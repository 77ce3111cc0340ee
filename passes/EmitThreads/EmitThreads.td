// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraEmitThreadsPass : Pass<"tessera-emit-threads", "::mlir::gpu::GPUFuncOp"> {
  let summary = "Divide the structured operations of a block among its threads";
  let description = [{
    A row program, in which everything runs along one row, becomes one pass over the row: each thread reads its vectors
    of 16 bytes once, keeps in registers what one operation passes to the next, and reductions go by shuffles within a
    warp and through shared memory between warps, and between the blocks of a cluster. A row that is too long, or of a
    length that is not known, is read again for each reduction, from the caches as far as they hold it. Where the length
    has to be divisible for wide accesses and is not known, both forms are there.

    In other blocks the threads divide the elements that an operation computes, one operation after the other, with
    barriers between; what passes from one to the next lies in shared memory. Products go through shared memory in
    blocks, reductions of columns by vectors of rows, operations on what lies transposed by squares that are turned in
    registers, and lanes of a warp share what is reduced side by side.

    A kernel with `tessera.pdl` lets the next one's blocks onto the device, and waits for the kernel before where it first
    uses memory that others write: all but arguments with `tessera.constant`.

    Before:
    ```mlir
    linalg.generic ... ins(%row : memref<1x4096xbf16>) outs(%sum : memref<1xf32>) { square and add }
    ```
    After:
    ```mlir
    %x0 = vector.load %row[%c0, %lane] {alignment = 16} : memref<1x4096xbf16>, vector<8xbf16>
    ...
    %s, %v = gpu.shuffle xor %partial, %c16, %c32 : f32
    ```

    Pre-condition: outlined kernels. Post-condition: no structured operation is left.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}
