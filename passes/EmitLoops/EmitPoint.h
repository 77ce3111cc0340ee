// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The innermost step of a loop nest: one vector of elements through the body of a structured operation.

#ifndef TESSERA_PASSES_EMITLOOPS_EMITPOINT_H
#define TESSERA_PASSES_EMITLOOPS_EMITPOINT_H

#include "passes/EmitLoops/LoopNest.h"

#include "mlir/IR/IRMapping.h"

namespace tessera {

/// Emits steps of `op` at given positions. `lanes` of 1 gives scalar code.
class PointEmitter {
public:
  PointEmitter(mlir::linalg::LinalgOp op, const LoopPlan &plan) : op(op), plan(plan) {}

  /// The position of each loop; the vectorized one stands at the first lane.
  llvm::SmallVector<mlir::Value> ivs;

  /// Bytes that adjacent vectors are aligned to; 0: as their elements are.
  int64_t alignment = 0;

  /// Reads what does not vary along the vectorized loop, once, for all steps that follow at these outer positions.
  void preload(mlir::OpBuilder &b);
  void forgetPreloaded() { known.clear(); }

  /// Says what an operand holds along the vectorized loop, for all steps that follow at these positions.
  void provide(mlir::OpOperand &operand, mlir::Value vector) { known[&operand] = vector; }

  /// Computes one step: reads operands, stores the results that are not accumulated, and returns the next value of each
  /// accumulated one. `accumulators` has one value for each accumulated result. Lanes beyond `mask` change nothing.
  llvm::SmallVector<mlir::Value> emit(mlir::OpBuilder &b, int64_t lanes, mlir::Value mask,
                                      mlir::ValueRange accumulators);
  /// The same without storing: one value for each result, the next one of those that are accumulated.
  llvm::SmallVector<mlir::Value> compute(mlir::OpBuilder &b, int64_t lanes, mlir::Value mask,
                                         mlir::ValueRange accumulators);

  mlir::Value load(mlir::OpBuilder &b, mlir::OpOperand &operand, int64_t lanes, mlir::Value mask);
  void store(mlir::OpBuilder &b, mlir::OpOperand &operand, mlir::Value value, int64_t lanes, mlir::Value mask);
  mlir::Type vectorOf(mlir::Type element, int64_t lanes);
  mlir::Value broadcast(mlir::OpBuilder &b, mlir::Value value, int64_t lanes);

  /// Where an operand is accessed at the current positions, `lane` elements along the vectorized loop.
  llvm::SmallVector<mlir::Value> position(mlir::OpBuilder &b, mlir::OpOperand &operand, int64_t lane);

private:
  void cloneBody(mlir::OpBuilder &b, mlir::IRMapping &mapping, int64_t lanes, mlir::Value mask);
  mlir::Value cloneLoad(mlir::OpBuilder &b, mlir::Operation *inner, mlir::IRMapping &mapping, int64_t lanes,
                        mlir::Value mask);

  mlir::linalg::LinalgOp op;
  const LoopPlan &plan;
  llvm::DenseMap<mlir::OpOperand *, mlir::Value> known;
};

} // namespace tessera

#endif // TESSERA_PASSES_EMITLOOPS_EMITPOINT_H
