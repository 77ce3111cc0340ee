// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraRaiseAttentionPass : Pass<"tessera-raise-attention"> {
  let summary = "Find attention that is written out";
  let description = [{
    A product whose left operand is a softmax along its last dimension, with or without the maximum taken off, of another
    product becomes `tessera.flash_attention`, so that the scores never reach memory. Between the product and the softmax
    may stand, in this order, multiplications and divisions by constants, and one mask: a tensor that is added, or a
    selection between the scores and -inf. The operands have rank 2 to 4 and equal batch dimensions.

    It is left alone where anything else reads the scores or the weights, and where the mask is scaled with the scores.

    Before:
    ```mlir
    %1 = tessera.matmul %q, %kt : (tensor<1x8x?x64xf32>, tensor<1x8x64x?xf32>) -> tensor<1x8x?x?xf32>
    ... // exp(%1 - max) / sum(exp(%1 - max))
    %9 = tessera.matmul %8, %v : (tensor<1x8x?x?xf32>, tensor<1x8x?x64xf32>) -> tensor<1x8x?x64xf32>
    ```
    After:
    ```mlir
    %k = tessera.transpose %kt permutation = [0, 1, 3, 2]
    %9 = tessera.flash_attention %q, %k, %v scale = 1.0
    ```

    Pre-condition: functions are inlined, and values stay wide between elementwise operations (tessera-widen).
    Post-condition: no such product is left.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::tessera::TesseraDialect"];
}
