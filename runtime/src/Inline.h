// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#pragma once

#include <cstddef>
#include <memory>

namespace tsr {

/// An array whose length is known when it is made; short ones live in the object, as nearly all do.
template <class T, size_t N> class Inline {
public:
  explicit Inline(size_t size) : heap(size > N ? new T[size] : nullptr), items(size > N ? heap.get() : local) {}
  Inline(const Inline &) = delete;
  Inline &operator=(const Inline &) = delete;
  T &operator[](size_t index) { return items[index]; }
  T *data() { return items; }

private:
  T local[N];
  std::unique_ptr<T[]> heap;
  T *items;
};

} // namespace tsr
