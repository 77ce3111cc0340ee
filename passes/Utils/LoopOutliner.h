// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_LOOPOUTLINER_H
#define TESSERA_PASSES_UTILS_LOOPOUTLINER_H

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace tessera {

/// The number of iterations of each dimension, at the builder.
llvm::SmallVector<mlir::Value> createTripCounts(mlir::OpBuilder &b, mlir::scf::ForallOp loop);

/// Moves the body of a parallel loop on buffers into a function of its own. What the body needs of the outside are
/// buffers and sizes, which the function takes as arguments; views and arithmetic on them are made again inside.
class LoopOutliner {
public:
  explicit LoopOutliner(mlir::scf::ForallOp loop) : loop(loop), builder(loop) {}

  /// Finds what to capture and writes the number of iterations in front of the loop; fails with an error at the loop.
  mlir::LogicalResult prepare();

  mlir::Value count() const { return total; }
  llvm::ArrayRef<mlir::Value> captures() const { return captured.getArrayRef(); }

  /// Makes what the body needs again at the builder, from the function's arguments that stand for the captures.
  void enter(mlir::OpBuilder &b, mlir::ValueRange arguments);
  /// Clones the body at the builder, for the iteration of a number in [0, count).
  void cloneBody(mlir::OpBuilder &b, mlir::Value number);
  /// What stands inside, after `enter`, for a value of the outside.
  mlir::Value cloneInto(mlir::OpBuilder &b, mlir::Value value);

private:
  mlir::LogicalResult collect(mlir::Value value);

  mlir::scf::ForallOp loop;
  mlir::OpBuilder builder;
  mlir::Value total;
  llvm::SetVector<mlir::Value> used, captured;
  llvm::SmallVector<mlir::Value> tripCounts, trips, lower, steps;
  mlir::IRMapping mapping;
};

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_LOOPOUTLINER_H
