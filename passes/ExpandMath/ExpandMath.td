// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraExpandMathPass : Pass<"tessera-expand-math", "::mlir::func::FuncOp"> {
  let summary = "Make mathematical functions arithmetic, or calls of the runtime";
  let description = [{
    On f32, exp, expm1, log, log1p, log2, tanh and erf are upstream's polynomial approximations, exp2 is built on exp, and
    sin and cos are our own. On f64, and for pow and the remainder of a division, each element goes through the
    runtime's table of library functions, because an object imports nothing.

    Before:
    ```mlir
    %1 = math.exp %0 : f64
    ```
    After:
    ```mlir
    %1 = rt.libm 0(%0, %0) : f64
    ```

    Pre-condition: math on f32 and f64, scalars or vectors of rank 1. Post-condition: no operation is left that LLVM
    would turn into a library call.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect", "::tessera::rt::RuntimeDialect"];
}
