// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A view of untrusted bytes. Every read is checked; a failure names what was read and where.
#pragma once

#include "Status.h"

#include <cstring>
#include <string_view>
#include <type_traits>

namespace tsr {

struct Bytes {
  const uint8_t *data = nullptr;
  uint64_t size = 0;
  Code code = Code::zip;     // the error that a read out of bounds is
  const char *what = "file"; // and its subject

  Bytes slice(uint64_t offset, uint64_t length) const {
    if (offset > size || length > size - offset)
      refuse(code, what, " is truncated or damaged: needs ", length, " bytes at ", offset, ", holds ", size);
    return {data + offset, length, code, what};
  }

  template <class T> T read(uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, slice(offset, sizeof(T)).data, sizeof(T)); // x86-64: little-endian, as the formats are
    return value;
  }

  std::string_view string() const { return {reinterpret_cast<const char *>(data), size}; }
  Bytes as(Code newCode, const char *newWhat) const { return {data, size, newCode, newWhat}; }
};

} // namespace tsr
