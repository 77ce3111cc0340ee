// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Dividing a kernel that makes its result from pieces.

#ifndef TESSERA_PASSES_UTILS_TILEPIECES_H
#define TESSERA_PASSES_UTILS_TILEPIECES_H

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tessera {

/// Makes one parallel loop over tiles of what is inserted, the pieces, which may differ in size only where they stay
/// whole. The loop computes a tile of each piece, and of what that is computed from, in its slice of the destination;
/// the insertions say that the slices are the destination's. `tile` has a size for each dimension of a piece, 0 where
/// it stays whole.
mlir::FailureOr<mlir::scf::ForallOp>
tilePieces(mlir::RewriterBase &b, llvm::ArrayRef<mlir::tensor::InsertSliceOp> insertions, llvm::ArrayRef<int64_t> tile);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_TILEPIECES_H
