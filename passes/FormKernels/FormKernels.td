// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraFormKernelsPass : Pass<"tessera-form-kernels", "::mlir::ModuleOp"> {
  let summary = "Group structured operations into kernels";
  let description = [{
    A kernel has one root, whose outer dimensions (the tile dimensions) its parallel workers divide, and the producers
    that can be computed tile by tile beside it: every reader of such a producer is in the kernel, and for a tile of the
    root it computes nothing that another tile needs too. A reduction that feeds the root makes the reduced dimension
    stay whole (a rowwise kernel); a matrix product needs its rows and columns as tile dimensions and takes elementwise
    consumers as its epilogue. The pieces of a concatenation are one root if they have the same size, or differ in the
    innermost dimension only: a tile is then a row of each.

    Each kernel becomes an isolated function in destination-passing style, called by `rt.dispatch`: inputs,
    destinations, then the sizes that its shapes are made of. Equal kernels are one function. `tessera.tile_dims` on
    the function names the root's tile dimensions and `tessera.kind` says how a schedule should see it: `elementwise`,
    `rowwise`, `matmul`, `attention` or `scatter`.

    Before:
    ```mlir
    %1 = linalg.generic ... ins(%x) outs(%fill) -> tensor<?xf32>       // sum over d1
    %2 = linalg.generic ... ins(%x, %1) outs(%e) -> tensor<?x?xf32>   // x / sum
    ```
    After:
    ```mlir
    %2 = rt.dispatch @f_0 ins(%x) outs(%e) sizes(%M, %N)
    ```

    Pre-condition: sizes are resolved to symbols. Post-condition: linalg is found only in kernels.
  }];
  let dependentDialects = ["::tessera::rt::RuntimeDialect", "::mlir::func::FuncDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}
