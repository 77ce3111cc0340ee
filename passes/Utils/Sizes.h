// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_SIZES_H
#define TESSERA_PASSES_UTILS_SIZES_H

#include "mlir/IR/Builders.h"

namespace tessera {

/// The size of a dimension of a tensor: an attribute if it is static, otherwise the value that the program made it
/// with, found by following the tensor to where its shape was said. Null if nothing says it.
mlir::OpFoldResult findSize(mlir::Value tensor, int64_t dim);

/// All dynamic sizes of a tensor, or failure with an error at the tensor.
llvm::FailureOr<llvm::SmallVector<mlir::Value>> findDynamicSizes(mlir::Value tensor);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_SIZES_H
