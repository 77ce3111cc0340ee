// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one file that is compiled with OpenMP. libgomp, and not threads of our own: a process that also runs NumPy or
// PyTorch then has one kind of pool, and OMP_NUM_THREADS and thread binding mean what users expect.
#include "CallScope.h"

#include <algorithm>
#include <atomic>
#include <omp.h>
#include <pthread.h>

namespace tsr {

/// libgomp's threads do not survive a fork, and its next parallel region in the child would wait for them for ever.
static std::atomic<bool> poolLost{false};
static std::atomic<bool> poolUsed{false};

static void watchForks() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    if (poolUsed.load(std::memory_order_relaxed))
      poolLost.store(true, std::memory_order_relaxed);
  });
  (void)registered;
  poolUsed.store(true, std::memory_order_relaxed);
}

static bool runsInline(int64_t n, int64_t grain) {
  return n <= grain || omp_in_parallel() || poolLost.load(std::memory_order_relaxed) || omp_get_max_threads() == 1;
}

static int64_t ceilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }

} // namespace tsr

extern "C" void tsr_parallel_for(int64_t n, int64_t grain, void (*body)(void *, int64_t, int64_t), void *args) {
  using namespace tsr;
  if (n <= 0)
    return;
  grain = std::max<int64_t>(grain, 1);
  if (runsInline(n, grain))
    return body(args, 0, n);
  watchForks();
  // Up to four pieces a thread: enough to even out a busy core or a triangular loop, too few to cost anything. A thread
  // starts on the piece of its number, so that kernels that follow each other find their rows in the same cache.
  const int threads = static_cast<int>(std::min<int64_t>(ceilDiv(n, grain), omp_get_max_threads()));
  const int64_t grains = ceilDiv(n, grain);
  const int64_t step = ceilDiv(grains, std::min<int64_t>(grains, int64_t(threads) * 4)) * grain;
  const int64_t pieces = ceilDiv(n, step);
  std::atomic<int64_t> next{threads};
  CallScope *scope = CallScope::current;
#pragma omp parallel num_threads(threads)
  {
    CallScope::Enter enter(scope);
    for (int64_t piece = omp_get_thread_num(); piece < pieces; piece = next.fetch_add(1, std::memory_order_relaxed)) {
      if (scope && scope->failed())
        break;
      body(args, piece * step, std::min(n, piece * step + step));
    }
  }
}
