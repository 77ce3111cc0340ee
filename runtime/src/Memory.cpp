// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Memory.h"

#include "cuda/Device.h"

#include <array>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <sys/mman.h>

namespace tsr {

namespace {

constexpr int64_t alignment = 64, hugePage = int64_t(1) << 21;

/// Lies in the 64 bytes before a block.
struct Header {
  int64_t capacity;
  void *start; // what malloc gave
};

Header *headerOf(void *memory) { return reinterpret_cast<Header *>(static_cast<uint8_t *>(memory) - alignment); }

int64_t roundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

void *allocateBlock(int64_t bytes) {
  const bool huge = bytes >= 2 * hugePage;
  // Large blocks in whole huge pages, where the system has them: a 32 MiB output then takes 16 faults and not 8192.
  int64_t capacity = huge ? roundUp(bytes + alignment, hugePage) - alignment : roundUp(bytes, alignment);
  size_t total = static_cast<size_t>(capacity + alignment);
  void *start = std::aligned_alloc(static_cast<size_t>(huge ? hugePage : alignment), total);
  if (!start)
    return nullptr;
  if (huge)
    madvise(start, total, MADV_HUGEPAGE);
  void *memory = static_cast<uint8_t *>(start) + alignment;
  *headerOf(memory) = {capacity, start};
  return memory;
}

/// A few free blocks, oldest first. Small enough that a linear search is the fastest one.
class BlockCache {
public:
  explicit constexpr BlockCache(int64_t limit) : limit(limit) {}
  ~BlockCache() { clear(); }

  /// A free block that fits without wasting more than itself; the latest first, as its bytes may still be in cache.
  void *take(int64_t bytes) {
    for (int i = count - 1; i >= 0; --i) {
      int64_t capacity = headerOf(blocks[i])->capacity;
      if (capacity < bytes || capacity > 2 * bytes + 4096)
        continue;
      return pop(i);
    }
    return nullptr;
  }

  void put(void *memory) {
    int64_t capacity = headerOf(memory)->capacity;
    if (capacity > limit)
      return release(memory);
    while (count == maxBlocks || held + capacity > limit)
      release(pop(0));
    blocks[count++] = memory;
    held += capacity;
  }

  void clear() {
    while (count)
      release(pop(count - 1));
  }

private:
  static constexpr int maxBlocks = 16;

  static void release(void *memory) { std::free(headerOf(memory)->start); }

  void *pop(int index) {
    void *memory = blocks[index];
    held -= headerOf(memory)->capacity;
    for (int i = index; i + 1 < count; ++i)
      blocks[i] = blocks[i + 1];
    --count;
    return memory;
  }

  void *blocks[maxBlocks] = {};
  int count = 0;
  int64_t held = 0;
  const int64_t limit;
};

thread_local BlockCache scratchCache(int64_t(512) << 20);

/// Never destroyed: outputs may be freed while the process ends.
struct Pool {
  std::mutex mutex;
  BlockCache cache{int64_t(1) << 30};
};
Pool &pool() {
  static Pool &instance = *[] {
    auto *created = new Pool;
    // A child forked while another thread holds the lock would wait for a thread that it does not have.
    pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });
    return created;
  }();
  return instance;
}

constexpr int64_t maxBytes = int64_t(1) << 46; // no machine has more; keeps the rounding from overflowing

} // namespace

void *poolAllocate(int64_t bytes) noexcept {
  if (bytes < 0 || bytes > maxBytes)
    return nullptr;
  {
    std::lock_guard<std::mutex> lock(pool().mutex);
    if (void *memory = pool().cache.take(bytes))
      return memory;
  }
  return allocateBlock(bytes);
}

void poolFree(void *memory) noexcept {
  if (!memory)
    return;
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().cache.put(memory);
}

void *scratchAllocate(int64_t bytes) noexcept {
  if (bytes < 0 || bytes > maxBytes)
    return nullptr;
  void *memory = scratchCache.take(bytes);
  return memory ? memory : allocateBlock(bytes);
}

void scratchFree(void *memory) noexcept {
  if (memory)
    scratchCache.put(memory);
}

void trimMemory() noexcept {
  scratchCache.clear();
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().cache.clear();
}

Scratch requireScratch(int64_t bytes, const char *what) {
  Scratch scratch(scratchAllocate(bytes));
  if (!scratch)
    refuse(Code::out_of_memory, "no memory for ", what, " of ", bytes, " bytes");
  return scratch;
}

} // namespace tsr

extern "C" void *tsr_allocate(int64_t bytes) { return tsr::poolAllocate(bytes); }
extern "C" void tsr_free(void *memory) { tsr::poolFree(memory); }
extern "C" void tsr_trim(void) {
  tsr::trimMemory();
  tsr::cuda::trimOpened();
}
