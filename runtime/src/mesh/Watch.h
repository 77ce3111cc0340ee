// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thread that watches collectives on the GPU, as no other waits for them. At a failure it aborts NCCL, so that
// whoever waits for the GPU goes on, and announces the failure, as what comes then is no result.
#pragma once

#include "Nccl.h"

#include <list>
#include <optional>

namespace tsr::mesh {

class Watch {
public:
  /// One collective on NCCL's stream, or a graph with some.
  struct Flight {
    cuda::CUevent ready = nullptr, done = nullptr; // what it waits for; itself
    std::string label;
    Step step;
    bool isReplay = false, isFlying = false, isReleased = false;
    std::optional<Waiting> waiting; // since the GPU came to it
  };
  using Handle = std::list<Flight>::iterator;

  static void start(Nccl &nccl);
  /// Null before NCCL was started.
  static Watch *get() noexcept;

  /// Makes events for one. Throws Error (cuda).
  Handle take();
  /// Both events are recorded: it is watched until it is done.
  void add(Handle flight, const std::string &label, Step step, bool isReplay);
  /// Its events are not used any more, unless by the watch.
  void release(Handle flight);
  /// Launches a graph that has some. Throws Error.
  void replay(const std::string &label, cuda::CUstream stream, const std::function<void()> &launch);
  /// Some are in a graph, whose replays may not be told.
  void noteCapture() { anyCaptured = true; }

private:
  explicit Watch(Nccl &nccl) : nccl(nccl) {}
  void run() noexcept;
  void look(std::string &at);
  bool isDone(cuda::CUevent event);
  void retire(Handle flight);
  void lookForLostRanks();

  Nccl &nccl;
  std::mutex mutex;
  std::list<Flight> spare, used, flying;
  std::atomic<bool> anyCaptured{false};
  unsigned looks = 0;
};

} // namespace tsr::mesh
