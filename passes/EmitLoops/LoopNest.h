// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One structured operation as a loop nest over vectors.

#ifndef TESSERA_PASSES_EMITLOOPS_LOOPNEST_H
#define TESSERA_PASSES_EMITLOOPS_LOOPNEST_H

#include "passes/Utils/Access.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace tessera {

/// The plan of a loop nest: which loop is vectorized, in what order the others run, and what is accumulated.
struct LoopPlan {
  /// The vectorized loop, or -1 for none.
  int64_t vectorLoop = -1;
  int64_t lanes = 1;
  /// Loops around the vectorized one, outermost first.
  llvm::SmallVector<int64_t> outerLoops;
  /// The loop that is walked in blocks of as many iterations as there are lanes, so that inputs which are adjacent
  /// along it, and not along the vectorized one, are read as vectors and transposed; or -1. It is not among the outer
  /// loops.
  int64_t blockLoop = -1;
  /// Reduction loops inside a vectorized parallel loop.
  llvm::SmallVector<int64_t> innerLoops;
  /// For each result, whether it is accumulated over reductions and by which operation (null if stored directly).
  llvm::SmallVector<bool> accumulates;
  llvm::SmallVector<mlir::Operation *> combiners;
  /// How each operand lies along the vectorized loop.
  llvm::SmallVector<Access> accesses;

  bool isReduction = false;
  bool hasStrided() const { return llvm::is_contained(accesses, Access::Strided); }
};

/// The single operation that adds an element to accumulated result `index`, as long as the sum may be split into
/// independent ones; null where there is none.
mlir::Operation *findCombiner(mlir::linalg::LinalgOp op, unsigned index);

/// Plans the loop nest of an operation on buffers, or fails where only scalar loops will do.
llvm::FailureOr<LoopPlan> planLoops(mlir::linalg::LinalgOp op, int64_t vectorBits);

/// Emits the loop nest in place of the operation.
void emitLoops(mlir::RewriterBase &rewriter, mlir::linalg::LinalgOp op, const LoopPlan &plan);

} // namespace tessera

#endif // TESSERA_PASSES_EMITLOOPS_LOOPNEST_H
