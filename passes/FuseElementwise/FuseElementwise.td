// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraFuseElementwisePass : Pass<"tessera-fuse-elementwise"> {
  let summary = "Merge chains of elementwise operations into single loop nests";
  let description = [{
    Upstream's elementwise fusion under a rule that never computes an element twice, unless that is as cheap as reading
    it: a producer goes into its consumer if the consumer reads each of its elements once, or if its body only converts,
    moves or adds. A producer with several readers that is not cheap stays on its own. A matrix product takes in only the
    transposition of an operand.

    Before:
    ```mlir
    %1 = linalg.generic ... { math.exp }
    %2 = linalg.generic ... ins(%1) { arith.addf }  // a reduction
    ```
    After:
    ```mlir
    %2 = linalg.generic ... { math.exp, arith.addf }
    ```

    Pre-condition: linalg on tensors. Post-condition: the same, with fewer operations.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}
