// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_COPIES_H
#define TESSERA_PASSES_UTILS_COPIES_H

#include "mlir/IR/PatternMatch.h"

namespace tessera {

/// Makes every memref.copy in `root` a structured operation, as what surrounds it is.
void replaceCopies(mlir::RewriterBase &rewriter, mlir::Operation *root);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_COPIES_H
