// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitMatmul/Pairs.h"
#include "passes/Utils/Transpose.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

Value tessera::multiplyPairs(ImplicitLocOpBuilder &b, Value x, Value y, Value sum) {
  auto type = cast<VectorType>(sum.getType());
  auto pairs = VectorType::get(2 * type.getNumElements(), b.getBF16Type());
  auto asPairs = [&](Value vector) { return b.createOrFold<vector::BitCastOp>(pairs, vector); };
  int64_t bits = type.getNumElements() * type.getElementTypeBitWidth();
  auto name = b.getStringAttr("llvm.x86.avx512bf16.dpbf16ps." + Twine(bits));
  return LLVM::CallIntrinsicOp::create(b, type, name, ValueRange{sum, asPairs(x), asPairs(y)}).getResult(0);
}

Value tessera::loadPair(ImplicitLocOpBuilder &b, const Matrix &matrix, Value row, Value column, bool isHalf) {
  SmallVector<Value> indices = matrix.at(row, column);
  if (isHalf) {
    Value element = memref::LoadOp::create(b, matrix.memref, indices);
    return arith::ExtUIOp::create(b, b.getI32Type(), arith::BitcastOp::create(b, b.getI16Type(), element));
  }
  Value pair = vector::LoadOp::create(b, VectorType::get(2, matrix.elementType()), matrix.memref, indices);
  Value word = vector::BitCastOp::create(b, VectorType::get(1, b.getI32Type()), pair);
  return vector::ExtractOp::create(b, word, 0);
}

Value tessera::interleaveRows(ImplicitLocOpBuilder &b, const Matrix &matrix, Value row, Value column,
                              int64_t vectorSize, bool isHalf, Value columns) {
  auto type = VectorType::get(vectorSize, matrix.elementType());
  Value left = columns ? subIndex(b, columns, column) : indexConstant(b, vectorSize);
  auto read = [&](int64_t i) {
    return loadVector(b, type, matrix.memref, matrix.at(addIndex(b, row, indexConstant(b, i)), column), left);
  };
  Value first = read(0);
  Value second = isHalf ? arith::ConstantOp::create(b, b.getZeroAttr(type)).getResult() : read(1);
  Value pairs = vector::InterleaveOp::create(b, first, second);
  return vector::BitCastOp::create(b, VectorType::get(vectorSize, b.getI32Type()), pairs);
}

namespace {

struct PairPacker {
  ImplicitLocOpBuilder &b;
  const Matrix &source;
  const Window &window;
  bool alongColumns;
  Value buffer;
  int64_t vectorSize;

  /// Sizes of the buffer that hold the window.
  Value halve(Value size) { return b.createOrFold<arith::CeilDivUIOp>(size, indexConstant(b, 2)); }
  Value twice(Value index) { return b.createOrFold<arith::MulIOp>(index, indexConstant(b, 2)); }

  void packRows(Value paddedColumns);
  void packColumns(Value paddedColumns);
  void packSquare(Value row, Value column);
  void packWords(Value row, Value rowEnd, Value column, Value columnEnd);
  Value element(Value row, Value column);
};

} // namespace

/// Two rows at a time become words.
void PairPacker::packRows(Value paddedColumns) {
  auto packPair = [&](Value row, bool isHalf) {
    emitFor(b, indexConstant(b, 0), paddedColumns, vectorSize, [&](Value column) {
      Value words = interleaveRows(b, source, addIndex(b, window.row, twice(row)), addIndex(b, window.column, column),
                                   vectorSize, isHalf, addIndex(b, window.column, window.columns));
      vector::StoreOp::create(b, words, buffer, ValueRange{row, column});
    });
  };
  Value whole = b.createOrFold<arith::DivUIOp>(window.rows, indexConstant(b, 2));
  emitFor(b, indexConstant(b, 0), whole, 1, [&](Value row) { packPair(row, false); });
  emitIf(
      b, isAtMost(b, window.rows, twice(whole)), {}, [&]() -> SmallVector<Value> { return {}; },
      [&]() -> SmallVector<Value> {
        packPair(whole, true);
        return {};
      });
}

/// Columns hold their words already: squares of these are transposed.
void PairPacker::packColumns(Value paddedColumns) {
  Value rows = halve(window.rows), wholeRows = b.createOrFold<arith::DivUIOp>(window.rows, indexConstant(b, 2));
  emitSquares(
      b, rows, paddedColumns, vectorSize, wholeRows, window.columns,
      [&](Value row, Value column) { packSquare(row, column); },
      [&](Value row, Value rowEnd, Value column, Value columnEnd) { packWords(row, rowEnd, column, columnEnd); });
}

void PairPacker::packSquare(Value row, Value column) {
  SmallVector<Value> vectors;
  Value firstRow = addIndex(b, window.row, twice(row)), firstColumn = addIndex(b, window.column, column);
  for (int64_t i = 0; i < vectorSize; ++i) {
    SmallVector<Value> indices = source.at(firstRow, addIndex(b, firstColumn, indexConstant(b, i)));
    Value read =
        vector::LoadOp::create(b, VectorType::get(2 * vectorSize, source.elementType()), source.memref, indices);
    vectors.push_back(vector::BitCastOp::create(b, VectorType::get(vectorSize, b.getI32Type()), read));
  }
  for (auto [i, vector] : llvm::enumerate(transposeSquare(b, b.getLoc(), vectors)))
    vector::StoreOp::create(b, vector, buffer, ValueRange{addIndex(b, row, indexConstant(b, i)), column});
}

void PairPacker::packWords(Value row, Value rowEnd, Value column, Value columnEnd) {
  Value one = indexConstant(b, 1);
  emitFor(b, row, rowEnd, 1, [&](Value i) {
    emitFor(b, column, columnEnd, 1, [&](Value j) {
      Value first = alongColumns ? i : twice(i), second = alongColumns ? twice(j) : j;
      Value low = element(first, second);
      Value high =
          element(alongColumns ? first : addIndex(b, first, one), alongColumns ? addIndex(b, second, one) : second);
      Value sixteen = arith::ConstantOp::create(b, b.getI32IntegerAttr(16));
      Value word = arith::OrIOp::create(b, low, arith::ShLIOp::create(b, high, sixteen));
      memref::StoreOp::create(b, word, buffer, ValueRange{i, j});
    });
  });
}

/// The bits of an element, or zero outside of the window.
Value PairPacker::element(Value row, Value column) {
  auto isInside = [&](Value index, Value size) { return isAtMost(b, addIndex(b, index, indexConstant(b, 1)), size); };
  Value isThere = b.createOrFold<arith::AndIOp>(isInside(row, window.rows), isInside(column, window.columns));
  return emitIf(
      b, isThere, b.getI32Type(),
      [&]() -> SmallVector<Value> {
        Value read = memref::LoadOp::create(
            b, source.memref, source.at(addIndex(b, window.row, row), addIndex(b, window.column, column)));
        return {arith::ExtUIOp::create(b, b.getI32Type(), arith::BitcastOp::create(b, b.getI16Type(), read))};
      },
      [&]() -> SmallVector<Value> { return {arith::ConstantOp::create(b, b.getI32IntegerAttr(0))}; })[0];
}

void tessera::emitPackPairs(ImplicitLocOpBuilder &b, const Matrix &source, const Window &window, bool alongColumns,
                            Value buffer, Value paddedColumns, int64_t vectorSize) {
  PairPacker packer{b, source, window, alongColumns, buffer, vectorSize};
  Matrix::Contiguous direction = source.contiguous();
  if (!alongColumns && direction == Matrix::Contiguous::AlongColumns)
    return packer.packRows(paddedColumns);
  if (!alongColumns && direction == Matrix::Contiguous::AlongRows)
    return packer.packColumns(paddedColumns);
  Value rows = alongColumns ? window.rows : packer.halve(window.rows);
  packer.packWords(indexConstant(b, 0), rows, indexConstant(b, 0), paddedColumns);
}
