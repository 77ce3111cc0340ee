// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraPartitionPass : Pass<"tessera-partition", "::mlir::ModuleOp"> {
  let summary = "Make a function on whole tensors one that each rank runs on its parts";
  let description = [{
    For functions with `tessera.partition`, whose arguments say by `shard.shard` how ranks divide them. Upstream's
    propagation annotates the rest; it knows operations of this dialect as loop nests (LoopNest.h). Then each operation
    is computed on parts: what reduces along a dimension that ranks divide ends in an all_reduce, and where an operation
    wants a tensor divided otherwise than it is, it is gathered, sliced or exchanged. Sizes become those of parts, but
    where they are numbers to compute with, as in a mean.

    Upstream's own partition pass refuses dynamic sizes that it cannot divide while compiling, and leaves the function's
    signature as it is.

    Before:
    ```mlir
    func.func @f(%x: tensor<?x8xf32>, %w: tensor<8x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry, tessera.partition} {
      %B = tessera.symbol "B"
      tessera.bind_shape %x[%B] : tensor<?x8xf32>
      %by_columns = shard.sharding @mesh split_axes = [[], [0]] : !shard.sharding
      %0 = shard.shard %x to %by_columns : tensor<?x8xf32>
      %1 = tessera.matmul %0, %w : (tensor<?x8xf32>, tensor<8x4xf32>) -> tensor<?x4xf32>
      return %1 : tensor<?x4xf32>
    }
    ```
    After:
    ```mlir
    func.func @f(%x: tensor<?x4xf32>, %w: tensor<8x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
      %B = tessera.symbol "B"
      tessera.bind_shape %x[%B] : tensor<?x4xf32>
      %part = shard.all_slice %w on @mesh grid_axes = [0] slice_axis = 0 : tensor<8x4xf32> -> tensor<4x4xf32>
      %0 = tessera.matmul %x, %part : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
      %1 = shard.all_reduce %0 on @mesh grid_axes = [0] : tensor<?x4xf32> -> tensor<?x4xf32>
      return %1 : tensor<?x4xf32>
    }
    ```

    Results say how they are divided by the attribute `tessera.sharding`.

    Pre-condition: calls are inlined; axes divide the dimensions of annotated values. A dimension in between that they
    may not divide stays whole. Post-condition: no function has `tessera.partition`, and nothing is annotated.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::shard::ShardDialect", "::tessera::TesseraDialect"];
}
