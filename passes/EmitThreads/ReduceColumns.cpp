// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reductions of columns: threads that follow each other read side by side, in vectors where these are aligned, and each
// goes down some rows. What they come to meets by shuffles within a warp, and in shared memory.

#include "passes/EmitLoops/EmitPoint.h"
#include "passes/EmitThreads/Divisibility.h"
#include "passes/EmitThreads/EmitThreads.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Utils/Utils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

// Vectors of a column that a thread reads before it adds up the first.
constexpr int64_t kUnrolled = 8;
// Blocks of a multiprocessor, which share its registers.
constexpr int32_t kBlocksAtOnce = 2;

namespace {

class ColumnReducer {
public:
  ColumnReducer(RewriterBase &b, linalg::LinalgOp op, gpu::GPUFuncOp kernel, int64_t threads)
      : b(b), op(op), kernel(kernel), loc(op.getLoc()), threads(threads) {}

  bool match();
  void emit();

private:
  using Values = SmallVector<Value>;

  Value constant(int64_t n) { return arith::ConstantIndexOp::create(b, loc, n); }
  Value isBelow(Value x, Value y) { return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, x, y); }
  int64_t chooseLanes();
  Value createIsWide(int64_t lanes);
  void emitForm(int64_t lanes);
  Values addRows(ArrayRef<int64_t> loops, ValueRange carried, int64_t lanes);
  Values addUp(int64_t lanes, Value inside);
  Value meetInWarp(Operation *combiner, Value partial, int64_t lanes);
  void store(Value columns, ArrayRef<Value> slots);

  RewriterBase &b;
  linalg::LinalgOp op;
  gpu::GPUFuncOp kernel;
  Location loc;
  int64_t threads;
  LoopPlan plan;
  Values sizes;
  /// The most columns that there are; threads of one row of vectors; rows of partial sums that shared memory takes.
  int64_t bound, width, groups;
  Value thread, row, column;
};

} // namespace

bool ColumnReducer::match() {
  FailureOr<LoopPlan> found = planLoops(op, /*vectorBits=*/128);
  if (failed(found) || found->isReduction || found->innerLoops.empty() || found->vectorLoop != findAdjacentLoop(op) ||
      found->hasStrided())
    return false;
  plan = *found;
  auto isOne = [&](int64_t loop) { return op.getStaticLoopRanges()[loop] == 1; };
  if (!llvm::all_of(plan.outerLoops, isOne) || llvm::is_contained(plan.combiners, nullptr))
    return false;
  b.setInsertionPoint(op);
  for (Range range : op.createLoopRanges(b, loc))
    sizes.push_back(getValueOrCreateConstantIndexOp(b, loc, range.size));
  std::optional<int64_t> most = findUpperBound(sizes[plan.vectorLoop]);
  if (!most || *most > threads || *most < 1)
    return false;
  bound = *most;
  return true;
}

/// Elements in 16 bytes of the narrowest input.
int64_t ColumnReducer::chooseLanes() {
  int64_t bytes = kAccessBytes;
  for (OpOperand *input : op.getDpsInputOperands())
    if (plan.accesses[input->getOperandNumber()] == Access::Adjacent)
      bytes = std::min<int64_t>(bytes, llvm::divideCeil(getElementTypeOrSelf(input->get()).getIntOrFloatBitWidth(), 8));
  return std::min<int64_t>(kAccessBytes / bytes, llvm::bit_floor<uint64_t>(bound));
}

/// Whether vectors are aligned and whole: a constant where that is known.
Value ColumnReducer::createIsWide(int64_t lanes) {
  Divisibility divisible;
  for (OpOperand *input : op.getDpsInputOperands())
    if (plan.accesses[input->getOperandNumber()] == Access::Adjacent)
      divisible.requireView(input->get(), lanes);
  Value isWide = arith::ConstantOp::create(b, loc, b.getBoolAttr(divisible.isPossible));
  if (!divisible.isPossible)
    return isWide;
  divisible.unknown.push_back(sizes[plan.vectorLoop]);
  for (Value value : divisible.unknown)
    isWide = arith::AndIOp::create(b, loc, isWide, createDivides(b, loc, lanes, value));
  return isWide;
}

/// What a thread's rows of a column, or of several side by side, come to.
SmallVector<Value> ColumnReducer::addRows(ArrayRef<int64_t> loops, ValueRange carried, int64_t lanes) {
  PointEmitter point(op, plan);
  point.ivs.assign(sizes.size(), constant(0));
  point.ivs[plan.vectorLoop] = column;
  if (lanes > 1)
    point.alignment = kAccessBytes;
  scf::LoopNest nest;
  Values lower(loops.size(), constant(0)), upper, step(loops.size(), constant(1));
  lower.front() = row;
  step.front() = constant(threads / width);
  for (int64_t loop : loops)
    upper.push_back(sizes[loop]);
  nest = scf::buildLoopNest(b, loc, lower, upper, step, carried,
                            [&](OpBuilder &nested, Location, ValueRange ivs, ValueRange sums) -> scf::ValueVector {
                              for (auto [loop, iv] : llvm::zip(loops, ivs))
                                point.ivs[loop] = iv;
                              Values next = point.emit(nested, lanes, Value(), sums);
                              return scf::ValueVector(next.begin(), next.end());
                            });
  Values results(nest.results);
  return results;
}

/// The same where the thread has columns, with several rows at a time.
SmallVector<Value> ColumnReducer::addUp(int64_t lanes, Value inside) {
  Values neutral;
  for (Operation *combiner : plan.combiners) {
    TypedAttr element = *arith::getNeutralElement(combiner);
    Value one = arith::ConstantOp::create(b, loc, element);
    if (lanes > 1)
      one = vector::BroadcastOp::create(b, loc, VectorType::get(lanes, element.getType()), one);
    neutral.push_back(one);
  }
  auto branch = scf::IfOp::create(b, loc, ValueRange(neutral).getTypes(), inside, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, loc, addRows(plan.innerLoops, neutral, lanes));
  b.setInsertionPointToEnd(branch.elseBlock());
  scf::YieldOp::create(b, loc, neutral);
  SmallVector<scf::ForOp> loops(branch.thenBlock()->getOps<scf::ForOp>());
  if (plan.innerLoops.size() == 1)
    (void)loopUnrollByFactor(loops.front(), kUnrolled);
  return branch.getResults();
}

/// Adds up what lanes of a warp have of the same columns.
Value ColumnReducer::meetInWarp(Operation *combiner, Value partial, int64_t lanes) {
  Values parts = {partial};
  if (lanes > 1) {
    parts.clear();
    for (int64_t part = 0; part < lanes; ++part)
      parts.push_back(vector::ExtractOp::create(b, loc, partial, part));
  }
  for (Value &part : parts)
    for (int64_t offset = kWarp / 2; offset >= width; offset /= 2)
      part = combine(b, combiner, part, shuffle(b, loc, part, offset));
  return lanes > 1 ? vector::FromElementsOp::create(b, loc, partial.getType(), parts).getResult() : parts.front();
}

/// Adds up the rows of partial sums, column by column, with what the results held before.
void ColumnReducer::store(Value columns, ArrayRef<Value> slots) {
  auto loop = scf::ForOp::create(b, loc, thread, columns, constant(threads));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  PointEmitter point(op, plan);
  point.ivs.assign(sizes.size(), constant(0));
  point.ivs[plan.vectorLoop] = loop.getInductionVar();
  for (auto [init, combiner, partial] : llvm::zip(op.getDpsInitsMutable(), plan.combiners, slots)) {
    Value sum = point.load(b, init, 1, Value());
    for (int64_t group = 0; group < groups; ++group) {
      Value part = memref::LoadOp::create(b, loc, partial, ValueRange{constant(group), loop.getInductionVar()});
      sum = combine(b, combiner, sum, part);
    }
    point.store(b, init, sum, 1, Value());
  }
}

void ColumnReducer::emitForm(int64_t lanes) {
  width = std::min<int64_t>(llvm::PowerOf2Ceil(llvm::divideCeil(bound, lanes)), threads);
  groups = threads / std::max(width, kWarp);
  Value vectorColumn = arith::RemUIOp::create(b, loc, thread, constant(width));
  column = b.createOrFold<arith::MulIOp>(loc, vectorColumn, constant(lanes));
  row = arith::DivUIOp::create(b, loc, thread, constant(width));
  Values partial = addUp(lanes, isBelow(column, sizes[plan.vectorLoop])), slots;
  Value group = arith::DivUIOp::create(b, loc, thread, constant(std::max(width, kWarp)));
  Value isFirst = isBelow(arith::RemUIOp::create(b, loc, thread, constant(std::max(width, kWarp))), constant(width));
  auto space = gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup);
  for (auto [combiner, value] : llvm::zip(plan.combiners, partial)) {
    auto type =
        MemRefType::get({groups, width * lanes}, getElementTypeOrSelf(value), MemRefLayoutAttrInterface(), space);
    slots.push_back(kernel.addWorkgroupAttribution(type, loc));
    value = meetInWarp(combiner, value, lanes);
    auto branch = scf::IfOp::create(b, loc, isFirst, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    // Upstream lowers vector accesses in the space that all memory is in.
    auto everywhere = MemRefType::get(type.getShape(), type.getElementType());
    Value place = memref::MemorySpaceCastOp::create(b, loc, everywhere, slots.back());
    if (lanes > 1)
      vector::StoreOp::create(b, loc, value, place, ValueRange{group, column});
    else
      memref::StoreOp::create(b, loc, value, place, ValueRange{group, column});
  }
  gpu::BarrierOp::create(b, loc);
  store(sizes[plan.vectorLoop], slots);
}

void ColumnReducer::emit() {
  // The assembler, left to itself, has few registers, and waits for one read after the other.
  kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(kBlocksAtOnce));
  thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  int64_t lanes = chooseLanes();
  if (lanes == 1)
    return emitForm(1);
  auto branch = scf::IfOp::create(b, loc, createIsWide(lanes), /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  emitForm(lanes);
  b.setInsertionPointToStart(branch.elseBlock());
  emitForm(1);
}

bool tessera::reduceColumns(RewriterBase &b, linalg::LinalgOp op, gpu::GPUFuncOp kernel, int64_t threads) {
  ColumnReducer reducer(b, op, kernel, threads);
  if (!reducer.match())
    return false;
  reducer.emit();
  return true;
}
