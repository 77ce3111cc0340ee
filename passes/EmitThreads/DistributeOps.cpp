// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The general case: the threads of a block divide the elements that an operation computes, and share those of a
// reduction that has fewer.

#include "passes/EmitLoops/EmitPoint.h"
#include "passes/EmitThreads/EmitThreads.h"
#include "passes/EmitThreads/MultiplyTiles.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Utils/Utils.h"

using namespace mlir;
using namespace tessera;

// A size that varies up to at most this is walked to its bound: a division by a constant costs less than what is
// skipped.
constexpr int64_t kMaxPadded = 128;
// Elements of a long reduction that a thread reads at once.
constexpr int64_t kUnrolled = 4;

namespace {

/// How threads that follow each other share the reduction of an element, which lies side by side.
struct Sharing {
  /// A power of two; 1 where none do.
  int64_t threads = 1;
  /// The loop that they divide.
  int64_t loop = -1;
};

class OpDistributor {
public:
  OpDistributor(RewriterBase &b, linalg::LinalgOp op, gpu::GPUFuncOp kernel, int64_t threads)
      : b(b), op(op), kernel(kernel), loc(op.getLoc()), threads(threads), point(op, plan) {}

  LogicalResult run();

private:
  using Values = SmallVector<Value>;

  Value constant(int64_t n) { return arith::ConstantIndexOp::create(b, loc, n); }
  Value both(Value x, Value y) { return x && y ? arith::AndIOp::create(b, loc, x, y).getResult() : x ? x : y; }
  Value isBelow(Value x, Value y) { return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, x, y); }
  void planAccumulation();
  void planSharing();
  void findSizes();
  SmallVector<int64_t> fastestLast();
  int64_t boundOf(ArrayRef<int64_t> loops);
  Value divide(Value number);
  Values reduce(ArrayRef<int64_t> loops, ValueRange carried);
  Values initialValues();
  void storeAccumulated(ValueRange values);
  void unroll(scf::IfOp branch);
  void emitElements(Value total);
  void emitShared(Value total);
  void emitSharedElement(Value element, Value total);

  RewriterBase &b;
  linalg::LinalgOp op;
  gpu::GPUFuncOp kernel;
  Location loc;
  int64_t threads;
  LoopPlan plan;
  PointEmitter point;
  SmallVector<int64_t> parallel, reductions, bounds;
  /// The loops' sizes, and how far threads walk them.
  Values sizes, limits;
  Sharing sharing;
  Value thread;
  /// Which element a thread works on, of those that the block does at once, and which part of its reduction.
  Value place, lane;
};

} // namespace

/// A result that no reduction moves along stays in registers; others are read and written at each step.
void OpDistributor::planAccumulation() {
  plan.accesses.assign(op->getNumOperands(), Access::Uniform);
  for (auto [index, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    bool isFixed = llvm::none_of(reductions, [&](int64_t loop) { return map.isFunctionOfDim(loop); });
    plan.accumulates.push_back(isFixed && !reductions.empty());
    plan.combiners.push_back(plan.accumulates.back() ? findCombiner(op, index) : nullptr);
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

void OpDistributor::findSizes() {
  for (Range range : op.createLoopRanges(b, loc)) {
    sizes.push_back(getValueOrCreateConstantIndexOp(b, loc, range.size));
    std::optional<int64_t> bound = findUpperBound(sizes.back());
    bounds.push_back(bound.value_or(ShapedType::kDynamic));
    bool isPadded = isa<Value>(range.size) && bound && *bound <= kMaxPadded;
    limits.push_back(isPadded ? constant(*bound) : sizes.back());
  }
}

/// The most that the product of some loops' sizes can be.
int64_t OpDistributor::boundOf(ArrayRef<int64_t> loops) {
  constexpr int64_t most = int64_t(1) << 30;
  int64_t product = 1;
  for (int64_t loop : loops)
    product = ShapedType::isDynamic(bounds[loop]) ? most : std::min(most, product * bounds[loop]);
  return product;
}

/// Lanes of a warp share an element, or all threads that there are for each, where elements are few.
void OpDistributor::planSharing() {
  if (!llvm::is_contained(plan.accumulates, true))
    return;
  for (auto [init, accumulates, combiner] : llvm::zip(op.getDpsInitsMutable(), plan.accumulates, plan.combiners)) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    auto isWalked = [&](int64_t loop) { return llvm::is_contained(map.getResults(), b.getAffineDimExpr(loop)); };
    if (accumulates ? !combiner : !llvm::all_of(reductions, isWalked))
      return;
  }
  sharing.loop = findAdjacentLoop(op);
  if (!llvm::is_contained(reductions, sharing.loop))
    return;
  int64_t steps = std::max<int64_t>(boundOf(sharing.loop), 1);
  int64_t spare = llvm::bit_floor<uint64_t>(std::max<int64_t>(threads / std::max<int64_t>(boundOf(parallel), 1), 1));
  int64_t inWarp = std::min<int64_t>(kWarp, llvm::bit_floor<uint64_t>(std::max<int64_t>(steps / 2, 1)));
  sharing.threads = std::min<int64_t>(std::max(spare, inWarp), llvm::PowerOf2Ceil(steps));
}

/// Sets the positions of the parallel loops by an element's number, and says whether they are inside: null if always.
Value OpDistributor::divide(Value number) {
  Value inside;
  for (size_t at = parallel.size(); at-- > 0;) {
    int64_t loop = parallel[at];
    Value limit = limits[loop];
    if (matchPattern(limit, m_One())) {
      point.ivs[loop] = constant(0);
    } else if (at == 0) {
      point.ivs[loop] = number;
    } else {
      point.ivs[loop] = arith::RemUIOp::create(b, loc, number, limit);
      number = arith::DivUIOp::create(b, loc, number, limit);
    }
    if (limit != sizes[loop])
      inside = both(inside, isBelow(point.ivs[loop], sizes[loop]));
  }
  // Where a reduction begins, accumulated results stand as the parallel loops say.
  for (int64_t loop : reductions)
    point.ivs[loop] = constant(0);
  return inside;
}

/// Runs the body for all positions of the reduction loops, or a thread's part of them.
SmallVector<Value> OpDistributor::reduce(ArrayRef<int64_t> loops, ValueRange carried) {
  if (loops.empty())
    return point.emit(b, 1, Value(), carried);
  bool isShared = lane && loops.front() == sharing.loop;
  Value first = isShared ? lane : constant(0), step = constant(isShared ? sharing.threads : 1);
  auto loop = scf::ForOp::create(b, loc, first, sizes[loops.front()], step, carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  point.ivs[loops.front()] = loop.getInductionVar();
  Values next = reduce(loops.drop_front(), loop.getRegionIterArgs());
  b.setInsertionPointToEnd(loop.getBody());
  if (!carried.empty())
    scf::YieldOp::create(b, loc, next);
  return loop.getResults();
}

/// Lets a thread read several elements before it adds up the first.
void OpDistributor::unroll(scf::IfOp branch) {
  if (boundOf(sharing.loop) < kUnrolled * sharing.threads)
    return;
  SmallVector<scf::ForOp> innermost;
  branch.walk([&](scf::ForOp loop) {
    if (!loop.getBody()->walk([](scf::ForOp) { return WalkResult::interrupt(); }).wasInterrupted())
      innermost.push_back(loop);
  });
  for (scf::ForOp loop : innermost)
    (void)loopUnrollByFactor(loop, kUnrolled);
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

/// Each thread computes whole elements.
void OpDistributor::emitElements(Value total) {
  auto loop = scf::ForOp::create(b, loc, thread, total, constant(threads));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  if (Value inside = divide(loop.getInductionVar()))
    b.setInsertionPointToStart(scf::IfOp::create(b, loc, inside, /*withElseRegion=*/false).thenBlock());
  storeAccumulated(reduce(reductions, initialValues()));
}

/// One element, by the threads that share it. All threads of the block take part in shuffles and barriers.
void OpDistributor::emitSharedElement(Value element, Value total) {
  Value inside = both(isBelow(element, total), divide(element));
  SmallVector<Operation *> combiners;
  Values neutral;
  for (Operation *combiner : plan.combiners)
    if (combiner) {
      combiners.push_back(combiner);
      neutral.push_back(arith::ConstantOp::create(b, loc, *arith::getNeutralElement(combiner)));
    }
  auto branch = scf::IfOp::create(b, loc, ValueRange(neutral).getTypes(), inside, /*withElseRegion=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Values partial = reduce(reductions, neutral);
    b.setInsertionPointToEnd(branch.thenBlock());
    scf::YieldOp::create(b, loc, partial);
    b.setInsertionPointToEnd(branch.elseBlock());
    scf::YieldOp::create(b, loc, neutral);
  }
  unroll(branch);
  Values totals;
  for (auto [combiner, partial] : llvm::zip(combiners, branch.getResults()))
    totals.push_back(reduceAcrossThreads(b, kernel, combiner, partial, sharing.threads));
  Value isFirst = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, lane, constant(0));
  auto store = scf::IfOp::create(b, loc, both(inside, isFirst), /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(store.thenBlock());
  for (int64_t loop : reductions)
    point.ivs[loop] = constant(0);
  for (auto [combiner, first, value] : llvm::zip(combiners, initialValues(), totals))
    value = combine(b, combiner, first, value);
  storeAccumulated(totals);
}

void OpDistributor::emitShared(Value total) {
  int64_t atOnce = threads / sharing.threads;
  place = b.createOrFold<arith::DivUIOp>(loc, thread, constant(sharing.threads));
  lane = b.createOrFold<arith::RemUIOp>(loc, thread, constant(sharing.threads));
  if (boundOf(parallel) <= atOnce)
    return emitSharedElement(place, total);
  auto loop = scf::ForOp::create(b, loc, constant(0), total, constant(atOnce));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  emitSharedElement(arith::AddIOp::create(b, loc, loop.getInductionVar(), place), total);
}

LogicalResult OpDistributor::run() {
  if (!op.hasPureBufferSemantics() || op->getNumRegions() != 1)
    return op->emitOpError("expected a structured operation on buffers");
  parallel = fastestLast();
  for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray()))
    if (linalg::isReductionIterator(iterator))
      reductions.push_back(loop);
  planAccumulation();
  b.setInsertionPoint(op);
  findSizes();
  planSharing();
  point.ivs.assign(sizes.size(), Value());
  thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value total = constant(1);
  for (int64_t loop : parallel)
    total = b.createOrFold<arith::MulIOp>(loc, total, limits[loop]);
  if (sharing.threads > 1)
    emitShared(total);
  else
    emitElements(total);
  return success();
}

LogicalResult tessera::distributeOps(gpu::GPUFuncOp kernel, int64_t threads) {
  SmallVector<linalg::LinalgOp> ops;
  kernel.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
  IRRewriter rewriter(kernel.getContext());
  TileMultiplier products(kernel, threads);
  auto distribute = [&](linalg::LinalgOp op) { return OpDistributor(rewriter, op, kernel, threads).run(); };
  for (linalg::LinalgOp op : ops) {
    if (!products.emit(rewriter, op) && !reduceColumns(rewriter, op, kernel, threads) &&
        !transposeSquares(rewriter, op, threads, distribute) && failed(distribute(op)))
      return failure();
    rewriter.setInsertionPoint(op);
    gpu::BarrierOp::create(rewriter, op.getLoc());
    rewriter.eraseOp(op);
  }
  return success();
}
