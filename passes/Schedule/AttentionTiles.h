// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_SCHEDULE_ATTENTIONTILES_H
#define TESSERA_PASSES_SCHEDULE_ATTENTIONTILES_H

#include "passes/Schedule/TileSizes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tessera {

/// Makes the attention of a kernel, if it has one, a parallel loop over tiles of queries, which write the kernel's
/// destinations.
void scheduleAttention(mlir::func::FuncOp kernel, const TileSizes &sizes);

} // namespace tessera

#endif // TESSERA_PASSES_SCHEDULE_ATTENTIONTILES_H
