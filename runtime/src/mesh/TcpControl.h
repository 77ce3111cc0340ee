// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What ranks tell each other where there is no MPI: each has a connection to a coordinator, a thread of rank 0, which
// passes frames on and tells whose connection ended.
#pragma once

#include "Control.h"
#include "Socket.h"

#include <mutex>
#include <set>

namespace tsr::mesh {

class TcpControl final : public Control {
public:
  /// Rank 0 listens there, and all connect to it. Throws Error (rendezvous, no_answer).
  explicit TcpControl(const Address &address);
  std::vector<std::string> exchange(const std::string &mine) override;
  void announce(Step step) override;
  int64_t heard(int32_t rank, int32_t group) override;
  bool isGone(int32_t rank) override;
  /// This process ends as it should.
  void sayGoodbye() noexcept;

private:
  void listen();
  void hear(const Frame &frame);

  std::mutex mutex;
  Socket socket;
  std::vector<int32_t> everyone;
  int64_t exchanges = 0;
  std::string collected; // of an exchange
  bool isCollected = false;
  std::set<int32_t> gone;
  KnownSteps known;
  Step told{-1, -1, nullptr};
};

/// How ranks on GPUs talk: over MPI where its launcher started them, else over sockets. Throws Error.
Control &controlForGpus();

} // namespace tsr::mesh
