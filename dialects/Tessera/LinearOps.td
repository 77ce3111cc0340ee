// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_LINEAR_OPS
#define TESSERA_LINEAR_OPS

include "dialects/Tessera/TesseraBase.td"

def Tessera_MatmulOp : Tessera_PureOp<"matmul"> {
  let summary = "Multiply matrices, in batches";
  let description = [{
    [..., M, K] times [..., K, N] is [..., M, N]; the leading dimensions broadcast. Products of floats narrower than f64
    are accumulated in f32, of f64 in f64, of integers in i32 (i64 for i64), and rounded once. Operands of two types, such
    as quantized weights, are both taken to f32 element by element.

    Constraints:
    * (C1) the operands have rank 2 or more, and one element type or two of less than 64 bits, one of them of floats
    * (C2) the last dimension of lhs equals the one before the last of rhs
    * (C3) the result has the shape above
    * (C4) the result's element type is that of both operands, or the accumulator's

    ```mlir
    %y = tessera.matmul %x, %w : (tensor<?x?x64xbf16>, tensor<64x?xbf16>) -> tensor<?x?x?xbf16>
    ```
  }];
  let arguments = (ins Tessera_NumberTensor:$lhs, Tessera_NumberTensor:$rhs);
  let results = (outs Tessera_NumberTensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

#endif // TESSERA_LINEAR_OPS
