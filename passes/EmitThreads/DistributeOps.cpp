// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The general case: the threads of a block divide the elements that an operation computes.

#include "passes/EmitLoops/EmitPoint.h"
#include "passes/EmitThreads/EmitThreads.h"
#include "passes/EmitThreads/MultiplyTiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace tessera;

namespace {

class OpDistributor {
public:
  OpDistributor(RewriterBase &b, linalg::LinalgOp op, int64_t threads)
      : b(b), op(op), loc(op.getLoc()), threads(threads), point(op, plan) {}

  LogicalResult run();

private:
  using Values = SmallVector<Value>;

  Value constant(int64_t n) { return arith::ConstantIndexOp::create(b, loc, n); }
  void planAccumulation();
  SmallVector<int64_t> fastestLast();
  void divide(ArrayRef<int64_t> loops, Value number);
  Values reduce(ArrayRef<int64_t> loops, ValueRange carried, llvm::function_ref<Values(ValueRange)> step);
  Values initialValues();
  void storeAccumulated(ValueRange values);

  RewriterBase &b;
  linalg::LinalgOp op;
  Location loc;
  int64_t threads;
  LoopPlan plan;
  PointEmitter point;
  Values sizes;
};

} // namespace

/// A result that no reduction moves along stays in registers; others are read and written at each step.
void OpDistributor::planAccumulation() {
  plan.accesses.assign(op->getNumOperands(), Access::Uniform);
  for (OpOperand &init : op.getDpsInitsMutable()) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    bool isFixed = op.getNumReductionLoops() > 0;
    for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray()))
      isFixed &= !(linalg::isReductionIterator(iterator) && map.isFunctionOfDim(loop));
    plan.accumulates.push_back(isFixed);
    plan.combiners.push_back(nullptr);
  }
}

/// The parallel loops, the one along which results are adjacent last: threads that follow each other write together.
SmallVector<int64_t> OpDistributor::fastestLast() {
  SmallVector<int64_t> loops;
  for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray()))
    if (linalg::isParallelIterator(iterator))
      loops.push_back(loop);
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (map.getNumResults() > 0)
    if (auto dim = dyn_cast<AffineDimExpr>(map.getResults().back());
        dim && llvm::is_contained(loops, dim.getPosition())) {
      llvm::erase(loops, dim.getPosition());
      loops.push_back(dim.getPosition());
    }
  return loops;
}

void OpDistributor::divide(ArrayRef<int64_t> loops, Value number) {
  for (size_t at = loops.size(); at-- > 0;) {
    int64_t loop = loops[at];
    if (matchPattern(sizes[loop], m_One())) {
      point.ivs[loop] = constant(0);
    } else if (at == 0) {
      point.ivs[loop] = number;
    } else {
      point.ivs[loop] = arith::RemUIOp::create(b, loc, number, sizes[loop]);
      number = arith::DivUIOp::create(b, loc, number, sizes[loop]);
    }
  }
}

/// Runs `step` for all positions of the reduction loops.
SmallVector<Value> OpDistributor::reduce(ArrayRef<int64_t> loops, ValueRange carried,
                                         llvm::function_ref<Values(ValueRange)> step) {
  if (loops.empty())
    return step(carried);
  auto loop = scf::ForOp::create(b, loc, constant(0), sizes[loops.front()], constant(1), carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  point.ivs[loops.front()] = loop.getInductionVar();
  Values next = reduce(loops.drop_front(), loop.getRegionIterArgs(), step);
  b.setInsertionPointToEnd(loop.getBody());
  if (!carried.empty())
    scf::YieldOp::create(b, loc, next);
  return loop.getResults();
}

SmallVector<Value> OpDistributor::initialValues() {
  Values values;
  for (auto [init, accumulates] : llvm::zip(op.getDpsInitsMutable(), plan.accumulates))
    if (accumulates)
      values.push_back(point.load(b, init, 1, Value()));
  return values;
}

void OpDistributor::storeAccumulated(ValueRange values) {
  for (auto [init, accumulates] : llvm::zip(op.getDpsInitsMutable(), plan.accumulates))
    if (accumulates) {
      point.store(b, init, values.front(), 1, Value());
      values = values.drop_front();
    }
}

LogicalResult OpDistributor::run() {
  if (!op.hasPureBufferSemantics() || op->getNumRegions() != 1)
    return op->emitOpError("expected a structured operation on buffers");
  planAccumulation();
  b.setInsertionPoint(op);
  for (Range range : op.createLoopRanges(b, loc))
    sizes.push_back(getValueOrCreateConstantIndexOp(b, loc, range.size));
  point.ivs.assign(sizes.size(), Value());
  SmallVector<int64_t> parallel = fastestLast(), reductions;
  for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray()))
    if (linalg::isReductionIterator(iterator))
      reductions.push_back(loop);
  Value total = constant(1);
  for (int64_t loop : parallel)
    total = b.createOrFold<arith::MulIOp>(loc, total, sizes[loop]);

  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  auto loop = scf::ForOp::create(b, loc, thread, total, constant(threads));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    divide(parallel, loop.getInductionVar());
    // Where a reduction begins, accumulated results stand as the parallel loops say.
    for (int64_t reduction : reductions)
      point.ivs[reduction] = constant(0);
    Values sums =
        reduce(reductions, initialValues(), [&](ValueRange carried) { return point.emit(b, 1, Value(), carried); });
    storeAccumulated(sums);
  }
  return success();
}

LogicalResult tessera::distributeOps(gpu::GPUFuncOp kernel, int64_t threads) {
  SmallVector<linalg::LinalgOp> ops;
  kernel.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
  IRRewriter rewriter(kernel.getContext());
  TileMultiplier products(kernel, threads);
  for (linalg::LinalgOp op : ops) {
    if (!products.emit(rewriter, op) && failed(OpDistributor(rewriter, op, threads).run()))
      return failure();
    rewriter.setInsertionPoint(op);
    gpu::BarrierOp::create(rewriter, op.getLoc());
    rewriter.eraseOp(op);
  }
  return success();
}
