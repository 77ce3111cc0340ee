// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraFuseSiblingsPass : Pass<"tessera-fuse-siblings"> {
  let summary = "Compute what is read together in one loop nest";
  let description = [{
    Elementwise operations that walk the same loops and have the same readers become one operation with several results,
    so that what they share is read, and computed, once: the pieces of a concatenation, whatever they are computed from,
    and other operations if they have the same operands. An operation with a reader of its own stays apart, because a
    kernel takes in a producer only with all of its readers.

    Before:
    ```mlir
    %1 = linalg.generic ... ins(%x, %c) { arith.mulf }
    %2 = linalg.generic ... ins(%x, %s) { arith.mulf }
    %3 = tensor.insert_slice %1 into %e[0, 0] ...
    %4 = tensor.insert_slice %2 into %3[0, 32] ...
    ```
    After:
    ```mlir
    %1:2 = linalg.generic ... ins(%x, %c, %x, %s) { arith.mulf, arith.mulf }
    %3 = tensor.insert_slice %1#0 into %e[0, 0] ...
    %4 = tensor.insert_slice %1#1 into %3[0, 32] ...
    ```

    Pre-condition: linalg on tensors. Post-condition: the same, with fewer operations; operands and values may be there
    twice, for canonicalization and CSE to find.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}
