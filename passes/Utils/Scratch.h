// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_SCRATCH_H
#define TESSERA_PASSES_UTILS_SCRATCH_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace tessera {

inline constexpr int64_t kScratchAlignment = 64;
/// Shared memory that a block of an sm_80 may have; newer architectures allow more.
inline constexpr int64_t kSharedBytes = 163 * 1024;

/// The type of an allocation with a constant bound for each size that has one.
mlir::MemRefType findBoundedType(mlir::memref::AllocOp alloc);

/// The shared memory that a static type takes.
int64_t sharedBytesOf(mlir::MemRefType type);

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_SCRATCH_H
