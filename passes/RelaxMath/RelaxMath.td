// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraRelaxMathPass : Pass<"tessera-relax-math", "::mlir::func::FuncOp"> {
  let summary = "Allow approximations where 16 bits are all that is kept";
  let description = [{
    A float of 16 bits or less has a significand of at most 11. Where an f32 ends in nothing else, through arithmetic,
    sums and moves, an exponential that is right to 17 bits gives the same result but for near ties, and so does a
    division by way of the reciprocal. They are marked, by `afn` and `arcp`, and a target makes of that what it can.

    What a comparison, a rounding or conversion to integers, a loop, a branch or a caller sees of a value is exact as
    before. It is decided before kernels are formed, so that results don't depend on how operations are grouped.

    Before:
    ```mlir
    %1 = math.exp %0 : f32
    %2 = arith.divf %1, %sum : f32
    %3 = arith.truncf %2 : f32 to bf16
    ```
    After:
    ```mlir
    %1 = math.exp %0 fastmath<afn> : f32
    %2 = arith.divf %1, %sum fastmath<arcp> : f32
    %3 = arith.truncf %2 : f32 to bf16
    ```

    Pre-condition: linalg on tensors. Post-condition: the same.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}
