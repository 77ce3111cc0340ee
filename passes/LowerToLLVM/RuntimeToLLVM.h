// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_LOWERTOLLVM_RUNTIMETOLLVM_H
#define TESSERA_PASSES_LOWERTOLLVM_RUNTIMETOLLVM_H

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/IR/PatternMatch.h"

namespace tessera {

inline constexpr llvm::StringLiteral kRuntimeSlot = "tsr_runtime";

/// Patterns for buffers, on the host and in kernels.
void populateBuffersToLLVM(mlir::LLVMTypeConverter &converter, mlir::RewritePatternSet &patterns);

/// Patterns from rt, and from allocations, to the llvm dialect.
void populateRuntimeToLLVM(mlir::LLVMTypeConverter &converter, mlir::RewritePatternSet &patterns);

} // namespace tessera

#endif // TESSERA_PASSES_LOWERTOLLVM_RUNTIMETOLLVM_H
