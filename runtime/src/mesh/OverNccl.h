// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Collectives of arrays on a GPU. What the program does beside one runs on the call's stream, and the collective on
// NCCL's, tied to it by events; where it does nothing beside, both run on the call's. No host thread waits.
#pragma once

#include "../cuda/Call.h"
#include "Watch.h"

namespace tsr::mesh {

/// A collective that is under way.
struct OverNccl {
  Watch::Handle flight;
  bool isFlying = false;

  /// Makes the group's communicator where it has none; all ranks come here. Throws Error.
  static void prepare(Group &group, cuda::Device &device, Control &control);
  /// Throws Error. `isAwaited`: the call's stream waits at once.
  void start(const Collective &collective, Group &group, const void *source, void *target, int64_t count,
             cuda::Call &call, bool isAwaited);
  /// The call's stream waits. Throws Error (cuda).
  void wait(cuda::Call &call);
  /// The same where an error is on its way already.
  void join(cuda::Call &call) noexcept;
};

} // namespace tsr::mesh
