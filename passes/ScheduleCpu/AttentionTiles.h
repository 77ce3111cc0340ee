// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_SCHEDULECPU_ATTENTIONTILES_H
#define TESSERA_PASSES_SCHEDULECPU_ATTENTIONTILES_H

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tessera {

/// Makes the attention of a kernel a parallel loop over tiles of queries, which write the kernel's destinations.
void scheduleAttention(mlir::func::FuncOp kernel, FlashAttentionOp op);

} // namespace tessera

#endif // TESSERA_PASSES_SCHEDULECPU_ATTENTIONTILES_H
