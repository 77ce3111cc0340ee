// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EMITTHREADS_EMITTHREADS_H
#define TESSERA_PASSES_EMITTHREADS_EMITTHREADS_H

#include "passes/EmitThreads/RowProgram.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace tessera {

/// The threads of a warp.
constexpr int64_t kWarp = 32;

/// Emits a kernel's row program in place of its structured operations, for rows that are shared by `blocks` blocks of a
/// cluster with `rowThreads` threads each.
void emitRows(mlir::gpu::GPUFuncOp kernel, RowProgram &program, int64_t rowThreads, int64_t blocks);

/// Divides each structured operation among the kernel's threads.
mlir::LogicalResult distributeOps(mlir::gpu::GPUFuncOp kernel, int64_t threads);

/// Reduces the columns of a tile, of which each thread adds up some rows. False where the operation is no such
/// reduction; otherwise a barrier has to follow.
bool reduceColumns(mlir::RewriterBase &b, mlir::linalg::LinalgOp op, mlir::gpu::GPUFuncOp kernel, int64_t threads);

/// Computes an operation that reads some inputs transposed by squares, in vectors; where these are not aligned, a copy
/// of it is computed by `otherwise`. False where the operation is no such one.
bool transposeSquares(mlir::RewriterBase &b, mlir::linalg::LinalgOp op, int64_t threads,
                      llvm::function_ref<mlir::LogicalResult(mlir::linalg::LinalgOp)> otherwise);

/// Reduces a number over groups of `threads` threads that follow each other (a power of two), by the operation
/// `combiner`; every thread gets the result. All threads of the block take part.
mlir::Value reduceAcrossThreads(mlir::OpBuilder &b, mlir::gpu::GPUFuncOp kernel, mlir::Operation *combiner,
                                mlir::Value value, int64_t threads);

/// The number of the row that a thread belongs to, which may be beyond the last, where a block has several rows.
mlir::Value createRowNumber(mlir::OpBuilder &b, mlir::Location loc, int64_t rows, int64_t rowThreads);

/// The value of the lane whose number differs in the bit `offset`.
mlir::Value shuffle(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value, int64_t offset);

/// combiner(lhs, rhs)
mlir::Value combine(mlir::OpBuilder &b, mlir::Operation *combiner, mlir::Value lhs, mlir::Value rhs);

} // namespace tessera

#endif // TESSERA_PASSES_EMITTHREADS_EMITTHREADS_H
