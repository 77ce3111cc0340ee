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
  /// `width` elements along the depth are multiplied at once, and give a vector of `vectorSize` sums.
  int64_t rows, columns, vectorSize, width;

  SmallVector<Value> step(Value k, Value left, ValueRange sums);
  SmallVector<Value> sum(Value depth, Type accumulator);
  Value reduce(ArrayRef<Value> sums);
  void addTo(const Matrix &c, Value row, Value column, ArrayRef<Value> sums);

private:
  Value read(const Matrix &matrix, ArrayRef<Value> indices, int64_t size, Value left);
  Value readRow(int64_t row, Value k, Value left);
};

} // namespace

/// A vector of which, where `left` is given, only so many elements are there.
Value DotEmitter::read(const Matrix &matrix, ArrayRef<Value> indices, int64_t size, Value left) {
  auto type = VectorType::get(size, matrix.elementType());
  if (!left)
    return matrix.cast(b, vector::LoadOp::create(b, type, matrix.memref, indices));
  Value mask = vector::CreateMaskOp::create(b, type.clone(b.getI1Type()), left);
  Value zeros = arith::ConstantOp::create(b, b.getZeroAttr(type));
  return matrix.cast(b, vector::MaskedLoadOp::create(b, type, matrix.memref, indices, mask, zeros));
}

/// A row of x from k on, where x may be packed as pairs.
Value DotEmitter::readRow(int64_t row, Value k, Value left) {
  bool areWords = width != vectorSize && !x.matrix.elementType().isBF16();
  if (areWords) {
    Value two = indexConstant(b, 2);
    k = b.createOrFold<arith::DivUIOp>(k, two);
    left = left ? b.createOrFold<arith::CeilDivUIOp>(left, two) : left;
  }
  SmallVector<Value> indices = x.matrix.at(addIndex(b, x.row, indexConstant(b, row)), addIndex(b, x.column, k));
  return read(x.matrix, indices, areWords ? vectorSize : width, left);
}

SmallVector<Value> DotEmitter::step(Value k, Value left, ValueRange sums) {
  SmallVector<Value> right, next;
  Value rowOfY = addIndex(b, y.row, k);
  for (int64_t i = 0; i < columns; ++i) {
    right.push_back(read(y.matrix, y.matrix.at(rowOfY, addIndex(b, y.column, indexConstant(b, i))), width, left));
    if (left)
      continue;
    // While several rows are multiplied by these columns, the next ones are on their way.
    memref::PrefetchOp::create(b, y.matrix.memref,
                               y.matrix.at(rowOfY, addIndex(b, y.column, indexConstant(b, columns + i))),
                               /*isWrite=*/false, /*localityHint=*/3, /*isDataCache=*/true);
  }
  for (int64_t i = 0; i < rows; ++i) {
    Value row = readRow(i, k, left);
    for (Value vector : right)
      next.push_back(multiplyAdd(b, row, vector, sums[next.size()]));
  }
  return next;
}

SmallVector<Value> DotEmitter::sum(Value depth, Type accumulator) {
  auto type = VectorType::get(vectorSize, accumulator);
  Value stride = indexConstant(b, width);
  Value left = b.createOrFold<arith::RemUIOp>(depth, stride), whole = subIndex(b, depth, left);
  SmallVector<Value> sums(rows * columns, arith::ConstantOp::create(b, b.getZeroAttr(type)));
  auto loop = scf::ForOp::create(b, indexConstant(b, 0), whole, stride, sums);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    scf::YieldOp::create(b, step(loop.getInductionVar(), Value(), loop.getRegionIterArgs()));
  }
  sums = loop.getResults();
  return emitIf(
      b, isAtMost(b, left, indexConstant(b, 0)), ValueRange(sums).getTypes(), [&] { return sums; },
      [&] { return step(whole, left, sums); });
}

static Value add(ImplicitLocOpBuilder &b, Value x, Value y) {
  return isa<FloatType>(getElementTypeOrSelf(x.getType())) ? arith::AddFOp::create(b, x, y).getResult()
                                                           : arith::AddIOp::create(b, x, y).getResult();
}

/// Adds the halves of each of `groups` parts of two vectors, or of one given twice.
static Value addHalves(ImplicitLocOpBuilder &b, Value first, Value second, int64_t groups) {
  int64_t half = cast<VectorType>(first.getType()).getNumElements() / groups / 2;
  SmallVector<int64_t> low, high;
  for (int64_t group = 0; group < (first == second ? groups : 2 * groups); ++group)
    for (int64_t lane = 0; lane < half; ++lane) {
      low.push_back(2 * half * group + lane);
      high.push_back(2 * half * group + half + lane);
    }
  Value left = vector::ShuffleOp::create(b, first, second, low);
  Value right = vector::ShuffleOp::create(b, first, second, high);
  return add(b, left, right);
}

/// The sums of vectors, no more than each has elements, and a power of two of them. Two that were halved stand side by
/// side in one, so that all take part in each step.
Value DotEmitter::reduce(ArrayRef<Value> sums) {
  SmallVector<Value> vectors(sums);
  for (size_t groups = 1; groups < sums.size(); groups *= 2) {
    SmallVector<Value> next;
    for (size_t i = 0; i < vectors.size(); i += 2)
      next.push_back(addHalves(b, vectors[i], vectors[i + 1], groups));
    vectors = next;
  }
  Value result = vectors.front();
  while (cast<VectorType>(result.getType()).getNumElements() > static_cast<int64_t>(sums.size()))
    result = addHalves(b, result, result, sums.size());
  return result;
}

/// Adds the sums, one row after the other, to the elements of `c` from a place on.
void DotEmitter::addTo(const Matrix &c, Value row, Value column, ArrayRef<Value> sums) {
  int64_t count = sums.size(), step = std::min(count, vectorSize);
  bool areVectors = columns > 1 && columns <= step && c.contiguous() == Matrix::Contiguous::AlongColumns;
  auto type = VectorType::get(columns, c.elementType());
  for (int64_t first = 0; first < count; first += step) {
    Value reduced = reduce(sums.slice(first, step));
    for (int64_t i = 0; i < step; i += areVectors ? columns : 1) {
      SmallVector<Value> indices = c.at(addIndex(b, row, indexConstant(b, (first + i) / columns)),
                                        addIndex(b, column, indexConstant(b, (first + i) % columns)));
      if (areVectors) {
        Value part = vector::ExtractStridedSliceOp::create(b, reduced, i, columns, 1);
        Value before = vector::LoadOp::create(b, type, c.memref, indices);
        vector::StoreOp::create(b, add(b, before, part), c.memref, indices);
      } else {
        Value before = memref::LoadOp::create(b, c.memref, indices);
        memref::StoreOp::create(b, add(b, before, vector::ExtractOp::create(b, reduced, i)), c.memref, indices);
      }
    }
  }
}

void tessera::emitDots(ImplicitLocOpBuilder &b, Corner x, Corner y, Value depth, const Matrix &c, const Window &window,
                       int64_t vectorSize, bool paired) {
  // Columns outside: what is read of y, the large operand, stays in cache for all rows.
  emitStrips(b, window.columns, {4, 1}, [&](Value column, int64_t columns) {
    emitStrips(b, window.rows, {4, 2, 1}, [&](Value row, int64_t rows) {
      Corner rowsOfX{x.matrix, addIndex(b, x.row, row), x.column};
      Corner columnsOfY{y.matrix, y.row, addIndex(b, y.column, column)};
      DotEmitter emitter{b, rowsOfX, columnsOfY, rows, columns, vectorSize, paired ? 2 * vectorSize : vectorSize};
      emitter.addTo(c, addIndex(b, window.row, row), addIndex(b, window.column, column),
                    emitter.sum(depth, c.elementType()));
    });
  });
}
