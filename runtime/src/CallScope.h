// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where compiled code reports errors. A call owns a scope; the threads that work for it point at the same one, so that
// a failure in any of them fails the call, and the first one is the one told.
#pragma once

#include "Status.h"

#include <atomic>
#include <mutex>

namespace tsr {

namespace cuda {
class Call;
}
namespace mesh {
class Call;
}
class Watch;

class CallScope {
public:
  explicit CallScope(cuda::Call *gpu = nullptr, mesh::Call *mesh = nullptr, Watch *watch = nullptr)
      : gpu(gpu), mesh(mesh), watch(watch) {}
  /// The call's device and stream; null on the CPU.
  cuda::Call *const gpu;
  /// The call's collectives; null where the entry has no mesh.
  mesh::Call *const mesh;
  /// What is done with the values of a program for debugging; null for others.
  Watch *const watch;

  bool failed() const { return number.load(std::memory_order_relaxed) != 0; }

  void fail(int32_t code, std::string text) {
    std::lock_guard<std::mutex> lock(mutex);
    if (failed())
      return;
    message = std::move(text);
    number.store(code ? code : static_cast<int32_t>(Code::kernel), std::memory_order_release);
  }

  int32_t code() const { return number.load(std::memory_order_acquire); }
  const std::string &text() const { return message; }

  /// The scope that this thread works for, or null.
  static thread_local CallScope *current;

  /// Makes a scope the thread's own for as long as it lives.
  class Enter {
  public:
    explicit Enter(CallScope *scope) : previous(current) { current = scope; }
    ~Enter() { current = previous; }
    Enter(const Enter &) = delete;
    Enter &operator=(const Enter &) = delete;

  private:
    CallScope *previous;
  };

private:
  std::atomic<int32_t> number{0};
  std::mutex mutex;
  std::string message;
};

/// Runs `body(scope)` for compiled code, which has no exceptions: what it throws becomes the call's error, and a
/// number.
template <class Body> int32_t reporting(Body &&body) noexcept {
  CallScope *scope = CallScope::current;
  Error error;
  try {
    if (!scope)
      refuse(Code::internal, "compiled code uses a GPU or a mesh outside of a call");
    body(*scope);
    return 0;
  } catch (Error &thrown) {
    error = std::move(thrown);
  } catch (const std::bad_alloc &) {
    error = {Code::out_of_memory, {}};
  }
  if (scope)
    scope->fail(static_cast<int32_t>(error.code), std::move(error.message));
  else
    setLastError(static_cast<int32_t>(error.code), error.message);
  return static_cast<int32_t>(error.code);
}

} // namespace tsr
