// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraSelectBranchesPass : Pass<"tessera-select-branches", "::mlir::func::FuncOp"> {
  let summary = "Compute both sides of a cheap branch, and choose between the results";
  let description = [{
    A branch on what a tensor holds makes the host wait for the device, for longer than it takes to compute a few
    elementwise operations more. Where both sides are made of these, may be computed whatever the condition is, and
    are small together, each result becomes an elementwise operation that reads the condition where it lies.

    Before:
    ```mlir
    %p = tensor.extract %predicate[] : tensor<i8>
    %c = arith.cmpi ne, %p, %zero : i8
    %r = scf.if %c -> (tensor<?xf32>) { ... linalg.generic ... } else { ... linalg.generic ... }
    ```
    After:
    ```mlir
    %0 = linalg.generic ...
    %1 = linalg.generic ...
    %r = linalg.generic ... ins(%predicate, %0, %1 : tensor<i8>, tensor<?xf32>, tensor<?xf32>) { ... arith.select ... }
    ```

    Pre-condition: host functions on tensors. Post-condition: what is left to branch on is worth it, or cannot be
    computed in vain.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}
