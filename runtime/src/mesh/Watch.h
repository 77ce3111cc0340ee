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
  /// One collective, or a graph with some.
  struct Flight {
    cuda::CUevent ready = nullptr, done = nullptr; // what it waits for; itself
    std::string label;
    Step step;
    bool isReplay = false, isQueueing = false, isFlying = false, isReleased = false;
    std::optional<Waiting> waiting; // since it is being queued, and anew since the GPU came to it
    std::optional<Error> notQueued; // it took too long
  };
  using Handle = std::list<Flight>::iterator;

  static void start(Nccl &nccl);
  /// Null before NCCL was started.
  static Watch *get() noexcept;

  /// Makes events for one. Throws Error (cuda).
  Handle take();
  /// It is watched while it is being queued, which may take its time, and then until it is done.
  void add(Handle flight, const std::string &label, Step step, bool isReplay);
  /// It is queued, and both its events are recorded; or it is part of a capture, and not watched. Throws Error
  /// (no_answer) if it was given up, and NCCL told to end it.
  void queued(Handle flight, bool isCaptured);
  /// Its events are not used any more, unless by the watch.
  void release(Handle flight);
  /// Launches a graph that has some. Throws Error.
  void replay(const std::string &label, cuda::CUstream stream, const std::function<void()> &launch);

private:
  explicit Watch(Nccl &nccl) : nccl(nccl) {}
  void run() noexcept;
  void look(std::string &at);
  bool isDone(cuda::CUevent event);
  void retire(Handle flight);
  bool isTold();

  Nccl &nccl;
  std::mutex mutex;
  std::list<Flight> spare, used, flying;
  bool anyCaptured = false; // some are in a graph, whose replays may not be told
  unsigned looks = 0;
};

} // namespace tsr::mesh
