// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reductions of the fake NCCL.
#pragma once

#include "../../runtime/src/mesh/NcclApi.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace fake {

struct Bfloat16 {
  uint16_t bits;
  Bfloat16() = default;
  Bfloat16(double value) {
    const float narrow = static_cast<float>(value);
    uint32_t word;
    std::memcpy(&word, &narrow, sizeof word);
    bits = static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
  operator double() const {
    const uint32_t word = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }
};

/// Calls `body` with a value of the type.
template <class Body> void withType(tsr::mesh::ncclDataType_t type, Body &&body) {
  using namespace tsr::mesh;
  switch (type) {
  case ncclInt8:
    return body(int8_t());
  case ncclUint8:
    return body(uint8_t());
  case ncclInt32:
    return body(int32_t());
  case ncclInt64:
    return body(int64_t());
  case ncclFloat16:
    return body(_Float16());
  case ncclFloat32:
    return body(float());
  case ncclFloat64:
    return body(double());
  case ncclBfloat16:
    return body(Bfloat16());
  }
}

inline size_t sizeOf(tsr::mesh::ncclDataType_t type) {
  size_t size = 0;
  withType(type, [&](auto value) { size = sizeof value; });
  return size;
}

inline double combine(double a, double b, tsr::mesh::ncclRedOp_t op) {
  using namespace tsr::mesh;
  return op == ncclSum ? a + b : op == ncclProd ? a * b : op == ncclMax ? std::max(a, b) : std::min(a, b);
}

/// Of the ranks' arrays, `count` elements from a byte on.
inline void reduce(const std::vector<std::string> &all, size_t offset, size_t count, tsr::mesh::ncclDataType_t type,
                   tsr::mesh::ncclRedOp_t op, void *target) {
  withType(type, [&](auto value) {
    using T = decltype(value);
    for (size_t i = 0; i < count; ++i) {
      double result = 0;
      for (size_t rank = 0; rank < all.size(); ++rank) {
        std::memcpy(&value, all[rank].data() + offset + i * sizeof(T), sizeof(T));
        result = rank == 0 ? static_cast<double>(value) : combine(result, static_cast<double>(value), op);
      }
      value = T(result);
      std::memcpy(static_cast<char *>(target) + i * sizeof(T), &value, sizeof(T));
    }
  });
}

} // namespace fake
