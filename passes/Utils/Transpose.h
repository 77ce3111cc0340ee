// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_TRANSPOSE_H
#define TESSERA_PASSES_UTILS_TRANSPOSE_H

#include "mlir/IR/Builders.h"

namespace tessera {

/// Makes the columns of a square matrix, given as vectors of its rows, by shuffles. Its size is a power of two.
llvm::SmallVector<mlir::Value> transposeSquare(mlir::OpBuilder &b, mlir::Location loc,
                                               llvm::SmallVector<mlir::Value> rows);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_TRANSPOSE_H
