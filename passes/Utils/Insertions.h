// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensors that are made of pieces: a concatenation is one insertion for each of them, each into the result of the last.

#ifndef TESSERA_PASSES_UTILS_INSERTIONS_H
#define TESSERA_PASSES_UTILS_INSERTIONS_H

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tessera {

/// The insertions that end with `last`, in order: nothing but the next one reads the result of each.
llvm::SmallVector<mlir::tensor::InsertSliceOp> findInsertions(mlir::tensor::InsertSliceOp last);

/// The last of the insertions that `insertion` is one of.
mlir::tensor::InsertSliceOp findLastInsertion(mlir::tensor::InsertSliceOp insertion);

/// Whether two slices of one tensor are known to have no element in common.
bool areDisjoint(mlir::OffsetSizeAndStrideOpInterface a, mlir::OffsetSizeAndStrideOpInterface b);

/// How many outer dimensions have one size in all pieces.
int64_t countSharedDims(llvm::ArrayRef<mlir::tensor::InsertSliceOp> pieces);

/// The insertions that one kernel makes: all that end with `last`, if the pieces have a tile in common (the whole
/// piece, or a row where only rows differ in length) and workers write to different places; otherwise `last` alone.
llvm::SmallVector<mlir::tensor::InsertSliceOp> findPieces(mlir::tensor::InsertSliceOp last);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_INSERTIONS_H
