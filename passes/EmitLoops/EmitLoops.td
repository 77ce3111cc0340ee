// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraEmitLoopsPass : Pass<"tessera-emit-loops", "::mlir::func::FuncOp"> {
  let summary = "Make structured operations on buffers loops over vectors";
  let description = [{
    Every `linalg` operation becomes a loop nest. One loop is vectorized: the one along which most operands are adjacent
    in memory. Its main part takes several vectors at a time, so that reductions have independent partial results; the
    rest is one masked step. Inputs that are adjacent along another parallel loop are read in squares of as many rows as
    a vector has lanes, and transposed by shuffles; other operands that are not adjacent are read and written element by
    element around the same vector arithmetic. What cannot be a vector at all becomes upstream's scalar loops.

    Upstream's vectorizer takes one operation at a time to one vector of its whole iteration space: it leaves the
    remainder, the interleaving of partial results and strided operands to the caller, which is all there is to do here.

    Before:
    ```mlir
    linalg.generic ... ins(%x : memref<?xf32>) outs(%y : memref<?xf32>) { math.exp }
    ```
    After:
    ```mlir
    scf.for %i = %c0 to %main step %c32 { 2 x (vector.load, math.exp, vector.store) }
    scf.for %i = %main to %whole step %c16 { ... }
    scf.if %rest { vector.maskedload, math.exp, vector.maskedstore }
    ```

    Pre-condition: bufferized kernels. Post-condition: no structured operation is left.
  }];
  let options = [Option<"vectorBits", "vector-bits", "int64_t", "512", "Width of a vector register in bits">];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}
