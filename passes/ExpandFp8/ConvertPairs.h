// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EXPANDFP8_CONVERTPAIRS_H
#define TESSERA_PASSES_EXPANDFP8_CONVERTPAIRS_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace tessera {

/// Whether an operation is in a kernel for a device that converts pairs of 8-bit floats by instructions.
bool convertsPairs(mlir::Operation *op);

/// The f16 of codes (i8, or a vector of them) of an 8-bit type.
mlir::Value widenPairs(mlir::ImplicitLocOpBuilder &b, mlir::Value codes, mlir::Type element);

/// The codes of f32 in an 8-bit type; what is too large becomes the largest number, and the sign of NaN is lost.
mlir::Value narrowPairs(mlir::ImplicitLocOpBuilder &b, mlir::Value numbers, mlir::Type element);

} // namespace tessera

#endif // TESSERA_PASSES_EXPANDFP8_CONVERTPAIRS_H
