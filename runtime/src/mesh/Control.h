// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the ranks of the world talk beside their data: they compare what they are about to run, and find out who is
// missing. Over MPI where it is there, else over sockets.
#pragma once

#include "Waiting.h"

#include <algorithm>
#include <map>

namespace tsr::mesh {

class Control {
public:
  virtual ~Control() = default;
  /// All ranks' bytes, by rank. Every rank comes here, with as many. Throws Error (no_answer, communication).
  virtual std::vector<std::string> exchange(const std::string &mine) = 0;
  /// Tells the others of a group that this rank waits in a step, once, and hears what they told.
  virtual void announce(Step step) = 0;
  /// The last step of a group that a rank is known to have come to; -1: none.
  virtual int64_t heard(int32_t rank, int32_t group) = 0;
  /// Whether a rank's process is known to have ended.
  virtual bool isGone(int32_t rank) = 0;
};

/// What `Control::heard` tells from.
class KnownSteps {
public:
  void note(int32_t rank, int32_t group, int64_t number) {
    int64_t &last = steps.try_emplace({rank, group}, -1).first->second;
    last = std::max(last, number);
  }
  int64_t last(int32_t rank, int32_t group) const {
    const auto found = steps.find({rank, group});
    return found == steps.end() ? -1 : found->second;
  }

private:
  std::map<std::pair<int32_t, int32_t>, int64_t> steps; // by rank and group
};

/// The bytes of each rank, of which all have as many.
inline std::vector<std::string> splitByRank(const std::string &all, size_t ranks) {
  const size_t each = all.size() / ranks;
  std::vector<std::string> result;
  for (size_t rank = 0; rank < ranks; ++rank)
    result.push_back(all.substr(rank * each, each));
  return result;
}

} // namespace tsr::mesh
