// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraDropChecksPass : Pass<"tessera-drop-checks", "::mlir::func::FuncOp"> {
  let summary = "Drop checks of values that lie in a device's memory";
  let description = [{
    An error that depends on what a tensor holds, such as an index out of range, can be raised only once the host has read
    it. On a device that would wait for all that ran before; indices are clipped there, and results are what the
    language says of that case. Pipelines with `debug` leave this pass out.

    Before:
    ```mlir
    %0 = tensor.extract %least[] : tensor<i64>
    %1 = arith.cmpi slt, %0, %c0 : i64
    rt.fail %1, 2030, "index out of range"(%0, %0)
    ```
    After:
    ```mlir
    %0 = tensor.extract %least[] : tensor<i64>
    %1 = arith.cmpi slt, %0, %c0 : i64
    ```
    which nothing uses.

    Pre-condition: host functions on tensors. Post-condition: no error depends on a tensor's values.
  }];
}
