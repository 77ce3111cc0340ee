// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitLoops/LoopNest.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/VectorInterfaces.h"

using namespace mlir;
using namespace tessera;

Operation *tessera::findCombiner(linalg::LinalgOp op, unsigned index) {
  SmallVector<Operation *> combiners;
  Value reduced = matchReduction(op.getRegionOutputArgs(), index, combiners);
  if (!reduced || combiners.size() != 1 || !arith::getNeutralElement(combiners.front()))
    return nullptr;
  return combiners.front();
}

/// Whether the body can compute on vectors along `loop`: elementwise arithmetic, indices, and reads at positions that
/// do not vary along the loop but for the last.
static bool bodyIsVectorizable(linalg::LinalgOp op, int64_t loop) {
  DenseSet<Value> varying;
  for (auto [operand, argument] : llvm::zip(op->getOpOperands(), op.getBlock()->getArguments()))
    if (classifyAccess(op, operand, loop) != Access::Uniform || op.isDpsInit(&operand))
      varying.insert(argument);
  for (Operation &inner : op.getBlock()->without_terminator()) {
    bool varies = llvm::any_of(inner.getOperands(), [&](Value value) { return varying.contains(value); });
    if (auto index = dyn_cast<linalg::IndexOp>(inner))
      varies = static_cast<int64_t>(index.getDim()) == loop;
    if (!varies)
      continue;
    varying.insert(inner.getResults().begin(), inner.getResults().end());
    if (isa<linalg::IndexOp, memref::LoadOp>(inner))
      continue;
    if (!OpTrait::hasElementwiseMappableTraits(&inner) || inner.getNumRegions() != 0)
      return false;
  }
  return true;
}

/// Lanes of the widest arithmetic that fill a register.
static int64_t countLanes(linalg::LinalgOp op, int64_t vectorBits) {
  unsigned width = 32;
  auto widen = [&](Type type) {
    if (type.isIntOrFloat())
      width = std::max(width, type.getIntOrFloatBitWidth());
  };
  for (BlockArgument argument : op.getBlock()->getArguments())
    widen(argument.getType());
  for (Operation &inner : op.getBlock()->without_terminator())
    for (Type type : inner.getResultTypes())
      widen(type);
  return vectorBits / width;
}

FailureOr<LoopPlan> tessera::planLoops(linalg::LinalgOp op, int64_t vectorBits) {
  if (!op.hasPureBufferSemantics() || op->getNumRegions() != 1)
    return failure();
  LoopPlan plan;
  plan.lanes = countLanes(op, vectorBits);
  SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
  SmallVector<int64_t> extents = op.getStaticLoopRanges();

  bool canSplit = true;
  for (auto [index, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    int64_t missing = 0, reductions = op.getNumReductionLoops();
    for (auto [loop, iterator] : llvm::enumerate(iterators))
      if (linalg::isReductionIterator(iterator) && !map.isFunctionOfDim(loop))
        ++missing;
    // A result that is reduced along some reduction loops only has no place for its partial sums.
    if (missing != 0 && missing != reductions)
      return failure();
    plan.accumulates.push_back(missing != 0);
    plan.combiners.push_back(missing ? findCombiner(op, index) : nullptr);
    canSplit &= !missing || plan.combiners.back();
  }

  // The loop with the most adjacent operands, writes counting more; inner loops win ties.
  int bestScore = 0;
  for (int64_t loop = 0; loop < static_cast<int64_t>(iterators.size()); ++loop) {
    bool isReduction = linalg::isReductionIterator(iterators[loop]);
    if (extents[loop] == 1 || (isReduction && !canSplit) || !bodyIsVectorizable(op, loop))
      continue;
    int score = 1;
    for (OpOperand &operand : op->getOpOperands()) {
      Access access = classifyAccess(op, operand, loop);
      int weight = op.isDpsInit(&operand) ? 3 : 2;
      score += access == Access::Adjacent ? weight : access == Access::Strided ? -weight : 0;
    }
    // Even strided operands are worth the vector arithmetic around them, so any legal loop beats none.
    score = std::max(score, 1);
    if (score >= bestScore) {
      bestScore = score;
      plan.vectorLoop = loop;
    }
  }
  if (plan.vectorLoop < 0)
    return failure();

  plan.isReduction = linalg::isReductionIterator(iterators[plan.vectorLoop]);
  for (auto [loop, iterator] : llvm::enumerate(iterators)) {
    if (static_cast<int64_t>(loop) == plan.vectorLoop)
      continue;
    if (linalg::isReductionIterator(iterator) && !plan.isReduction)
      plan.innerLoops.push_back(loop);
    else if (linalg::isParallelIterator(iterator))
      plan.outerLoops.push_back(loop);
  }
  if (plan.isReduction)
    for (auto [loop, iterator] : llvm::enumerate(iterators))
      if (linalg::isReductionIterator(iterator) && static_cast<int64_t>(loop) != plan.vectorLoop)
        plan.innerLoops.push_back(loop);
  for (OpOperand &operand : op->getOpOperands())
    plan.accesses.push_back(classifyAccess(op, operand, plan.vectorLoop));
  if (op.getNumReductionLoops() == 0) {
    plan.blockLoop = findTransposedLoop(op, plan.vectorLoop);
    llvm::erase(plan.outerLoops, plan.blockLoop);
  }
  return plan;
}
