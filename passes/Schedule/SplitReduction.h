// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_SCHEDULE_SPLITREDUCTION_H
#define TESSERA_PASSES_SCHEDULE_SPLITREDUCTION_H

#include "passes/Schedule/TileSizes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace tessera {

/// A reduction that goes by two stages: chunks of it in parallel, and then what the chunks have come to, always in the
/// same order.
struct ReductionSplit {
  mlir::linalg::LinalgOp op;
  /// The reduction loop that is divided into chunks.
  int64_t loop;
  int64_t chunk;
  /// For each loop of the operation, the size of a tile of the first stage: 0 where it stays whole.
  llvm::SmallVector<int64_t> tile;
  int64_t fewTiles;

  /// The only reduction of a block, if it is of what is in memory, and all else is of what it comes to.
  static std::optional<ReductionSplit> find(mlir::Block &block, const TileSizes &sizes);

  /// Whether it is worth two stages: an attribute, or a value where sizes are not known.
  mlir::OpFoldResult createCondition(mlir::OpBuilder &b);

  /// Replaces the operation by a parallel loop over tiles and an operation that reduces its results.
  mlir::LogicalResult apply(mlir::RewriterBase &b);
};

} // namespace tessera

#endif // TESSERA_PASSES_SCHEDULE_SPLITREDUCTION_H
