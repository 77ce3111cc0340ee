// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitMatmul/Tiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

namespace {

/// The products of `rows` rows of x with `columns` columns of y: as many sums, each a vector along the depth.
struct DotEmitter {
  ImplicitLocOpBuilder &b;
  Corner x, y;
  int64_t rows, columns, vectorSize;

  SmallVector<Value> step(Value k, Value mask, ValueRange sums);
  SmallVector<Value> sum(Value depth, Type accumulator);

private:
  Value read(const Matrix &matrix, ArrayRef<Value> indices, Value mask);
};

} // namespace

Value DotEmitter::read(const Matrix &matrix, ArrayRef<Value> indices, Value mask) {
  auto type = VectorType::get(vectorSize, matrix.elementType());
  if (!mask)
    return matrix.cast(b, vector::LoadOp::create(b, type, matrix.memref, indices));
  Value zeros = arith::ConstantOp::create(b, b.getZeroAttr(type));
  return matrix.cast(b, vector::MaskedLoadOp::create(b, type, matrix.memref, indices, mask, zeros));
}

SmallVector<Value> DotEmitter::step(Value k, Value mask, ValueRange sums) {
  SmallVector<Value> right, next;
  Value rowOfY = addIndex(b, y.row, k), columnOfX = addIndex(b, x.column, k);
  for (int64_t i = 0; i < columns; ++i)
    right.push_back(read(y.matrix, y.matrix.at(rowOfY, addIndex(b, y.column, indexConstant(b, i))), mask));
  for (int64_t i = 0; i < rows; ++i) {
    Value left = read(x.matrix, x.matrix.at(addIndex(b, x.row, indexConstant(b, i)), columnOfX), mask);
    for (Value vector : right)
      next.push_back(multiplyAdd(b, left, vector, sums[next.size()]));
  }
  return next;
}

SmallVector<Value> DotEmitter::sum(Value depth, Type accumulator) {
  auto type = VectorType::get(vectorSize, accumulator);
  Value width = indexConstant(b, vectorSize);
  Value left = b.createOrFold<arith::RemUIOp>(depth, width), whole = subIndex(b, depth, left);
  SmallVector<Value> sums(rows * columns, arith::ConstantOp::create(b, b.getZeroAttr(type)));
  auto loop = scf::ForOp::create(b, indexConstant(b, 0), whole, width, sums);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    scf::YieldOp::create(b, step(loop.getInductionVar(), Value(), loop.getRegionIterArgs()));
  }
  sums = loop.getResults();
  return emitIf(
      b, isAtMost(b, left, indexConstant(b, 0)), ValueRange(sums).getTypes(), [&] { return sums; },
      [&] {
        Value mask = vector::CreateMaskOp::create(b, VectorType::get(vectorSize, b.getI1Type()), left);
        return step(whole, mask, sums);
      });
}

void tessera::emitDots(ImplicitLocOpBuilder &b, Corner x, Corner y, Value depth, const Matrix &c, const Window &window,
                       int64_t vectorSize) {
  // Columns outside: what is read of y, the large operand, stays in cache for all rows.
  emitStrips(b, window.columns, {4, 1}, [&](Value column, int64_t columns) {
    emitStrips(b, window.rows, {4, 2, 1}, [&](Value row, int64_t rows) {
      Corner rowsOfX{x.matrix, addIndex(b, x.row, row), x.column};
      Corner columnsOfY{y.matrix, y.row, addIndex(b, y.column, column)};
      DotEmitter emitter{b, rowsOfX, columnsOfY, rows, columns, vectorSize};
      for (auto [i, sum] : llvm::enumerate(emitter.sum(depth, c.elementType()))) {
        SmallVector<Value> indices =
            c.at(addIndex(b, addIndex(b, window.row, row), indexConstant(b, i / columns)),
                 addIndex(b, addIndex(b, window.column, column), indexConstant(b, i % columns)));
        Value before = memref::LoadOp::create(b, c.memref, indices);
        // The order in which the vector's elements are added is ours to choose.
        Value after = vector::ReductionOp::create(b, vector::CombiningKind::ADD, sum, before,
                                                  isa<FloatType>(c.elementType()) ? arith::FastMathFlags::reassoc
                                                                                  : arith::FastMathFlags::none);
        memref::StoreOp::create(b, after, c.memref, indices);
      }
    });
  });
}
