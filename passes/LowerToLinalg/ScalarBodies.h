// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What each elementwise operation does to one element.

#ifndef TESSERA_PASSES_LOWERTOLINALG_SCALARBODIES_H
#define TESSERA_PASSES_LOWERTOLINALG_SCALARBODIES_H

#include "mlir/IR/Builders.h"

namespace tessera {

/// Builds the result of elementwise `op` from one element of each operand (booleans are i1).
mlir::Value buildScalar(mlir::OpBuilder &builder, mlir::Operation *op, mlir::ValueRange elements);

/// Converts one element as tessera.cast does.
mlir::Value buildScalarCast(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value, mlir::Type to,
                            bool saturate = false);

/// A constant of an integer or float type.
mlir::Value buildNumber(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type, double value);

} // namespace tessera

#endif // TESSERA_PASSES_LOWERTOLINALG_SCALARBODIES_H
