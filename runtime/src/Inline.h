// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#pragma once

#include <cstddef>
#include <memory>

namespace tsr {

/// An array whose length is known when it is made; short ones live in the object, as nearly all do. Only the items that
/// there are get made.
template <class T, size_t N> class Inline {
public:
  explicit Inline(size_t size)
      : size(size), items(size > N ? std::allocator<T>().allocate(size) : reinterpret_cast<T *>(local)) {
    std::uninitialized_default_construct_n(items, size);
  }
  ~Inline() {
    std::destroy_n(items, size);
    if (size > N)
      std::allocator<T>().deallocate(items, size);
  }
  Inline(const Inline &) = delete;
  Inline &operator=(const Inline &) = delete;
  T &operator[](size_t index) { return items[index]; }
  T *data() { return items; }

private:
  alignas(T) std::byte local[N * sizeof(T)];
  const size_t size;
  T *const items;
};

} // namespace tsr
