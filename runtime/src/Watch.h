// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What happens to the values that a program for debugging shows: they are checked, or handed to who watches the call.
#pragma once

#include "CallScope.h"
#include "Manifest.h"

#include <chrono>

namespace tsr {

/// Of one call. Its time starts when it is made.
class Watch {
public:
  /// `observer` may be null: values are checked then.
  Watch(const Variant &variant, const tsr_observer *observer) : variant(variant), observer(observer) {}
  /// Throws Error (not_finite, observer).
  void observe(cuda::Call *gpu, int32_t index, const void *memory, const int64_t *shape);

private:
  void tellTime(const ComputedValue &value);

  using Clock = std::chrono::steady_clock;
  const Variant &variant;
  const tsr_observer *const observer;
  Clock::time_point start = Clock::now(); // of the kernel that runs
};

/// tsr_api.observe.
int32_t apiObserve(int32_t index, const void *memory, const int64_t *shape);

} // namespace tsr
