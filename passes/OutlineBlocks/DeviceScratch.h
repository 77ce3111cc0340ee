// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_OUTLINEBLOCKS_DEVICESCRATCH_H
#define TESSERA_PASSES_OUTLINEBLOCKS_DEVICESCRATCH_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace tessera {

/// Gives what is too large for shared memory, or of no known size, a place for each iteration in the device's memory.
mlir::LogicalResult moveLargeScratch(mlir::scf::ForallOp loop);

/// Moves what a kernel function allocates outside of parallel loops into the loop that uses it, if that is one block;
/// what one loop leaves for another gets a place in the device's memory.
void placeHostScratch(mlir::func::FuncOp kernel);

} // namespace tessera

#endif // TESSERA_PASSES_OUTLINEBLOCKS_DEVICESCRATCH_H
