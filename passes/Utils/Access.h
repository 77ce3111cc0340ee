// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_ACCESS_H
#define TESSERA_PASSES_UTILS_ACCESS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace tessera {

/// How an operand lies in memory along a loop. Tensors are taken as contiguous.
enum class Access { Uniform, Adjacent, Strided };

Access classifyAccess(mlir::linalg::LinalgOp op, mlir::OpOperand &operand, int64_t loop);

/// The loop that walks adjacent elements of the largest operand, or -1.
int64_t findAdjacentLoop(mlir::linalg::LinalgOp op);

/// A parallel loop along which an input lies adjacent that is strided along `vectorLoop`, or -1.
int64_t findTransposedLoop(mlir::linalg::LinalgOp op, int64_t vectorLoop);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_ACCESS_H
