// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Concatenations come last: what is computed from one is computed from its pieces.

#ifndef TESSERA_PASSES_FUSEELEMENTWISE_MOVEPIECES_H
#define TESSERA_PASSES_FUSEELEMENTWISE_MOVEPIECES_H

#include "mlir/IR/PatternMatch.h"

namespace tessera {

void populateMovePiecesPatterns(mlir::RewritePatternSet &patterns);

} // namespace tessera

#endif // TESSERA_PASSES_FUSEELEMENTWISE_MOVEPIECES_H
