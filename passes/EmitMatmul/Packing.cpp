// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitMatmul/Tiles.h"
#include "passes/Utils/Transpose.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

namespace {

struct Packer {
  ImplicitLocOpBuilder &b;
  const Matrix &source;
  const Window &window;
  Value buffer;
  int64_t vectorSize;

  Type type() const { return cast<MemRefType>(buffer.getType()).getElementType(); }
  VectorType sourceVector() const { return VectorType::get(vectorSize, source.elementType()); }
  SmallVector<Value> sourceAt(Value row, Value column) {
    return source.at(addIndex(b, window.row, row), addIndex(b, window.column, column));
  }

  void packRows(Value paddedColumns);
  void packColumns(Value paddedColumns);
  void packSquare(Value row, Value column);
  void packScalars(Value row, Value rowEnd, Value column, Value columnEnd);
};

} // namespace

/// Neighbours in a row stay neighbours: whole vectors are copied.
void Packer::packRows(Value paddedColumns) {
  emitFor(b, indexConstant(b, 0), window.rows, 1, [&](Value row) {
    emitFor(b, indexConstant(b, 0), paddedColumns, vectorSize, [&](Value column) {
      Value left = subIndex(b, window.columns, column);
      Value read = loadVector(b, sourceVector(), source.memref, sourceAt(row, column), left);
      vector::StoreOp::create(b, source.cast(b, read), buffer, ValueRange{row, column});
    });
  });
}

/// Neighbours in a column become neighbours in a row: squares of vectors are transposed.
void Packer::packColumns(Value paddedColumns) {
  emitSquares(
      b, window.rows, paddedColumns, vectorSize, window.rows, window.columns,
      [&](Value row, Value column) { packSquare(row, column); },
      [&](Value row, Value rowEnd, Value column, Value columnEnd) { packScalars(row, rowEnd, column, columnEnd); });
}

void Packer::packSquare(Value row, Value column) {
  SmallVector<Value> vectors;
  for (int64_t i = 0; i < vectorSize; ++i) {
    Value read = vector::LoadOp::create(b, sourceVector(), source.memref,
                                        sourceAt(row, addIndex(b, column, indexConstant(b, i))));
    vectors.push_back(source.cast(b, read));
  }
  for (auto [i, vector] : llvm::enumerate(transposeSquare(b, b.getLoc(), vectors)))
    vector::StoreOp::create(b, vector, buffer, ValueRange{addIndex(b, row, indexConstant(b, i)), column});
}

void Packer::packScalars(Value row, Value rowEnd, Value column, Value columnEnd) {
  Value inside = b.createOrFold<arith::MinSIOp>(columnEnd, window.columns);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type()));
  emitFor(b, row, rowEnd, 1, [&](Value i) {
    emitFor(b, column, inside, 1, [&](Value j) {
      Value element = memref::LoadOp::create(b, source.memref, sourceAt(i, j));
      memref::StoreOp::create(b, source.cast(b, element), buffer, ValueRange{i, j});
    });
    emitFor(b, b.createOrFold<arith::MaxSIOp>(column, inside), columnEnd, 1,
            [&](Value j) { memref::StoreOp::create(b, zero, buffer, ValueRange{i, j}); });
  });
}

void tessera::emitPack(ImplicitLocOpBuilder &b, const Matrix &source, const Window &window, Value buffer,
                       Value paddedColumns, int64_t vectorSize) {
  Packer packer{b, source, window, buffer, vectorSize};
  switch (source.contiguous()) {
  case Matrix::Contiguous::AlongColumns:
    return packer.packRows(paddedColumns);
  case Matrix::Contiguous::AlongRows:
    return packer.packColumns(paddedColumns);
  case Matrix::Contiguous::No:
    return packer.packScalars(indexConstant(b, 0), window.rows, indexConstant(b, 0), paddedColumns);
  }
}
