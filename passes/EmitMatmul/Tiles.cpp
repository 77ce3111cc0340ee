// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitMatmul/Pairs.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

constexpr int64_t kCacheLine = 64;

namespace {

struct TileEmitter {
  ImplicitLocOpBuilder &b;
  const TileShape &shape;

  VectorType vectorType(Type element) const { return VectorType::get(shape.vectorSize, element); }

  /// Calls `visit` for every register of a tile of `matrix`, with the indices of its first element, and the mask of
  /// its columns that are there.
  void forEachVector(const Matrix &matrix, const Window &window, bool isMasked,
                     function_ref<void(ArrayRef<Value>, Value)> visit);
  SmallVector<Value> load(const Matrix &c, const Window &window);
  void store(const Matrix &c, const Window &window, ValueRange tile);
  void copyScalars(const Matrix &from, const Window &source, const Matrix &to, const Window &target);
  bool isInPlace(const Matrix &matrix) const { return matrix.elementType().isBF16(); }
  Value readLeft(Corner x, int64_t row, Value k, bool isHalf);
  Value readRight(Corner y, int64_t vector, Value k, bool isHalf);
  void prefetch(Corner y, Value k);
  SmallVector<Value> step(Corner x, Corner y, Value k, bool isHalf, ValueRange tile);
  SmallVector<Value> multiply(Corner x, Corner y, Value depth, ValueRange tile);
};

} // namespace

void TileEmitter::forEachVector(const Matrix &matrix, const Window &window, bool isMasked,
                                function_ref<void(ArrayRef<Value>, Value)> visit) {
  SmallVector<Value> columns, masks;
  for (int64_t i = 0; i < shape.vectors; ++i) {
    Value offset = indexConstant(b, i * shape.vectorSize);
    columns.push_back(addIndex(b, window.column, offset));
    masks.push_back(
        isMasked ? vector::CreateMaskOp::create(b, vectorType(b.getI1Type()), subIndex(b, window.columns, offset))
                 : Value());
  }
  for (int64_t row = 0; row < shape.rows; ++row)
    for (auto [column, mask] : llvm::zip(columns, masks))
      visit(matrix.at(addIndex(b, window.row, indexConstant(b, row)), column), mask);
}

SmallVector<Value> TileEmitter::load(const Matrix &c, const Window &window) {
  VectorType type = vectorType(c.elementType());
  auto loadAll = [&](bool isMasked) {
    Value zeros = isMasked ? arith::ConstantOp::create(b, b.getZeroAttr(type)) : Value();
    SmallVector<Value> tile;
    forEachVector(c, window, isMasked, [&](ArrayRef<Value> indices, Value mask) {
      tile.push_back(mask ? vector::MaskedLoadOp::create(b, type, c.memref, indices, mask, zeros).getResult()
                          : vector::LoadOp::create(b, type, c.memref, indices).getResult());
    });
    return tile;
  };
  SmallVector<Type> types(shape.rows * shape.vectors, type);
  return emitIf(
      b, isAtMost(b, indexConstant(b, shape.columns()), window.columns), types, [&] { return loadAll(false); },
      [&] { return loadAll(true); });
}

void TileEmitter::store(const Matrix &c, const Window &window, ValueRange tile) {
  auto storeAll = [&](bool isMasked) -> SmallVector<Value> {
    auto next = tile.begin();
    forEachVector(c, window, isMasked, [&](ArrayRef<Value> indices, Value mask) {
      if (mask)
        vector::MaskedStoreOp::create(b, c.memref, indices, mask, *next++);
      else
        vector::StoreOp::create(b, *next++, c.memref, indices);
    });
    return {};
  };
  emitIf(
      b, isAtMost(b, indexConstant(b, shape.columns()), window.columns), {}, [&] { return storeAll(false); },
      [&] { return storeAll(true); });
}

void TileEmitter::copyScalars(const Matrix &from, const Window &source, const Matrix &to, const Window &target) {
  emitFor(b, indexConstant(b, 0), indexConstant(b, shape.rows), 1, [&](Value row) {
    emitFor(b, indexConstant(b, 0), source.columns, 1, [&](Value column) {
      Value element = memref::LoadOp::create(b, from.memref,
                                             from.at(addIndex(b, source.row, row), addIndex(b, source.column, column)));
      memref::StoreOp::create(b, element, to.memref,
                              to.at(addIndex(b, target.row, row), addIndex(b, target.column, column)));
    });
  });
}

/// What a row of the tile is multiplied by. `k` counts numbers or pairs.
Value TileEmitter::readLeft(Corner x, int64_t row, Value k, bool isHalf) {
  Value rowOfX = addIndex(b, x.row, indexConstant(b, row));
  if (shape.paired && isInPlace(x.matrix)) {
    Value offset = b.createOrFold<arith::MulIOp>(k, indexConstant(b, 2));
    return loadPair(b, x.matrix, rowOfX, addIndex(b, x.column, offset), isHalf);
  }
  return memref::LoadOp::create(b, x.matrix.memref, x.matrix.at(rowOfX, addIndex(b, x.column, k)));
}

Value TileEmitter::readRight(Corner y, int64_t vector, Value k, bool isHalf) {
  Value column = addIndex(b, y.column, indexConstant(b, vector * shape.vectorSize));
  if (shape.paired && isInPlace(y.matrix)) {
    Value offset = b.createOrFold<arith::MulIOp>(k, indexConstant(b, 2));
    return interleaveRows(b, y.matrix, addIndex(b, y.row, offset), column, shape.vectorSize, isHalf);
  }
  Value read = vector::LoadOp::create(b, vectorType(y.matrix.elementType()), y.matrix.memref,
                                      y.matrix.at(addIndex(b, y.row, k), column));
  return y.matrix.cast(b, read);
}

/// Fetches the rows that follow in the next block. A step's columns are too few bytes for the hardware to see that they
/// belong to long rows.
void TileEmitter::prefetch(Corner y, Value k) {
  int64_t rows = shape.paired ? 2 : 1, line = kCacheLine * 8 / y.matrix.elementType().getIntOrFloatBitWidth();
  Value firstRow = addIndex(b, y.row, b.createOrFold<arith::MulIOp>(k, indexConstant(b, rows)));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < shape.columns(); column += line) {
      SmallVector<Value> indices = y.matrix.at(addIndex(b, firstRow, indexConstant(b, row + shape.rowsAhead)),
                                               addIndex(b, y.column, indexConstant(b, column)));
      memref::PrefetchOp::create(b, y.matrix.memref, indices, /*isWrite=*/false, /*localityHint=*/2,
                                 /*isDataCache=*/true);
    }
}

SmallVector<Value> TileEmitter::step(Corner x, Corner y, Value k, bool isHalf, ValueRange tile) {
  if (shape.rowsAhead)
    prefetch(y, k);
  SmallVector<Value> right, sums;
  for (int64_t i = 0; i < shape.vectors; ++i)
    right.push_back(readRight(y, i, k, isHalf));
  for (int64_t i = 0; i < shape.rows; ++i) {
    Value scalar = readLeft(x, i, k, isHalf);
    Value left = vector::BroadcastOp::create(b, vectorType(scalar.getType()), scalar);
    for (Value vector : right)
      sums.push_back(multiplyAdd(b, left, vector, tile[sums.size()]));
  }
  return sums;
}

/// The loop that everything else is for.
SmallVector<Value> TileEmitter::multiply(Corner x, Corner y, Value depth, ValueRange tile) {
  // Packed words are padded: only in place can half a word be left.
  bool mayBeHalf = shape.paired && (isInPlace(x.matrix) || isInPlace(y.matrix));
  Value steps = depth, two = indexConstant(b, 2);
  if (shape.paired)
    steps = mayBeHalf ? b.createOrFold<arith::DivUIOp>(depth, two) : b.createOrFold<arith::CeilDivUIOp>(depth, two);
  auto loop = scf::ForOp::create(b, indexConstant(b, 0), steps, indexConstant(b, 1), tile);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    scf::YieldOp::create(b, step(x, y, loop.getInductionVar(), false, loop.getRegionIterArgs()));
  }
  SmallVector<Value> sums = loop.getResults();
  if (!mayBeHalf)
    return sums;
  Value isWhole = isAtMost(b, depth, b.createOrFold<arith::MulIOp>(steps, two));
  return emitIf(
      b, isWhole, ValueRange(sums).getTypes(), [&] { return sums; }, [&] { return step(x, y, steps, true, sums); });
}

void tessera::emitTile(ImplicitLocOpBuilder &b, const TileShape &shape, Corner x, Corner y, Value depth,
                       const Matrix &c, const Window &window, Value staging) {
  TileEmitter emitter{b, shape};
  if (!staging) {
    SmallVector<Value> tile = emitter.load(c, window);
    return emitter.store(c, window, emitter.multiply(x, y, depth, tile));
  }
  Matrix local = bufferMatrix(b, staging);
  Value zero = indexConstant(b, 0);
  Window inner{zero, zero, window.rows, window.columns};
  Window whole{zero, zero, window.rows, indexConstant(b, shape.columns())};
  emitter.copyScalars(c, window, local, inner);
  SmallVector<Value> tile = emitter.load(local, whole);
  emitter.store(local, whole, emitter.multiply(x, y, depth, tile));
  emitter.copyScalars(local, inner, c, window);
}
