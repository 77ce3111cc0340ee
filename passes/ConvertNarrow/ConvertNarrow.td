// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraConvertNarrowPass : Pass<"tessera-convert-narrow"> {
  let summary = "Convert floats of 16 and 8 bits from and to other types by way of f32";
  let description = [{
    Integers and f64 become narrow floats by way of f32, with one rounding in effect, and the other way round; narrow
    floats are compared in f32. What is left between them and f32 has instructions, or other passes expand it.

    Before:
    ```mlir
    %1 = arith.sitofp %0 : i32 to bf16
    ```
    After:
    ```mlir
    %1 = arith.sitofp %0 : i32 to f32
    %2 = arith.truncf %1 : f32 to bf16
    ```

    Pre-condition: no canonicalization follows that leaves out the middle. Post-condition: narrow floats are converted
    from and to f32 alone.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}
