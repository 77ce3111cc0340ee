// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From one way to divide a tensor to another.

#ifndef TESSERA_PASSES_PARTITION_RESHARD_H
#define TESSERA_PASSES_PARTITION_RESHARD_H

#include "mlir/Dialect/Shard/IR/ShardOps.h"

namespace tessera {

/// The mesh axes that cut each dimension of a tensor; as many lists as it has dimensions.
using Cuts = llvm::SmallVector<llvm::SmallVector<mlir::shard::GridAxis>>;

bool isWhole(const Cuts &cuts);

/// Into how many parts some axes cut.
int64_t countParts(mlir::shard::GridOp grid, llvm::ArrayRef<mlir::shard::GridAxis> axes);

/// The type of a rank's part.
mlir::RankedTensorType partType(mlir::RankedTensorType whole, const Cuts &cuts, mlir::shard::GridOp grid);

/// The part that a rank has under other cuts. `whole` is the tensor's type before it is divided.
mlir::Value reshard(mlir::OpBuilder &b, mlir::Location loc, mlir::shard::GridOp grid, mlir::Value part,
                    mlir::RankedTensorType whole, Cuts from, const Cuts &to);

} // namespace tessera

#endif // TESSERA_PASSES_PARTITION_RESHARD_H
