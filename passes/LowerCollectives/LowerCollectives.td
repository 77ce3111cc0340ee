// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraLowerCollectivesPass : Pass<"tessera-lower-collectives", "::mlir::ModuleOp"> {
  let summary = "Make collectives on tensors ones that move contiguous pieces";
  let description = [{
    `shard`'s operations gather, scatter and exchange along any dimension of a tensor; NCCL and MPI know one piece of
    memory for each rank, one after the other. So what goes along another dimension than the first is transposed before
    or after. Booleans travel as bytes. A group of one rank needs nothing.

    Before:
    ```mlir
    shard.grid @mesh(shape = 2x4)
    %1 = shard.all_gather %0 on @mesh grid_axes = [1] gather_axis = 1 : tensor<3x5xf32> -> tensor<3x20xf32>
    ```
    After:
    ```mlir
    %empty = tensor.empty() : tensor<4x3x5xf32>
    %1 = rt.collective <all_gather, axes = [1], ranks = 4> ins(%0 : tensor<3x5xf32>) outs(%empty : tensor<4x3x5xf32>)
           -> tensor<4x3x5xf32>
    %2 = tessera.transpose %1 permutation = [1, 0, 2] : tensor<4x3x5xf32> -> tensor<3x4x5xf32>
    %3 = tessera.reshape %2[] : tensor<3x4x5xf32> -> tensor<3x20xf32>
    ```

    Pre-condition: sizes are divided where collectives divide them. Post-condition: of `shard`, nothing is left.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::tessera::TesseraDialect",
                           "::tessera::rt::RuntimeDialect"];
}
