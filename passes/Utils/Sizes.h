// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_SIZES_H
#define TESSERA_PASSES_UTILS_SIZES_H

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"

namespace tessera {

/// The size of a dimension of a tensor: an attribute if it is static, otherwise the value that the program made it
/// with, found by following the tensor to where its shape was said. Null if nothing says it.
mlir::OpFoldResult findSize(mlir::Value tensor, int64_t dim);

/// All dynamic sizes of a tensor, or failure with an error at the tensor.
llvm::FailureOr<llvm::SmallVector<mlir::Value>> findDynamicSizes(mlir::Value tensor);

/// The most that an index, or a dimension of a shaped value, can be; nothing where none is known.
std::optional<int64_t> findUpperBound(const mlir::ValueBoundsConstraintSet::Variable &size);

/// The size of each of so many equal parts.
mlir::OpFoldResult divideSize(mlir::OpBuilder &b, mlir::Location loc, mlir::OpFoldResult size, int64_t parts);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_SIZES_H
