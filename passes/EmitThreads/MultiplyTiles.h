// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EMITTHREADS_MULTIPLYTILES_H
#define TESSERA_PASSES_EMITTHREADS_MULTIPLYTILES_H

#include "passes/Utils/Contraction.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace tessera {

/// Multiplies matrices through shared memory, which one product of a kernel after another uses.
class TileMultiplier {
public:
  TileMultiplier(mlir::gpu::GPUFuncOp kernel, int64_t threads) : kernel(kernel), threads(threads) {}

  /// Replaces a product; a barrier has to follow. False where the operation is none.
  bool emit(mlir::RewriterBase &rewriter, mlir::linalg::LinalgOp op);

private:
  struct Stages {
    mlir::Value a, b;
  };

  mlir::gpu::GPUFuncOp kernel;
  int64_t threads;
  llvm::DenseMap<mlir::Type, Stages> stages;
};

} // namespace tessera

#endif // TESSERA_PASSES_EMITTHREADS_MULTIPLYTILES_H
