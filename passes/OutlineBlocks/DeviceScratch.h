// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_OUTLINEBLOCKS_DEVICESCRATCH_H
#define TESSERA_PASSES_OUTLINEBLOCKS_DEVICESCRATCH_H

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace tessera {

/// Gives what is too large for shared memory, or of no known size, a place for each iteration in the device's memory.
mlir::LogicalResult moveLargeScratch(mlir::scf::ForallOp loop);

} // namespace tessera

#endif // TESSERA_PASSES_OUTLINEBLOCKS_DEVICESCRATCH_H
