// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_SCHEDULE_COLLAPSELOOPS_H
#define TESSERA_PASSES_SCHEDULE_COLLAPSELOOPS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tessera {

/// Makes loops `first` and `first + 1` one, in all of a kernel's operations that have them and in their tensors. The
/// memory behind these stays the same, because arguments are contiguous. False, and nothing is changed, where an
/// operand does not have both side by side.
bool collapseLoops(mlir::func::FuncOp kernel, int64_t first);

} // namespace tessera

#endif // TESSERA_PASSES_SCHEDULE_COLLAPSELOOPS_H
