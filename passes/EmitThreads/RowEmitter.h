// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EMITTHREADS_ROWEMITTER_H
#define TESSERA_PASSES_EMITTHREADS_ROWEMITTER_H

#include "passes/EmitLoops/EmitPoint.h"
#include "passes/EmitThreads/ClusterReducer.h"
#include "passes/EmitThreads/RowProgram.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

#include <map>

namespace tessera {

/// How a thread goes over its row.
struct Walk {
  int64_t lanes;
  /// Vectors that are read before the first is used.
  int64_t vectors;
  /// The row is one group of vectors, which stay in registers; otherwise a loop goes over groups.
  bool isResident;
  /// Every vector is whole and inside of the row.
  bool isExact;
};

/// One vector of the row, at `column`; absent if `inside` says so.
struct Chunk {
  int64_t index;
  mlir::Value column, inside;
};

/// Emits one form of a row program.
class RowEmitter {
public:
  /// `rowThreads` threads, of as many blocks of a cluster, share a row.
  RowEmitter(RowProgram &program, mlir::gpu::GPUFuncOp kernel, int64_t rowThreads, int64_t blocks, mlir::OpBuilder b,
             Walk walk)
      : program(program), kernel(kernel), rowThreads(rowThreads), blocks(blocks), b(b), walk(walk) {}

  void run();

private:
  using Values = llvm::SmallVector<mlir::Value>;
  using Step = RowProgram::Step;

  mlir::Value constant(mlir::Location loc, int64_t n) { return mlir::arith::ConstantIndexOp::create(b, loc, n); }
  PointEmitter pointAt(Step &step, mlir::Value column);
  PointEmitter pointAt(Step &step, mlir::OpOperand &operand, const Chunk &chunk);
  llvm::SmallVector<Chunk> createChunks(mlir::Location loc, mlir::Value base);
  Values forEachGroup(mlir::Location loc, mlir::ValueRange carried,
                      llvm::function_ref<Values(llvm::ArrayRef<Chunk>, mlir::ValueRange carried)> body);

  void readNumbers();
  void readRows(Step &step, llvm::ArrayRef<Chunk> chunks);
  mlir::Value readRow(Step &step, mlir::OpOperand &operand, const Chunk &chunk);
  mlir::Value valueOf(Step &step, unsigned operand, const Chunk *chunk);
  bool isNumber(RowProgram::Source source) const;
  Values compute(Step &step, const Chunk *chunk, mlir::ValueRange accumulators);
  mlir::Value resultOf(RowProgram::Source source, const Chunk *chunk);
  void reduce(Step &step);
  void forgetWidened();
  void storeOutputs();
  void identifyThread();

  RowProgram &program;
  mlir::gpu::GPUFuncOp kernel;
  int64_t rowThreads, blocks;
  mlir::OpBuilder b;
  Walk walk;
  mlir::Value lane, isRow;
  std::optional<ClusterReducer> cluster;
  llvm::SmallVector<Chunk> resident;
  llvm::DenseMap<mlir::OpOperand *, mlir::Value> memoryNumbers;
  std::map<std::pair<int64_t, unsigned>, mlir::Value> numbers;
  /// What is known of the chunks at hand: by view and the map that it is read by, and by result.
  std::map<std::tuple<const void *, const void *, int64_t>, mlir::Value> read;
  std::map<std::tuple<int64_t, unsigned, int64_t>, mlir::Value> computed;
};

} // namespace tessera

#endif // TESSERA_PASSES_EMITTHREADS_ROWEMITTER_H
