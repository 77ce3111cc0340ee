// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the runtime needs to know of a tensor: its dtype's name, its extent in memory, a contiguous copy.
#pragma once

#include "Status.h"

#include <optional>
#include <string_view>

namespace tsr {

constexpr tsr_dtype f32{TSR_FLOAT, 32, 1};

inline bool operator==(tsr_dtype a, tsr_dtype b) { return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes; }
inline bool operator!=(tsr_dtype a, tsr_dtype b) { return !(a == b); }

/// Tessera's name ("bf16"), or a description of a dtype that it does not have ("uint16").
std::string dtypeName(tsr_dtype dtype);
std::optional<tsr_dtype> dtypeOfName(std::string_view name);
inline int64_t itemSize(tsr_dtype dtype) { return (dtype.bits * dtype.lanes + 7) / 8; }

inline uint8_t *address(const tsr_tensor &tensor) { return static_cast<uint8_t *>(tensor.data) + tensor.byte_offset; }

inline bool isOnHost(const tsr_tensor &tensor) {
  return tensor.device.type == TSR_CPU || tensor.device.type == TSR_CUDA_HOST;
}
inline bool isOnGpu(const tsr_tensor &tensor, int32_t id) {
  return tensor.device.type == TSR_CUDA && tensor.device.id == id;
}
/// What kernels rely on, for 16-byte accesses.
inline bool isAlignedForGpu(const void *memory) { return reinterpret_cast<uintptr_t>(memory) % 16 == 0; }

/// Product of sizes times `item`; false when one is negative or it does not fit.
bool byteSize(const int64_t *shape, int32_t rank, int64_t item, int64_t &bytes);
bool isContiguous(const tsr_tensor &tensor);
inline bool isAligned(const tsr_tensor &tensor) {
  return reinterpret_cast<uintptr_t>(address(tensor)) % static_cast<uintptr_t>(itemSize(tensor.dtype)) == 0;
}

/// The addresses that a tensor's elements span, [begin, end); gaps between strided elements count as part of it.
struct Extent {
  uintptr_t begin, end;
  bool overlaps(const Extent &other) const { return begin < other.end && other.begin < end; }
};
Extent extentOf(const tsr_tensor &tensor);

/// Writes the elements in row-major order to `target`, which is aligned and large enough.
void copyContiguous(const tsr_tensor &tensor, void *target);

std::string shapeText(const int64_t *shape, int32_t rank);

} // namespace tsr
