// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the manifest says of an entry on a mesh: the grid of ranks, and the collectives that its program runs.
#pragma once

#include "../Json.h"
#include "../Tensor.h"

#include <optional>
#include <vector>

namespace tsr::mesh {

enum class Kind { allReduce, allGather, reduceScatter, allToAll, broadcast, shift };
enum class Reduction { none, sum, max, min, prod };

struct Collective {
  Kind kind;
  std::vector<size_t> axes; // of the mesh
  Reduction reduction = Reduction::none;
  tsr_dtype dtype;
  int32_t root = 0;       // of a broadcast: its place in the group
  int64_t offset = 0;     // of a shift
  bool isPeriodic = true; // likewise
  std::string label;      // "all_reduce(sum) over axis 'data' at model.py:12"
};

/// Ranks that a collective runs among, in the order of their places.
struct Members {
  std::vector<int32_t> ranks;
  size_t place; // this process's
};

struct Layout {
  std::vector<int64_t> shape;
  std::vector<std::string> axes;
  std::vector<int32_t> ranks; // at each place of the grid, in C order
  std::vector<Collective> collectives;

  size_t size() const { return ranks.size(); }
  std::vector<int64_t> coordinates(int32_t rank) const;
  /// The ranks that differ from this one along these axes alone, the last axis fastest.
  Members group(const std::vector<size_t> &axes, int32_t rank) const;
};

/// The mesh axes that cut each dimension of a value. Throws Error (manifest).
std::vector<std::vector<size_t>> parseSharding(const Json &value, const Layout &layout);

/// Of a manifest's entry; none where it is not on a mesh. Throws Error (manifest).
std::optional<Layout> parseLayout(const Json &entry);

} // namespace tsr::mesh
