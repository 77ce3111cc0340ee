// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EMITTHREADS_DIVISIBILITY_H
#define TESSERA_PASSES_EMITTHREADS_DIVISIBILITY_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace tessera {

/// What must be divisible by the lanes for vectors along the last dimensions of views to be aligned and whole.
struct Divisibility {
  /// Arguments of the kernel that have to be, which only the launched kernel can tell.
  llvm::SmallVector<mlir::Value> unknown;
  bool isPossible = true;

  void require(mlir::OpFoldResult size, int64_t lanes);
  /// Requires it of where the rows of a view begin.
  void requireView(mlir::Value view, int64_t lanes);
};

/// Whether the lanes divide a value.
mlir::Value createDivides(mlir::OpBuilder &b, mlir::Location loc, int64_t lanes, mlir::Value value);

} // namespace tessera

#endif // TESSERA_PASSES_EMITTHREADS_DIVISIBILITY_H
