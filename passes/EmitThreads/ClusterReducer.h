// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EMITTHREADS_CLUSTERREDUCER_H
#define TESSERA_PASSES_EMITTHREADS_CLUSTERREDUCER_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace tessera {

/// Reductions over all threads of a cluster of blocks. Each warp sends what it has to every block, and a barrier in
/// each block counts the bytes that arrive; both are used for one reduction alone, so that nothing has to be waited for
/// before the next, or before a block ends.
class ClusterReducer {
public:
  /// Sets the barriers up, one for each value that will be reduced, at the kernel's beginning.
  ClusterReducer(mlir::OpBuilder &b, mlir::gpu::GPUFuncOp kernel, int64_t blocks, llvm::ArrayRef<mlir::Type> types);

  /// Reduces the next value by the operation `combiner`; every thread gets the result. All threads take part.
  mlir::Value reduce(mlir::OpBuilder &b, mlir::Operation *combiner, mlir::Value value);

private:
  mlir::Value createSlots(mlir::OpBuilder &b, mlir::Type type, int64_t count);
  void send(mlir::OpBuilder &b, mlir::Value word, mlir::Value slots, mlir::Value slot, mlir::Value block);

  mlir::gpu::GPUFuncOp kernel;
  mlir::Location loc;
  int64_t blocks, warps;
  mlir::Value barriers;
  int64_t next = 0;
};

} // namespace tessera

#endif // TESSERA_PASSES_EMITTHREADS_CLUSTERREDUCER_H
