// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/LoopOutliner.h"

#include "dialects/Runtime/RuntimeDialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace tessera;

SmallVector<Value> tessera::createTripCounts(OpBuilder &b, scf::ForallOp loop) {
  SmallVector<Value> counts;
  for (auto [low, high, step] : llvm::zip(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    AffineExpr l = b.getAffineSymbolExpr(0), u = b.getAffineSymbolExpr(1), s = b.getAffineSymbolExpr(2);
    OpFoldResult count = affine::makeComposedFoldedAffineApply(b, loop.getLoc(), (u - l).ceilDiv(s), {low, high, step});
    counts.push_back(getValueOrCreateConstantIndexOp(b, loop.getLoc(), count));
  }
  return counts;
}

LogicalResult LoopOutliner::collect(Value value) {
  if (isa<rt::BufferType>(value.getType()) || (value.getType().isIndex() && !matchPattern(value, m_Constant()))) {
    captured.insert(value);
    return success();
  }
  // A buffer made for the whole kernel is passed on by its address.
  Operation *op = value.getDefiningOp();
  if (!op || !isPure(op) || op->hasTrait<OpTrait::IsTerminator>())
    return loop->emitOpError("expected a parallel loop to use buffers, sizes and views of them; got a ")
           << value.getType();
  for (Value operand : op->getOperands())
    if (failed(collect(operand)))
      return failure();
  return success();
}

LogicalResult LoopOutliner::prepare() {
  if (loop.getNumResults() != 0)
    return loop->emitOpError("expected a parallel loop on buffers");
  Location loc = loop.getLoc();
  tripCounts = createTripCounts(builder, loop);
  total = arith::ConstantIndexOp::create(builder, loc, 1);
  for (Value trips : tripCounts)
    total = builder.createOrFold<arith::MulIOp>(loc, total, trips);
  getUsedValuesDefinedAbove(loop.getRegion(), used);
  used.insert_range(tripCounts);
  for (OpFoldResult bound : llvm::concat<OpFoldResult>(loop.getMixedLowerBound(), loop.getMixedStep()))
    if (auto value = dyn_cast<Value>(bound))
      used.insert(value);
  for (Value value : used)
    if (failed(collect(value)))
      return failure();
  return success();
}

Value LoopOutliner::cloneInto(OpBuilder &b, Value value) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    cloneInto(b, operand);
  b.clone(*op, mapping);
  return mapping.lookup(value);
}

void LoopOutliner::enter(OpBuilder &b, ValueRange arguments) {
  mapping.map(captured.getArrayRef(), arguments);
  for (Value value : used)
    cloneInto(b, value);
  auto local = [&](OpFoldResult value) {
    if (isa<Attribute>(value))
      return getValueOrCreateConstantIndexOp(b, loop.getLoc(), value);
    return cloneInto(b, cast<Value>(value));
  };
  for (auto [trip, low, step] : llvm::zip(tripCounts, loop.getMixedLowerBound(), loop.getMixedStep())) {
    trips.push_back(cloneInto(b, trip));
    lower.push_back(local(low));
    steps.push_back(local(step));
  }
}

void LoopOutliner::cloneBody(OpBuilder &b, Value number) {
  Location loc = loop.getLoc();
  // The last dimension varies fastest.
  SmallVector<Value> ids(trips.size());
  for (size_t dim = trips.size(); dim-- > 0;) {
    Value id = number;
    if (dim > 0 && !matchPattern(trips[dim], m_One())) {
      id = arith::RemUIOp::create(b, loc, number, trips[dim]);
      number = arith::DivUIOp::create(b, loc, number, trips[dim]);
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
