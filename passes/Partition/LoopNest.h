// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations of tessera as loop nests, which is all that dividing them over a mesh takes.

#ifndef TESSERA_PASSES_PARTITION_LOOPNEST_H
#define TESSERA_PASSES_PARTITION_LOOPNEST_H

#include "mlir/Dialect/Shard/IR/ShardOps.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/DialectRegistry.h"

namespace tessera {

/// The loops that an operation is, and which of them walks each dimension of its operands and results.
struct ShardableNest {
  struct Loop {
    /// What is done with the results of the loop's parts, if they are to be combined.
    std::optional<mlir::shard::ReductionKind> reduction;
    /// Whether ranks may divide it: what the operation does with one index must not depend on others.
    bool isDivisible = true;
  };

  llvm::SmallVector<Loop> loops;
  /// For each operand and then each result the loop of each dimension. Of a dimension that is several loops (H*D before
  /// a reshape to H, D) it is the outermost.
  llvm::SmallVector<llvm::SmallVector<unsigned>> dims;

  llvm::ArrayRef<unsigned> operand(unsigned index) const { return dims[index]; }
  llvm::ArrayRef<unsigned> result(mlir::Operation *op, unsigned index) const {
    return dims[op->getNumOperands() + index];
  }

  /// Whether something holds of every dimension that a loop walks.
  bool allWalked(mlir::Operation *op, unsigned loop, llvm::function_ref<bool(mlir::Value, unsigned)> holds) const;
};

/// The size of a tensor's dimension, as far as it is known.
using SizeFinder = llvm::function_ref<mlir::OpFoldResult(mlir::Value, int64_t)>;

/// The nest of an operation with tensors among its operands or results. One of which nothing is known has a loop for
/// each dimension of each tensor, and none is divisible.
ShardableNest describe(mlir::Operation *op, SizeFinder findSize);

/// Lets upstream's propagation see operations of tessera so.
void registerShardingModels(mlir::DialectRegistry &registry);

} // namespace tessera

#endif // TESSERA_PASSES_PARTITION_LOOPNEST_H
