// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where buffers lie in the workspace.

#ifndef TESSERA_PASSES_PLANMEMORY_WORKSPACE_H
#define TESSERA_PASSES_PLANMEMORY_WORKSPACE_H

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/PlanMemory/SizeExpr.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tessera {

/// Gives each slice of the workspace a slot. Slices whose lifetimes are disjoint share one if their sizes are ordered.
class Workspace {
public:
  explicit Workspace(const SizeAlgebra &algebra) : algebra(algebra) {}

  void add(rt::SliceOp slice, const SizeExpr &bytes) { sizes.try_emplace(slice, bytes); }
  /// Chooses a slot for every slice still in the function.
  void assignSlots(mlir::func::FuncOp host);
  /// Writes where slots begin and returns where the last one ends.
  mlir::Value writeOffsets(SizeWriter &writer, llvm::SmallVectorImpl<mlir::Value> &offsets) const;
  /// Makes every slice begin where its slot does.
  void moveSlices(llvm::ArrayRef<mlir::Value> offsets) const;

private:
  /// The first and the last moment of program order.
  using Lifetime = std::pair<unsigned, unsigned>;
  struct Slot {
    SizeExpr bytes;
    llvm::SmallVector<Lifetime> taken;
  };

  unsigned findSlot(const SizeExpr &bytes, Lifetime lifetime);

  const SizeAlgebra &algebra;
  llvm::DenseMap<mlir::Operation *, SizeExpr> sizes;
  llvm::MapVector<mlir::Operation *, unsigned> slotOf;
  llvm::SmallVector<Slot> slots;
};

} // namespace tessera

#endif // TESSERA_PASSES_PLANMEMORY_WORKSPACE_H
