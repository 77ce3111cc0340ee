// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

//
// Products of bf16 by vdpbf16ps, each lane of which adds two products. What is multiplied are words of 32 bits: two
// numbers that follow each other along K. Where K is odd, a zero stands beside the last.

#ifndef TESSERA_PASSES_EMITMATMUL_PAIRS_H
#define TESSERA_PASSES_EMITMATMUL_PAIRS_H

#include "passes/EmitMatmul/Tiles.h"

namespace tessera {

/// x * y + sum. The operands are vectors of words, or of the bf16 that make them.
mlir::Value multiplyPairs(mlir::ImplicitLocOpBuilder &b, mlir::Value x, mlir::Value y, mlir::Value sum);

/// The word that begins at an element of a matrix of bf16 whose rows are contiguous. Of a half word only that element
/// is there.
mlir::Value loadPair(mlir::ImplicitLocOpBuilder &b, const Matrix &matrix, mlir::Value row, mlir::Value column,
                     bool isHalf);

/// A vector of words from two rows that follow each other in a matrix of bf16 whose rows are contiguous. Columns from
/// `columns` on, where that is given, are zero.
mlir::Value interleaveRows(mlir::ImplicitLocOpBuilder &b, const Matrix &matrix, mlir::Value row, mlir::Value column,
                           int64_t vectorSize, bool isHalf, mlir::Value columns = {});

/// Copies a window of bf16 to the start of `buffer` as words, along its columns or along its rows. Columns of the
/// buffer up to `paddedColumns` are filled with zeros.
void emitPackPairs(mlir::ImplicitLocOpBuilder &b, const Matrix &source, const Window &window, bool alongColumns,
                   mlir::Value buffer, mlir::Value paddedColumns, int64_t vectorSize);

} // namespace tessera

#endif // TESSERA_PASSES_EMITMATMUL_PAIRS_H
