// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which operations make up which kernel.

#ifndef TESSERA_PASSES_FORMKERNELS_KERNELGROUPS_H
#define TESSERA_PASSES_FORMKERNELS_KERNELGROUPS_H

#include "mlir/IR/Block.h"
#include "mlir/IR/Operation.h"

namespace tessera {

/// A root and the producers that are computed beside it.
struct KernelGroup {
  enum class Kind { Elementwise, Rowwise, Matmul, Attention, Scatter };

  mlir::Operation *root;
  Kind kind;
  /// All operations, the root first and every producer after its readers.
  llvm::SmallVector<mlir::Operation *> members;
  /// The loops of the root that parallel workers divide.
  llvm::SmallVector<int64_t> tileDims;
};

llvm::StringRef kindName(KernelGroup::Kind kind);

/// Whether the operation is computed by a kernel; views, constants and fills that only kernels read are not: each
/// kernel has its own.
bool isComputed(mlir::Operation *op);
bool isCloned(mlir::Operation *op);

/// The tensor of which a kernel changes parts, where it does not make all of its result.
mlir::Value changedInPlace(const KernelGroup &group);

/// Divides the computed operations of a block into groups, the last first.
llvm::SmallVector<std::unique_ptr<KernelGroup>> groupKernels(mlir::Block &block);

} // namespace tessera

#endif // TESSERA_PASSES_FORMKERNELS_KERNELGROUPS_H
