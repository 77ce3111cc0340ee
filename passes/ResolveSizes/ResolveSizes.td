// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraResolveSizesPass : Pass<"tessera-resolve-sizes"> {
  let summary = "Express every size by symbols";
  let description = [{
    Replaces each `tensor.dim` by the value that says the size: a symbol bound to a function's argument, or arithmetic
    on symbols. Upstream's resolve-ranked-shaped-type-result-dims stops at arguments and at loops.

    Before:
    ```mlir
    tessera.bind_shape %x [%S] : tensor<?x64xf32>
    %d = tensor.dim %x, %c0 : tensor<?x64xf32>
    %e = tensor.empty(%d) : tensor<?x64xf32>
    ```
    After:
    ```mlir
    tessera.bind_shape %x [%S] : tensor<?x64xf32>
    %e = tensor.empty(%S) : tensor<?x64xf32>
    ```

    Pre-condition: tensors are made by destinations, views and loops. Post-condition: no `tensor.dim` is left whose
    size something says.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}
