// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_EXPANDMATH_EXPANDMATH_H
#define TESSERA_PASSES_EXPANDMATH_EXPANDMATH_H

#include "mlir/IR/PatternMatch.h"

namespace mlir {
class ImplicitLocOpBuilder;
} // namespace mlir

namespace tessera {

/// The order of tsr_math in runtime.h.
enum class Libm { Exp, Exp2, Expm1, Log, Log2, Log1p, Sin, Cos, Tanh, Erf, Pow, Fmod };

/// Calls the runtime's function for each element of `x`, and of `y` where it takes two.
mlir::Value callRuntime(mlir::ImplicitLocOpBuilder &b, mlir::Value x, Libm function, mlir::Value y = {});

void populateTrigonometryExpansion(mlir::RewritePatternSet &patterns);

} // namespace tessera

#endif // TESSERA_PASSES_EXPANDMATH_EXPANDMATH_H
