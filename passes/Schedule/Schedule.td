// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraSchedulePass : Pass<"tessera-schedule", "::mlir::func::FuncOp"> {
  let summary = "Divide a kernel into tiles for threads and caches";
  let description = [{
    Turns the tile dimensions of a kernel's root into one parallel loop and computes the root's producers inside it, a
    tile at a time. The kind that kernel formation gave the kernel chooses the tile:

    * `elementwise`: where all operands are read in order, the kernel becomes one-dimensional and is cut into chunks;
      otherwise a tile is a row of the innermost dimension
    * `elementwise` or `rowwise`, where the result is made of pieces: a tile is a row of each piece, or several short rows
    * `rowwise`: a tile is one row, or a chunk of columns where the innermost dimension is divided
    * `matmul`: a tile is a block of rows and columns whose accumulator and panels fit the second-level cache
    * `attention`: a tile is a block of the queries of one head, which meets the keys block by block and keeps the maximum
      and the sum of its softmax; the keys may be in pages, and the sequences of different lengths
    * `scatter`: a tile is one update

    Outer dimensions that every operand has side by side (batch and sequence, say) become one first, so that their
    product is what the tile divides; on a GPU, so do reduced dimensions.

    On a GPU, a reduction of few long rows or columns goes in two stages: a parallel loop over chunks of it, and the
    reduction of what these come to. Where sizes are not known both forms are there, and an `scf.if` of the host's picks one.

    Before:
    ```mlir
    %2 = linalg.generic ... ins(%x, %1) outs(%out : tensor<?x?xf32>)
    ```
    After:
    ```mlir
    rt.work %N
    %2 = scf.forall (%i) in (%M) shared_outs(%o = %out) { ... linalg.generic ... outs(tensor<1x?xf32>) ... }
    ```

    Pre-condition: a kernel function of tessera-form-kernels whose callers launch it on buffers. Post-condition: all
    structured operations of a tile are inside the loop.
  }];
  let options = [
    Option<"device", "device", "std::string", /*default=*/"\"cpu\"", "What tiles are for: cpu or gpu">
  ];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::tessera::rt::RuntimeDialect", "::mlir::tensor::TensorDialect"];
}
