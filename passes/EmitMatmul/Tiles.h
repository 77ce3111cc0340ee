// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

//
// The loops of a matrix product: copies into packed buffers, the tile held in registers, and dot products.

#ifndef TESSERA_PASSES_EMITMATMUL_TILES_H
#define TESSERA_PASSES_EMITMATMUL_TILES_H

#include "passes/Utils/Contraction.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace tessera {

/// Part of a matrix. All are index values.
struct Window {
  mlir::Value row, column, rows, columns;
};

/// Constants and arithmetic of type index, which fold.
mlir::Value indexConstant(mlir::ImplicitLocOpBuilder &b, int64_t value);
mlir::Value addIndex(mlir::ImplicitLocOpBuilder &b, mlir::Value x, mlir::Value y);
mlir::Value subIndex(mlir::ImplicitLocOpBuilder &b, mlir::Value x, mlir::Value y);
mlir::Value isAtMost(mlir::ImplicitLocOpBuilder &b, mlir::Value x, mlir::Value y);

void emitFor(mlir::ImplicitLocOpBuilder &b, mlir::Value begin, mlir::Value end, int64_t step,
             llvm::function_ref<void(mlir::Value)> body);

/// Walks `rows` by `columns` in squares of `size`: `whole` where one lies within `wholeRows` and `wholeColumns`, else
/// `rest`, with the square's ends; rows end at `rows`.
void emitSquares(
    mlir::ImplicitLocOpBuilder &b, mlir::Value rows, mlir::Value columns, int64_t size, mlir::Value wholeRows,
    mlir::Value wholeColumns, llvm::function_ref<void(mlir::Value row, mlir::Value column)> whole,
    llvm::function_ref<void(mlir::Value row, mlir::Value rowEnd, mlir::Value column, mlir::Value columnEnd)> rest);

/// An if whose branches give values of the same types, perhaps none. A condition known now makes no branch.
llvm::SmallVector<mlir::Value> emitIf(mlir::ImplicitLocOpBuilder &b, mlir::Value condition, mlir::TypeRange types,
                                      llvm::function_ref<llvm::SmallVector<mlir::Value>()> onTrue,
                                      llvm::function_ref<llvm::SmallVector<mlir::Value>()> onFalse);

/// Goes through [0, size) in steps of the first width while that fits, then of the next. The last width is 1.
void emitStrips(mlir::ImplicitLocOpBuilder &b, mlir::Value size, llvm::ArrayRef<int64_t> widths,
                llvm::function_ref<void(mlir::Value, int64_t)> body);

/// A vector of which the first `left` elements are there; the others are zero.
mlir::Value loadVector(mlir::ImplicitLocOpBuilder &b, mlir::VectorType type, mlir::Value memref,
                       llvm::ArrayRef<mlir::Value> indices, mlir::Value left);

/// x * y + sum, of numbers or of vectors. Where the operands are not in the type of a sum in f32, they are pairs of
/// bf16 (see Pairs.h).
mlir::Value multiplyAdd(mlir::ImplicitLocOpBuilder &b, mlir::Value x, mlir::Value y, mlir::Value sum);

/// A local buffer as a matrix.
Matrix bufferMatrix(mlir::ImplicitLocOpBuilder &b, mlir::Value buffer);

/// Copies a window of `source`, with its casts, to the start of `buffer`, whose static sizes are multiples of
/// `vectorSize`. Columns up to `paddedColumns` are filled with zeros.
void emitPack(mlir::ImplicitLocOpBuilder &b, const Matrix &source, const Window &window, mlir::Value buffer,
              mlir::Value paddedColumns, int64_t vectorSize);

/// A row of the tile is `vectors` registers of `vectorSize` numbers.
struct TileShape {
  int64_t rows, vectors, vectorSize;
  /// Two numbers along K are multiplied at once: operands are bf16 in place, or packed as words of them.
  bool paired;
  /// How far ahead of the rows of B that are multiplied others are fetched; 0 where B is packed.
  int64_t rowsAhead = 0;
  int64_t columns() const { return vectors * vectorSize; }
};

/// A matrix from an element on.
struct Corner {
  const Matrix &matrix;
  mlir::Value row, column;
};

/// Adds the first rows of `x` times the first columns of `y` over `depth` to a tile of `c`. The tile's rows are all
/// there; of its columns `window.columns` are, but `y` has as many as the tile. `staging` is a buffer of the tile's
/// shape, for a C that vectors can't address.
void emitTile(mlir::ImplicitLocOpBuilder &b, const TileShape &shape, Corner x, Corner y, mlir::Value depth,
              const Matrix &c, const Window &window, mlir::Value staging);

/// Adds to a window of `c` the products of rows of `x` with columns of `y`, both contiguous over `depth`, and
/// multiplied by pairs of bf16 where `paired` says so.
void emitDots(mlir::ImplicitLocOpBuilder &b, Corner x, Corner y, mlir::Value depth, const Matrix &c,
              const Window &window, int64_t vectorSize, bool paired);

} // namespace tessera

#endif // TESSERA_PASSES_EMITMATMUL_TILES_H
