// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitMatmul/Pairs.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

Value tessera::indexConstant(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

Value tessera::addIndex(ImplicitLocOpBuilder &b, Value x, Value y) { return b.createOrFold<arith::AddIOp>(x, y); }
Value tessera::subIndex(ImplicitLocOpBuilder &b, Value x, Value y) { return b.createOrFold<arith::SubIOp>(x, y); }

Value tessera::isAtMost(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::sle, x, y);
}

void tessera::emitFor(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step, function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, begin, end, indexConstant(b, step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

SmallVector<Value> tessera::emitIf(ImplicitLocOpBuilder &b, Value condition, TypeRange types,
                                   function_ref<SmallVector<Value>()> onTrue,
                                   function_ref<SmallVector<Value>()> onFalse) {
  APInt known;
  if (matchPattern(condition, m_ConstantInt(&known)))
    return known.isOne() ? onTrue() : onFalse();
  auto branch = scf::IfOp::create(b, types, condition, /*addThenBlock=*/true, /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(&branch.getThenRegion().front());
  scf::YieldOp::create(b, onTrue());
  b.setInsertionPointToEnd(&branch.getElseRegion().front());
  scf::YieldOp::create(b, onFalse());
  return branch.getResults();
}

void tessera::emitStrips(ImplicitLocOpBuilder &b, Value size, ArrayRef<int64_t> widths,
                         function_ref<void(Value, int64_t)> body) {
  Value begin = indexConstant(b, 0);
  for (int64_t width : widths) {
    Value whole = b.createOrFold<arith::DivUIOp>(subIndex(b, size, begin), indexConstant(b, width));
    if (getConstantIntValue(whole) == 0)
      continue;
    Value end = addIndex(b, begin, b.createOrFold<arith::MulIOp>(whole, indexConstant(b, width)));
    emitFor(b, begin, end, width, [&](Value iv) { body(iv, width); });
    begin = end;
  }
}

void tessera::emitSquares(ImplicitLocOpBuilder &b, Value rows, Value columns, int64_t size, Value wholeRows,
                          Value wholeColumns, llvm::function_ref<void(Value, Value)> whole,
                          llvm::function_ref<void(Value, Value, Value, Value)> rest) {
  emitFor(b, indexConstant(b, 0), rows, size, [&](Value row) {
    emitFor(b, indexConstant(b, 0), columns, size, [&](Value column) {
      Value rowEnd = addIndex(b, row, indexConstant(b, size)), columnEnd = addIndex(b, column, indexConstant(b, size));
      Value isWhole =
          b.createOrFold<arith::AndIOp>(isAtMost(b, rowEnd, wholeRows), isAtMost(b, columnEnd, wholeColumns));
      emitIf(
          b, isWhole, {},
          [&]() -> SmallVector<Value> {
            whole(row, column);
            return {};
          },
          [&]() -> SmallVector<Value> {
            rest(row, b.createOrFold<arith::MinSIOp>(rowEnd, rows), column, columnEnd);
            return {};
          });
    });
  });
}

Value tessera::loadVector(ImplicitLocOpBuilder &b, VectorType type, Value memref, ArrayRef<Value> indices, Value left) {
  return emitIf(
      b, isAtMost(b, indexConstant(b, type.getNumElements()), left), type,
      [&]() -> SmallVector<Value> { return {vector::LoadOp::create(b, type, memref, indices)}; },
      [&]() -> SmallVector<Value> {
        Value mask = vector::CreateMaskOp::create(b, type.clone(b.getI1Type()), left);
        Value zeros = arith::ConstantOp::create(b, b.getZeroAttr(type));
        return {vector::MaskedLoadOp::create(b, type, memref, indices, mask, zeros)};
      })[0];
}

Value tessera::multiplyAdd(ImplicitLocOpBuilder &b, Value x, Value y, Value sum) {
  Type accumulator = getElementTypeOrSelf(sum.getType());
  if (accumulator.isF32() && getElementTypeOrSelf(x.getType()) != accumulator)
    return multiplyPairs(b, x, y, sum);
  if (isa<FloatType>(accumulator))
    return vector::FMAOp::create(b, x, y, sum);
  return arith::AddIOp::create(b, sum, arith::MulIOp::create(b, x, y));
}

Matrix tessera::bufferMatrix(ImplicitLocOpBuilder &b, Value buffer) {
  return {buffer, {indexConstant(b, 0), indexConstant(b, 0)}, 0, 1, {}};
}
