// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Collectives of arrays in host memory.
#pragma once

#include "Group.h"
#include "Mpi.h"

namespace tsr::mesh {

/// A collective that is under way.
struct OverMpi {
  int64_t step = 0;
  MpiHandle requests[2] = {};
  size_t count = 0;

  /// Makes the group's communicator where it has none; all ranks come here. Throws Error (no_answer).
  static void prepare(Group &group);
  void start(const Collective &collective, Group &group, const void *source, void *target, int64_t count);
  /// Throws Error (no_answer, communication).
  void wait(const Group &group);
};

} // namespace tsr::mesh
