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

    A concatenation comes after what is computed from it: an elementwise operation that alone reads it becomes one for
    each piece, a concatenated concatenation one with more pieces, and a slice that is a piece that piece. Operations
    that fuse with their readers are left where they are.

    Before:
    ```mlir
    %1 = linalg.generic ... { math.exp }
    %2 = linalg.generic ... ins(%1) { arith.addf }  // a reduction
    ```
    After:
    ```mlir
    %2 = linalg.generic ... { math.exp, arith.addf }
    ```

    Before:
    ```mlir
    %2 = tensor.insert_slice %x into %e[0] [4] [1] ...
    %3 = tensor.insert_slice %y into %2[4] [4] [1] ...
    %4 = linalg.generic ... ins(%3) { arith.truncf }
    ```
    After:
    ```mlir
    %2 = linalg.generic ... ins(%x) { arith.truncf }
    %3 = linalg.generic ... ins(%y) { arith.truncf }
    %4 = tensor.insert_slice %2 into %e2[0] [4] [1] ...
    %5 = tensor.insert_slice %3 into %4[4] [4] [1] ...
    ```

    Pre-condition: linalg on tensors. Post-condition: the same, with fewer operations.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}
