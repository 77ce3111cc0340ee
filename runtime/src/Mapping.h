// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bytes that an artifact is read from: a file mapped read-only, or an aligned copy of the caller's memory.
#pragma once

#include "Bytes.h"

#include <memory>

namespace tsr {

class Mapping {
public:
  static std::unique_ptr<Mapping> ofFile(const char *path);
  static std::unique_ptr<Mapping> ofCopy(const void *bytes, size_t size);
  ~Mapping();
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;

  Bytes bytes() const { return {static_cast<const uint8_t *>(memory), size, Code::zip, "artifact"}; }

private:
  Mapping(void *memory, size_t size) : memory(memory), size(size) {}
  void *memory;
  size_t size;
};

} // namespace tsr
