// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAOUTLINEPARALLELPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

// Waking a thread costs as much as computing on this many elements (a few microseconds).
constexpr int64_t kElementsPerThread = 32768;

namespace {

class Outlining {
public:
  Outlining(scf::ForallOp loop, StringRef name) : loop(loop), name(name), builder(loop) {}
  LogicalResult run();

private:
  LogicalResult collect(Value value);
  Value cloneInto(OpBuilder &b, Value value);
  Value createCount();
  Value createGrain();
  void createBody(func::FuncOp body);

  scf::ForallOp loop;
  StringRef name;
  OpBuilder builder;
  llvm::SetVector<Value> captures;
  SmallVector<Value> tripCounts;
  IRMapping mapping;
};

} // namespace

/// A value that is made again inside, from captured ones, rather than captured.
static bool isRecreated(Operation *op) { return op && isPure(op) && !op->hasTrait<OpTrait::IsTerminator>(); }

LogicalResult Outlining::collect(Value value) {
  if (isa<rt::BufferType>(value.getType()) || (value.getType().isIndex() && !matchPattern(value, m_Constant()))) {
    captures.insert(value);
    return success();
  }
  Operation *op = value.getDefiningOp();
  // A buffer made for the whole kernel is passed on by its address.
  if (!isRecreated(op))
    return loop->emitOpError("expected a parallel loop to use buffers, sizes and views of them; got a ")
           << value.getType();
  for (Value operand : op->getOperands())
    if (failed(collect(operand)))
      return failure();
  return success();
}

Value Outlining::cloneInto(OpBuilder &b, Value value) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    cloneInto(b, operand);
  b.clone(*op, mapping);
  return mapping.lookup(value);
}

Value Outlining::createCount() {
  Location loc = loop.getLoc();
  Value count = arith::ConstantIndexOp::create(builder, loc, 1);
  for (auto [lower, upper, step] :
       llvm::zip(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    AffineExpr l = builder.getAffineSymbolExpr(0), u = builder.getAffineSymbolExpr(1),
               s = builder.getAffineSymbolExpr(2);
    OpFoldResult trips = affine::makeComposedFoldedAffineApply(builder, loc, (u - l).ceilDiv(s), {lower, upper, step});
    tripCounts.push_back(getValueOrCreateConstantIndexOp(builder, loc, trips));
    count = builder.createOrFold<arith::MulIOp>(loc, count, tripCounts.back());
  }
  return count;
}

Value Outlining::createGrain() {
  Location loc = loop.getLoc();
  auto work = dyn_cast_or_null<rt::WorkOp>(loop->getPrevNode());
  for (Operation *op = loop->getPrevNode(); op && !work; op = op->getPrevNode())
    work = dyn_cast<rt::WorkOp>(op);
  Value one = arith::ConstantIndexOp::create(builder, loc, 1);
  if (!work)
    return one;
  Value worth = arith::ConstantIndexOp::create(builder, loc, kElementsPerThread);
  Value elements = builder.createOrFold<arith::MaxSIOp>(loc, work.getElements(), one);
  Value grain = builder.createOrFold<arith::CeilDivSIOp>(loc, worth, elements);
  work.erase();
  return grain;
}

void Outlining::createBody(func::FuncOp body) {
  Location loc = loop.getLoc();
  Block *entry = body.addEntryBlock();
  OpBuilder b = OpBuilder::atBlockEnd(entry);
  mapping.map(captures.getArrayRef(), entry->getArguments().drop_front(2));
  llvm::SetVector<Value> used;
  getUsedValuesDefinedAbove(loop.getRegion(), used);
  for (Value value : used)
    cloneInto(b, value);
  SmallVector<Value> trips, lower, steps;
  for (auto [trip, low, step] : llvm::zip(tripCounts, loop.getMixedLowerBound(), loop.getMixedStep())) {
    trips.push_back(cloneInto(b, trip));
    auto local = [&](OpFoldResult value) {
      if (auto attribute = dyn_cast<Attribute>(value))
        return getValueOrCreateConstantIndexOp(b, loc, value);
      return cloneInto(b, cast<Value>(value));
    };
    lower.push_back(local(low));
    steps.push_back(local(step));
  }
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  auto range = scf::ForOp::create(b, loc, entry->getArgument(0), entry->getArgument(1), one);
  func::ReturnOp::create(b, loc);

  b.setInsertionPointToStart(range.getBody());
  // The last dimension varies fastest.
  Value rest = range.getInductionVar();
  SmallVector<Value> ids(trips.size());
  for (size_t dim = trips.size(); dim-- > 0;) {
    Value id = rest;
    if (dim > 0 && !matchPattern(trips[dim], m_One())) {
      id = arith::RemUIOp::create(b, loc, rest, trips[dim]);
      rest = arith::DivUIOp::create(b, loc, rest, trips[dim]);
    } else if (dim > 0) {
      id = arith::ConstantIndexOp::create(b, loc, 0);
    }
    Value scaled = b.createOrFold<arith::MulIOp>(loc, id, steps[dim]);
    ids[dim] = b.createOrFold<arith::AddIOp>(loc, scaled, lower[dim]);
  }
  mapping.map(loop.getInductionVars(), ids);
  for (Operation &op : loop.getBody()->without_terminator())
    b.clone(op, mapping);
}

LogicalResult Outlining::run() {
  if (loop.getNumResults() != 0)
    return loop->emitOpError("expected a parallel loop on buffers");
  Value count = createCount();
  llvm::SetVector<Value> used;
  getUsedValuesDefinedAbove(loop.getRegion(), used);
  for (Value trip : tripCounts)
    used.insert(trip);
  for (OpFoldResult bound : llvm::concat<OpFoldResult>(loop.getMixedLowerBound(), loop.getMixedStep()))
    if (auto value = dyn_cast<Value>(bound))
      used.insert(value);
  for (Value value : used)
    if (failed(collect(value)))
      return failure();
  Value grain = createGrain();

  SmallVector<Type> types(2, builder.getIndexType());
  llvm::append_range(types, ValueRange(captures.getArrayRef()).getTypes());
  auto kernel = loop->getParentOfType<func::FuncOp>();
  OpBuilder moduleBuilder(kernel);
  auto body = func::FuncOp::create(moduleBuilder, loop.getLoc(), name, moduleBuilder.getFunctionType(types, {}));
  body.setPrivate();
  createBody(body);
  rt::ParallelForOp::create(builder, loop.getLoc(), name, count, grain, captures.getArrayRef());
  loop.erase();
  return success();
}

namespace {
struct OutlineParallelPass : tessera::impl::TesseraOutlineParallelPassBase<OutlineParallelPass> {
  void runOnOperation() override {
    for (func::FuncOp kernel : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      SmallVector<scf::ForallOp> loops;
      kernel.walk<WalkOrder::PreOrder>([&](scf::ForallOp loop) {
        loops.push_back(loop);
        return WalkResult::skip();
      });
      for (auto [index, loop] : llvm::enumerate(loops)) {
        std::string name = (kernel.getName() + ".body" + (index ? Twine(index) : Twine())).str();
        if (failed(Outlining(loop, name).run()))
          return signalPassFailure();
      }
      // A loop of one iteration was folded away, and left its announcement.
      kernel.walk([](rt::WorkOp work) { work.erase(); });
    }
  }
};
} // namespace
