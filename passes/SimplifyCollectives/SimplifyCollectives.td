// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraSimplifyCollectivesPass : Pass<"tessera-simplify-collectives", "::mlir::func::FuncOp"> {
  let summary = "Send less, and less often";
  let description = [{
    What ranks send each other costs more than what they compute, so collectives are rewritten by their algebra:

    * A rank's part of what was gathered, or reduced, for all is not gathered (the part was there before), or is a
      reduce_scatter; gathering what a reduce_scatter has scattered makes an all_reduce.
    * Ranks that hold the same tensor need not reduce it: the largest is what they have, the sum a multiple.
    * Reductions over one axis after another are one over both, and a sum of sums is the sum of what was added up.
    * Small all_reduces of one kind that don't need each other become one.
    * A collective in a loop whose operand no iteration changes goes before the loop.

    Before:
    ```mlir
    %1 = shard.all_reduce %0 on @mesh grid_axes = [1] : tensor<8x4xf32> -> tensor<8x4xf32>
    %2 = shard.all_slice %1 on @mesh grid_axes = [1] slice_axis = 0 : tensor<8x4xf32> -> tensor<2x4xf32>
    ```
    After:
    ```mlir
    %2 = shard.reduce_scatter %0 on @mesh grid_axes = [1] scatter_axis = 0 : tensor<8x4xf32> -> tensor<2x4xf32>
    ```

    Pre-condition: every rank of a group comes to the same collectives. Post-condition: it still does.
  }];
  let options = [
    Option<"smallBytes", "small-bytes", "int64_t", "65536", "The most bytes of an all_reduce that is joined with others">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::tessera::TesseraDialect"];
}
