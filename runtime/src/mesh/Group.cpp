// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Group.h"

#include "World.h"

#include <algorithm>
#include <map>
#include <memory>

namespace tsr::mesh {

Group &groupAlong(const Layout &layout, const std::vector<size_t> &axes) {
  // The groups of all ranks tell which division of the world this is: two meshes may have this rank's group in common.
  using Division = std::vector<std::pair<int32_t, size_t>>; // by rank: the group's lowest rank, the place in it
  static auto &groups = *new std::map<Division, std::unique_ptr<Group>>; // threads use them until the process ends
  Division division;
  for (int32_t rank = 0; rank < static_cast<int32_t>(layout.size()); ++rank) {
    const Members members = layout.group(axes, rank);
    division.emplace_back(*std::min_element(members.ranks.begin(), members.ranks.end()), members.place);
  }
  const size_t own = static_cast<size_t>(world().rank);
  std::unique_ptr<Group> &group = groups[division];
  if (!group)
    group.reset(new Group{static_cast<int32_t>(groups.size()), layout.group(axes, world().rank), division[own].first});
  return *group;
}

} // namespace tsr::mesh
