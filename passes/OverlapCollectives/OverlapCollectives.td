// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraOverlapCollectivesPass : Pass<"tessera-overlap-collectives", "::mlir::func::FuncOp"> {
  let summary = "Put kernels between a collective and what waits for it";
  let description = [{
    A collective runs beside the kernels between it and the first that reads its result, where the memory plan waits for
    it. So it moves up to where its operand is ready, and kernels that don't depend on it move up in front of the first
    that does.

    A kernel that changes a tensor in place stays where it is: what reads the tensor before would need a copy.

    Before:
    ```mlir
    %1 = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%0 : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %2 = rt.dispatch @f ins(%1 : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
    %3 = rt.dispatch @g ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
    ```
    After:
    ```mlir
    %1 = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%0 : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %3 = rt.dispatch @g ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
    %2 = rt.dispatch @f ins(%1 : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
    ```

    Pre-condition: kernels are formed. Post-condition: collectives are in the order in which they were, which is that of
    all ranks.
  }];
  let options = [
    Option<"window", "window", "int64_t", "32",
           "How many operations after the first that waits are looked at, as what moves up keeps memory for longer">
  ];
}
