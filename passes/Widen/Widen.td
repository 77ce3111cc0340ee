// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraWidenPass : Pass<"tessera-widen"> {
  let summary = "Keep values wide between elementwise operations and reductions";
  let description = [{
    Arithmetic on floats narrower than f32 is done in f32: the frontend widens the operands and narrows the result of
    each operation, by casts marked `implicit`. Between two such operations this pass takes the pair away, so that a
    chain rounds once, at its end, however it is later cut into kernels. A cast that the user wrote is not marked and
    stays.

    Before:
    ```mlir
    %1 = tessera.exp %0 : tensor<?xf32>
    %2 = tessera.cast %1 {implicit} : tensor<?xf32> to tensor<?xbf16>
    %3 = tessera.cast %2 {implicit} : tensor<?xbf16> to tensor<?xf32>
    %4 = tessera.neg %3 : tensor<?xf32>
    ```
    After:
    ```mlir
    %1 = tessera.exp %0 : tensor<?xf32>
    %4 = tessera.neg %1 : tensor<?xf32>
    ```

    Pre-condition: casts are explicit. Post-condition: no implicit cast widens the result of an implicit narrowing cast,
    also not through operations that only move elements.
  }];
  let dependentDialects = ["::tessera::TesseraDialect"];
}
