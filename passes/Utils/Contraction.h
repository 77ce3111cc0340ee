// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

//
// Which linalg operations are products of two matrices, and how their operands lie in memory.

#ifndef TESSERA_PASSES_UTILS_CONTRACTION_H
#define TESSERA_PASSES_UTILS_CONTRACTION_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace tessera {

/// Two dimensions of a memref, at fixed indices in the others.
struct Matrix {
  enum class Contiguous { No, AlongRows, AlongColumns };

  mlir::Value memref;
  /// The index in each dimension of the memref; those of the row and the column are filled in by `at`.
  llvm::SmallVector<mlir::Value> indices;
  int64_t rowPosition, columnPosition;
  /// The operations, innermost first, that take an element to the type it is multiplied in.
  llvm::SmallVector<mlir::Operation *> casts;

  llvm::SmallVector<mlir::Value> at(mlir::Value row, mlir::Value column) const;
  mlir::Type elementType() const { return mlir::cast<mlir::MemRefType>(memref.getType()).getElementType(); }

  /// In which direction neighbours are neighbours in memory, and in the memref's last dimension, as vectors need it.
  Contiguous contiguous() const;

  /// Applies the casts to an element or to a vector of them.
  mlir::Value cast(mlir::OpBuilder &builder, mlir::Value value) const;
};

/// C[outer..., m, n] += A[outer..., m, k] * B[outer..., k, n].
struct Contraction {
  mlir::linalg::GenericOp op;
  unsigned m, n, k;
  llvm::SmallVector<unsigned> outer;
  /// Operand numbers. The transpose is computed where C is contiguous along m, or a column.
  unsigned a = 0, b = 1;
  llvm::SmallVector<mlir::Operation *> casts[2];
  mlir::Type accumulator;

  /// Fails, without a diagnostic, for anything that is no matrix product on memrefs.
  static llvm::FailureOr<Contraction> match(mlir::linalg::GenericOp op);

  /// Whether both operands are bf16 in memory, added up in f32.
  bool multipliesBf16() const;

  /// An operand (C is number 2) as a matrix whose rows and columns are two of the loop dimensions; `loopIndices` are
  /// the values of the outer ones.
  Matrix matrix(mlir::OpBuilder &builder, unsigned operand, unsigned row, unsigned column,
                llvm::ArrayRef<mlir::Value> loopIndices);
  /// The number of iterations of a loop dimension.
  mlir::Value size(mlir::OpBuilder &builder, unsigned dim);
};

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_CONTRACTION_H
