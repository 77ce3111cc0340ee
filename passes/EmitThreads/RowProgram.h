// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A row program: what a tile computes if all of it runs along one row. Its structured operations are elementwise along
// the row, reduce it, or compute on what was reduced; whatever passes from one to the next stays in registers.

#ifndef TESSERA_PASSES_EMITTHREADS_ROWPROGRAM_H
#define TESSERA_PASSES_EMITTHREADS_ROWPROGRAM_H

#include "passes/EmitLoops/LoopNest.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

#include <vector>

namespace tessera {

/// Bytes that a thread reads or writes at once, and that bases of arrays are aligned to.
inline constexpr int64_t kAccessBytes = 16;
/// Threads of a block that works on rows, where a row is not worth more.
inline constexpr int64_t kRowBlockThreads = 128;
/// Vectors of 16 bytes that a thread holds of each operand: few, as long as a row has few threads.
inline constexpr int64_t kFewVectors = 2, kRowVectors = 4;
inline constexpr int64_t kFewThreads = 64, kSmallBlock = 256, kMaxThreads = 1024;
/// Elements of a row that a thread holds in registers at most.
inline constexpr int64_t kMaxResident = 64;

class RowProgram {
public:
  /// Where an operand's values come from.
  struct Source {
    /// The operation that computes them and which of its results they are, or -1 for memory and numbers.
    int64_t step = -1;
    unsigned result = 0;
  };

  /// One structured operation.
  struct Step {
    mlir::linalg::LinalgOp op;
    /// Loop -1 as the vectorized one: the step computes numbers of the row as a whole.
    LoopPlan plan;
    llvm::SmallVector<Source> sources;
    bool isRow() const { return plan.vectorLoop >= 0; }
    bool reduces() const { return llvm::is_contained(plan.accumulates, true); }
    /// Whether it reads an operand from memory.
    bool isRead(unsigned operand) const;
  };

  /// Fails where the block is no row program.
  static llvm::FailureOr<RowProgram> analyze(mlir::Block &block);

  bool reduces() const;
  /// Whether what is read of rows has less than 32 bits an element.
  bool isNarrow() const;
  /// The blocks that share a row, on a device with clusters of so many: several if one alone would read the row again.
  /// They are small, so that a multiprocessor has two and one reads while another computes.
  int64_t chooseBlocks(int64_t maxCluster) const;
  /// The threads that a row is worth, in each of the blocks that share it.
  int64_t chooseThreads(bool hasDeviceToItself, int64_t blocks) const;
  /// Elements in 16 bytes of the narrowest operand.
  int64_t maxLanes() const;
  /// The most elements that a row has, or -1.
  int64_t bound() const { return maxLength; }

  std::vector<Step> steps;
  /// Results that memory outside keeps: the last definition of each view.
  std::vector<Source> outputs;
  /// Elements of a row; null where all steps are numbers.
  mlir::OpFoldResult length;

private:
  mlir::LogicalResult addStep(mlir::linalg::LinalgOp op);
  mlir::LogicalResult resolveSources(Step &step);
  mlir::LogicalResult checkReads();
  bool agreeOnLength(mlir::linalg::LinalgOp op, int64_t loop);

  int64_t maxLength = -1;
  llvm::DenseMap<mlir::Value, Source> current;
};

/// The size of a dimension, as an attribute or as the value that the view was made with; null if nothing says it.
mlir::OpFoldResult findViewSize(mlir::Value view, int64_t dim);

/// The memory that a view is of.
mlir::Value findMemory(mlir::Value view);

} // namespace tessera

#endif // TESSERA_PASSES_EMITTHREADS_ROWPROGRAM_H
