// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A group of ranks that run collectives among themselves. Groups are the process's: entries on equal meshes share them.
#pragma once

#include "Layout.h"
#include "MpiApi.h"
#include "NcclApi.h"

namespace tsr::mesh {

struct Group {
  int32_t number; // of this group and those beside it, the same on all ranks
  Members members;
  int32_t color; // ranks of one group have the same: their lowest
  int64_t steps = 0;
  MpiHandle mpi = 0;         // its communicators, once there are some
  ncclComm_t nccl = nullptr; // on this rank's GPU

  size_t size() const { return members.ranks.size(); }
};

/// The group of this rank along these axes. All ranks ask for the same groups in the same order, one thread at a time.
Group &groupAlong(const Layout &layout, const std::vector<size_t> &axes);

} // namespace tsr::mesh
