// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which tensors of a host function live in one memory.

#ifndef TESSERA_PASSES_PLANMEMORY_SHARING_H
#define TESSERA_PASSES_PLANMEMORY_SHARING_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace tessera {

/// On an argument of an entry: the caller lets it be changed. On a result: the argument that it is, changed.
constexpr llvm::StringLiteral kDonated = "tessera.donated", kAlias = "tessera.alias";

/// Whether nothing has been written to the tensor: it is tensor.empty, or a view of it.
bool isUndefined(mlir::Value tensor);

/// The argument of a loop's first region that the condition hands on as the loop's result and the second region's
/// argument `index`; null if it hands on something else, or handed it on as an earlier one already.
mlir::BlockArgument findForwarded(mlir::scf::WhileOp loop, unsigned index);

/// The first tensor in the memory of a tensor, following views, kernels that change a tensor in place, and loops that
/// take over the memory of what they begin with. What a loop carries is seen as the argument of its (first) region.
mlir::Value findRoot(mlir::Value tensor);

/// Whether memory that holds `previous` (may be null: nothing) before the block's operations may become the memory of
/// `root`, because an operation of the block makes it and nothing reads the previous tensor from then on.
bool canTakeOver(mlir::Block &block, mlir::Value root, mlir::Value previous);

} // namespace tessera

#endif // TESSERA_PASSES_PLANMEMORY_SHARING_H
