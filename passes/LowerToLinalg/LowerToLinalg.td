// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraLowerToLinalgPass : Pass<"tessera-lower-to-linalg", "::mlir::ModuleOp"> {
  let summary = "Say how each operation decomposes";
  let description = [{
    Elementwise operations, reductions, matrix products and the operations that move elements become `linalg.generic`
    on tensors; control flow becomes `scf`. Booleans are bytes in memory, so every tensor of i1 becomes one of i8.
    `tessera.reshape` stays where it is more than adding and removing dimensions of size 1: the host sees it as a view.

    Before:
    ```mlir
    %1 = tessera.neg %0 : tensor<?xf32>
    ```
    After:
    ```mlir
    %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
           ins(%0 : tensor<?xf32>) outs(%empty : tensor<?xf32>) {
         ^bb0(%in: f32, %out: f32):
           %2 = arith.negf %in : f32
           linalg.yield %2 : f32
    } -> tensor<?xf32>
    ```

    Pre-condition: none. Post-condition: of the dialect, only symbol, bind_shape and reshape are left.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect", "::tessera::rt::RuntimeDialect"];
}
