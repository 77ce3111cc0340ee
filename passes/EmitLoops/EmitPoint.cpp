// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitLoops/EmitPoint.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

Type PointEmitter::vectorOf(Type element, int64_t lanes) {
  return lanes == 1 ? element : VectorType::get(lanes, element);
}

Value PointEmitter::broadcast(OpBuilder &b, Value value, int64_t lanes) {
  if (lanes == 1 || isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(b, op.getLoc(), VectorType::get(lanes, value.getType()), value);
}

SmallVector<Value> PointEmitter::position(OpBuilder &b, OpOperand &operand, int64_t lane) {
  SmallVector<OpFoldResult> loops(ivs.begin(), ivs.end());
  if (lane != 0) {
    Value offset = arith::ConstantIndexOp::create(b, op.getLoc(), lane);
    loops[plan.vectorLoop] = arith::AddIOp::create(b, op.getLoc(), ivs[plan.vectorLoop], offset).getResult();
  }
  SmallVector<Value> result;
  AffineMap map = op.getMatchingIndexingMap(&operand);
  for (AffineExpr expr : map.getResults()) {
    AffineMap single = AffineMap::get(map.getNumDims(), 0, expr);
    result.push_back(getValueOrCreateConstantIndexOp(
        b, op.getLoc(), affine::makeComposedFoldedAffineApply(b, op.getLoc(), single, loops)));
  }
  return result;
}

Value PointEmitter::load(OpBuilder &b, OpOperand &operand, int64_t lanes, Value mask) {
  Location loc = op.getLoc();
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  if (!type)
    return operand.get();
  if (Value value = known.lookup(&operand))
    return value;
  Access access = plan.accesses[operand.getOperandNumber()];
  Type element = type.getElementType();
  if (lanes == 1 || access == Access::Uniform)
    return memref::LoadOp::create(b, loc, operand.get(), position(b, operand, 0));
  auto vectorType = VectorType::get(lanes, element);
  if (access == Access::Strided) {
    SmallVector<Value> elements;
    for (int64_t lane = 0; lane < lanes; ++lane)
      elements.push_back(memref::LoadOp::create(b, loc, operand.get(), position(b, operand, lane)));
    return vector::FromElementsOp::create(b, loc, vectorType, elements);
  }
  if (!mask)
    return vector::LoadOp::create(b, loc, vectorType, operand.get(), position(b, operand, 0),
                                  /*nontemporal=*/false, llvm::MaybeAlign(alignment));
  // Lanes that are not there read 1: a divisor of 0 would trap.
  Value absent = arith::ConstantOp::create(b, loc, b.getOneAttr(vectorType));
  return vector::MaskedLoadOp::create(b, loc, vectorType, operand.get(), position(b, operand, 0), mask, absent);
}

void PointEmitter::store(OpBuilder &b, OpOperand &operand, Value value, int64_t lanes, Value mask) {
  Location loc = op.getLoc();
  Access access = plan.accesses[operand.getOperandNumber()];
  if (lanes == 1) {
    memref::StoreOp::create(b, loc, value, operand.get(), position(b, operand, 0));
    return;
  }
  value = broadcast(b, value, lanes);
  if (access == Access::Adjacent && mask) {
    vector::MaskedStoreOp::create(b, loc, operand.get(), position(b, operand, 0), mask, value);
  } else if (access == Access::Adjacent) {
    vector::StoreOp::create(b, loc, value, operand.get(), position(b, operand, 0), /*nontemporal=*/false,
                            llvm::MaybeAlign(alignment));
  } else {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      Value element = vector::ExtractOp::create(b, loc, value, lane);
      memref::StoreOp::create(b, loc, element, operand.get(), position(b, operand, lane));
    }
  }
}

void PointEmitter::preload(OpBuilder &b) {
  for (OpOperand *operand : op.getDpsInputOperands())
    if (isa<MemRefType>(operand->get().getType()) && plan.accesses[operand->getOperandNumber()] == Access::Uniform)
      known[operand] = memref::LoadOp::create(b, op.getLoc(), operand->get(), position(b, *operand, 0));
}

/// A read of the body at a position of its own: adjacent if only its last index is the vectorized loop, else by lanes.
Value PointEmitter::cloneLoad(OpBuilder &b, Operation *inner, IRMapping &mapping, int64_t lanes, Value mask) {
  auto read = cast<memref::LoadOp>(inner);
  Location loc = read.getLoc();
  SmallVector<Value> indices;
  for (Value index : read.getIndices())
    indices.push_back(mapping.lookupOrDefault(index));
  bool varies = llvm::any_of(indices, [](Value index) { return isa<VectorType>(index.getType()); });
  if (!varies)
    return memref::LoadOp::create(b, loc, read.getMemref(), indices);
  auto vectorType = VectorType::get(lanes, read.getType());
  auto last = read.getIndices().empty() ? linalg::IndexOp() : read.getIndices().back().getDefiningOp<linalg::IndexOp>();
  bool onlyLast = llvm::none_of(ArrayRef(indices).drop_back(), [](Value i) { return isa<VectorType>(i.getType()); });
  if (last && onlyLast && static_cast<int64_t>(last.getDim()) == plan.vectorLoop &&
      read.getMemRefType().isLastDimUnitStride() && !mask) {
    indices.back() = ivs[plan.vectorLoop];
    return vector::LoadOp::create(b, loc, vectorType, read.getMemref(), indices);
  }
  SmallVector<Value> elements;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    SmallVector<Value> at;
    for (Value index : indices)
      at.push_back(isa<VectorType>(index.getType()) ? vector::ExtractOp::create(b, loc, index, lane).getResult()
                                                    : index);
    elements.push_back(memref::LoadOp::create(b, loc, read.getMemref(), at));
  }
  return vector::FromElementsOp::create(b, loc, vectorType, elements);
}

void PointEmitter::cloneBody(OpBuilder &b, IRMapping &mapping, int64_t lanes, Value mask) {
  for (Operation &inner : op.getBlock()->without_terminator()) {
    Location loc = inner.getLoc();
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      Value iv = ivs[index.getDim()];
      if (static_cast<int64_t>(index.getDim()) == plan.vectorLoop && lanes > 1) {
        Value steps = vector::StepOp::create(b, loc, VectorType::get(lanes, b.getIndexType()));
        iv = arith::AddIOp::create(b, loc, broadcast(b, iv, lanes), steps);
      }
      mapping.map(index.getResult(), iv);
      continue;
    }
    if (isa<memref::LoadOp>(inner)) {
      mapping.map(inner.getResult(0), cloneLoad(b, &inner, mapping, lanes, mask));
      continue;
    }
    bool varies = llvm::any_of(inner.getOperands(), [&](Value operand) {
      return isa<VectorType>(mapping.lookupOrDefault(operand).getType());
    });
    if (!varies) {
      b.clone(inner, mapping);
      continue;
    }
    OperationState state(loc, inner.getName());
    for (Value operand : inner.getOperands())
      state.addOperands(broadcast(b, mapping.lookupOrDefault(operand), lanes));
    for (Type type : inner.getResultTypes())
      state.addTypes(vectorOf(type, lanes));
    state.addAttributes(inner.getAttrs());
    Operation *vectorized = b.create(state);
    mapping.map(inner.getResults(), vectorized->getResults());
  }
}

SmallVector<Value> PointEmitter::compute(OpBuilder &b, int64_t lanes, Value mask, ValueRange accumulators) {
  IRMapping mapping;
  Block *body = op.getBlock();
  auto inits = op.getDpsInitsMutable();
  unsigned firstInit = op.getNumDpsInputs();
  for (OpOperand *operand : op.getDpsInputOperands())
    if (!op.getMatchingBlockArgument(operand).use_empty())
      mapping.map(op.getMatchingBlockArgument(operand), load(b, *operand, lanes, mask));
  unsigned next = 0;
  for (auto [index, init] : llvm::enumerate(inits)) {
    BlockArgument argument = body->getArgument(firstInit + index);
    if (plan.accumulates[index])
      mapping.map(argument, accumulators[next++]);
    else if (!argument.use_empty())
      mapping.map(argument, load(b, init, lanes, mask));
  }
  cloneBody(b, mapping, lanes, mask);

  SmallVector<Value> results;
  next = 0;
  for (size_t index = 0; index < inits.size(); ++index) {
    Value value = broadcast(b, mapping.lookupOrDefault(body->getTerminator()->getOperand(index)), lanes);
    if (plan.accumulates[index]) {
      if (mask)
        value = arith::SelectOp::create(b, op.getLoc(), mask, value, accumulators[next]);
      ++next;
    }
    results.push_back(value);
  }
  return results;
}

SmallVector<Value> PointEmitter::emit(OpBuilder &b, int64_t lanes, Value mask, ValueRange accumulators) {
  SmallVector<Value> next;
  SmallVector<Value> results = compute(b, lanes, mask, accumulators);
  for (auto [value, init, accumulates] : llvm::zip(results, op.getDpsInitsMutable(), plan.accumulates)) {
    if (accumulates)
      next.push_back(value);
    else
      store(b, init, value, lanes, mask);
  }
  return next;
}
