// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which data a rank sends, however it travels.
#pragma once

#include "Group.h"

namespace tsr::mesh {

/// Places in the group; -1: none.
struct Shift {
  int32_t to, from;
};

inline Shift shiftOf(const Collective &collective, const Group &group) {
  const int64_t size = static_cast<int64_t>(group.size()), place = static_cast<int64_t>(group.members.place);
  auto at = [&](int64_t other) {
    if (collective.isPeriodic)
      return static_cast<int32_t>(((other % size) + size) % size);
    return static_cast<int32_t>(other >= 0 && other < size ? other : -1);
  };
  return {at(place + collective.offset), at(place - collective.offset)};
}

/// Bytes of the arrays that a collective reads and writes in all.
struct Extents {
  int64_t source, target;
};

inline Extents extentsOf(const Collective &collective, const Group &group, int64_t count) {
  const int64_t one = count * itemSize(collective.dtype), all = one * static_cast<int64_t>(group.size());
  const bool spreads = collective.kind == Kind::reduceScatter || collective.kind == Kind::allToAll;
  const bool collects = collective.kind == Kind::allGather || collective.kind == Kind::allToAll;
  return {spreads ? all : one, collects ? all : one};
}

} // namespace tsr::mesh
