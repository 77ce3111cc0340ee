// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "Mpi.h"

#include <mutex>

namespace tsr::mesh {

/// Which process a rank is, as far as it can be looked up: by others on the same machine.
struct Identity {
  uint64_t machine;   // and its space of process numbers
  uint64_t startTime; // tells a process from a later one with its number
  int64_t process;
  static Identity own();
  bool hasEnded() const;
};

class MpiControl final : public Control {
public:
  MpiControl(const Mpi &mpi, MpiHandle world);
  std::vector<std::string> exchange(const std::string &mine) override;
  void announce(Step step) override;
  int64_t heard(int32_t rank, int32_t group) override;
  bool isGone(int32_t rank) override;

private:
  struct Note {
    int32_t rank, group;
    int64_t number;
  };
  void listen();
  void tell(const std::vector<int32_t> &ranks);

  const Mpi &mpi;
  const MpiHandle world;
  std::vector<int32_t> everyone;
  std::vector<Identity> identities; // by rank; empty before they are known
  int64_t exchanges = 0;
  std::mutex mutex; // of the rest
  Note told{-1, -1, -1}, hearing{};
  MpiHandle listening = 0;
  std::vector<MpiHandle> telling;
  KnownSteps known;
};

} // namespace tsr::mesh
