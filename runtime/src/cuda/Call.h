// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A call in progress on a GPU, and what compiled code asks of it through tsr_api.
#pragma once

#include "Image.h"
#include "Timeline.h"

#include <optional>

namespace tsr::cuda {

/// Its device's context is the thread's while this lives.
class Call {
public:
  Call(Device &device, CUstream stream, Kernels &kernels) : device(device), stream(stream), kernels(kernels) {}
  ~Call();

  /// Takes the time of each kernel from here on. Throws Error.
  void startTimeline();
  /// Waits for the stream and tells the times.
  void report(const tsr_observer &observer) { timeline->report(observer); }

  // These throw Error.
  void launch(int32_t kernel, int64_t blocks, int64_t shared, void **arguments);
  void copy(void *target, const void *source, int64_t bytes);
  void clear(void *target, int64_t bytes);
  void read(void *target, const void *source, int64_t bytes);
  void write(void *target, const tsr_tensor &number);
  void *allocate(int64_t bytes);
  void free(void *memory) noexcept;

  Device &device;
  const CUstream stream;

private:
  Current current{device};
  Kernels &kernels;
  std::optional<Timeline> timeline;
  std::vector<void *> scratch; // what compiled code has not freed, as it may return early
};

// The functions of tsr_api, for the thread's call.
int32_t apiLaunch(int32_t kernel, int64_t blocks, int64_t shared, void *const *arguments);
int32_t apiCopy(void *target, const void *source, int64_t bytes);
int32_t apiRead(void *target, const void *source, int64_t bytes);
void *apiAllocate(int64_t bytes);
void apiFree(void *memory);

} // namespace tsr::cuda
