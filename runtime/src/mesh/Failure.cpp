// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Failure.h"

#include "Mpi.h"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <unistd.h>

namespace tsr::mesh {

namespace {

std::atomic<const Error *> failure{nullptr}; // never freed
std::atomic<bool> isTold{false};
std::mutex hookMutex;
FailureHook hook = nullptr;
void *hookContext = nullptr;

constexpr double leaveSeconds = 5; // for what ends after a failure

void write(const std::string &message) noexcept {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
}

/// Runs while the process ends, which ends it too.
void watchEnd() noexcept {
  try {
    const bool failedBefore = hasFailed();
    const Deadline deadline(failedBefore ? leaveSeconds : timeout());
    Control &control = Mpi::started()->control();
    double goneSince = -1;
    while (!deadline.isOver() && (goneSince < 0 || deadline.elapsed() < goneSince + 2 * leaveSeconds)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      for (int32_t rank = 0; rank < world().size && goneSince < 0; ++rank)
        if (control.isGone(rank)) // or it is only faster, and this process about to end as well
          goneSince = deadline.elapsed();
    }
    if (!failedBefore) // otherwise it is told already
      write(text("tessera: rank ", world().rank, ": other ranks do not come to MPI's end\n"));
  } catch (...) { // no memory: the process ends all the same
  }
  _exit(1);
}

} // namespace

void recordFailure(const Error &error) noexcept {
  try {
    auto copy = std::make_unique<const Error>(error);
    const Error *none = nullptr;
    if (failure.compare_exchange_strong(none, copy.get()))
      copy.release();
  } catch (const std::bad_alloc &) {
    static const Error noMemory{Code::out_of_memory, {}};
    const Error *none = nullptr;
    failure.compare_exchange_strong(none, &noMemory);
  }
}

bool hasFailed() noexcept { return failure.load(std::memory_order_acquire); }

void requireNoFailure() {
  const Error *known = failure.load(std::memory_order_acquire);
  if (!known)
    return;
  isTold = true;
  refuse(Code::mesh_failed, "meshes take no more calls in this process after a failure: ", known->message);
}

void failAfterFork() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    static const Error forked{Code::mesh_failed, "the process has forked from one of a mesh"};
    failure.store(&forked);
  });
  (void)registered;
}

void setFailureHook(FailureHook chosen, void *context) noexcept {
  std::lock_guard<std::mutex> lock(hookMutex);
  hook = chosen;
  hookContext = context;
}

void announceFailure(const Error &error) noexcept {
  if (hasFailed())
    return;
  recordFailure(error);
  std::lock_guard<std::mutex> lock(hookMutex);
  isTold = hook != nullptr;
  if (hook)
    hook(hookContext, static_cast<int32_t>(error.code), error.message.c_str());
}

void failAtExit() {
  on_exit(
      [](int status, void *) {
        const Error *known = failure.load(std::memory_order_acquire);
        if (!known || isTold || status != 0)
          return;
        write(text("tessera: ", known->message, "\n"));
        _exit(1);
      },
      nullptr);
}

void leave() noexcept {
  static std::atomic<bool> isLeaving{false};
  if (!Mpi::started() || isLeaving.exchange(true))
    return;
  try {
    std::thread(watchEnd).detach();
  } catch (...) { // no thread to be had: the launcher has to end it
  }
}

} // namespace tsr::mesh
