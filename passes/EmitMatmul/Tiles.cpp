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

/// The loop that everything else is for.
SmallVector<Value> TileEmitter::multiply(Corner x, Corner y, Value depth, ValueRange tile) {
  VectorType type = cast<VectorType>(tile[0].getType());
  auto loop = scf::ForOp::create(b, indexConstant(b, 0), depth, indexConstant(b, 1), tile);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value k = loop.getInductionVar();
  SmallVector<Value> right, sums;
  for (int64_t i = 0; i < shape.vectors; ++i) {
    SmallVector<Value> indices =
        y.matrix.at(addIndex(b, y.row, k), addIndex(b, y.column, indexConstant(b, i * shape.vectorSize)));
    Value read = vector::LoadOp::create(b, vectorType(y.matrix.elementType()), y.matrix.memref, indices);
    right.push_back(y.matrix.cast(b, read));
  }
  for (int64_t i = 0; i < shape.rows; ++i) {
    SmallVector<Value> indices = x.matrix.at(addIndex(b, x.row, indexConstant(b, i)), addIndex(b, x.column, k));
    Value scalar = memref::LoadOp::create(b, x.matrix.memref, indices);
    Value left = vector::BroadcastOp::create(b, type, scalar);
    for (Value vector : right)
      sums.push_back(multiplyAdd(b, left, vector, loop.getRegionIterArgs()[sums.size()]));
  }
  scf::YieldOp::create(b, sums);
  return loop.getResults();
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
