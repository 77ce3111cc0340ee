// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One structured operation as a loop nest over vectors.

#ifndef TESSERA_PASSES_EMITLOOPS_LOOPNEST_H
#define TESSERA_PASSES_EMITLOOPS_LOOPNEST_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace tessera {

/// How an operand lies in memory along the vectorized loop.
enum class Access { Uniform, Adjacent, Strided };

/// The plan of a loop nest: which loop is vectorized, in what order the others run, and what is accumulated.
struct LoopPlan {
  /// The vectorized loop, or -1 for none.
  int64_t vectorLoop = -1;
  int64_t lanes = 1;
  /// Loops around the vectorized one, outermost first.
  llvm::SmallVector<int64_t> outerLoops;
  /// Reduction loops inside a vectorized parallel loop.
  llvm::SmallVector<int64_t> innerLoops;
  /// For each result, whether it is accumulated over reductions and by which operation (null if stored directly).
  llvm::SmallVector<bool> accumulates;
  llvm::SmallVector<mlir::Operation *> combiners;
  llvm::SmallVector<Access> accesses;

  bool isReduction = false;
  bool hasStrided() const { return llvm::is_contained(accesses, Access::Strided); }
};

/// Plans the loop nest of an operation on buffers, or fails where only scalar loops will do.
llvm::FailureOr<LoopPlan> planLoops(mlir::linalg::LinalgOp op, int64_t vectorBits);

/// How `operand` is accessed along `loop`.
Access classifyAccess(mlir::linalg::LinalgOp op, mlir::OpOperand &operand, int64_t loop);

/// Emits the loop nest in place of the operation.
void emitLoops(mlir::RewriterBase &rewriter, mlir::linalg::LinalgOp op, const LoopPlan &plan);

} // namespace tessera

#endif // TESSERA_PASSES_EMITLOOPS_LOOPNEST_H
