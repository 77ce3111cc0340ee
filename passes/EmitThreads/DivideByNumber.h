// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EMITTHREADS_DIVIDEBYNUMBER_H
#define TESSERA_PASSES_EMITTHREADS_DIVIDEBYNUMBER_H

#include "mlir/IR/Operation.h"

namespace tessera {

/// Divides vectors by one number by way of its reciprocal, with the results of division.
void divideByReciprocals(mlir::Operation *root);

} // namespace tessera

#endif // TESSERA_PASSES_EMITTHREADS_DIVIDEBYNUMBER_H
