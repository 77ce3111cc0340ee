// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// This process among those that a launcher started, and how long they wait for each other.
#pragma once

#include "../Status.h"

namespace tsr::mesh {

struct World {
  int32_t rank = 0, size = 1, localRank = 0; // localRank: among those of this machine
  std::string source;                        // "mpiexec (PMI_RANK, PMI_SIZE)"; "" without a launcher
  bool isByMpi = false;                      // the launcher is MPI's
};

/// From the launcher's environment variables. Throws Error (world) where they are incomplete or contradict each other.
const World &world();

/// Seconds that a rank waits for the others. Throws Error (mesh_timeout).
double timeout();
void setTimeout(double seconds);

} // namespace tsr::mesh
