// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The part of an entry that is about its mesh, and a call's collectives.
#pragma once

#include "OverMpi.h"
#include "OverNccl.h"

#include <mutex>
#include <set>

namespace tsr::mesh {

/// What this rank has given to a collective, and got of it. Other threads may read it while a call counts.
struct Traffic {
  std::atomic<int64_t> calls{0}, given{0}, got{0};
};

class Entry {
public:
  Entry(Layout layout, std::string name, std::string artifact)
      : layout(std::move(layout)), traffic(this->layout.collectives.size()), name(std::move(name)),
        artifact(std::move(artifact)) {}

  const Layout layout;
  std::vector<Traffic> traffic; // of each collective
  bool isAlone() const { return layout.size() == 1; }
  /// A call was refused, or failed: the next one asks whether the others have got as far.
  void stumble() noexcept { hasStumbled.store(true, std::memory_order_relaxed); }

private:
  friend class Call;
  struct Route { // one for each collective
    Group *group = nullptr;
    bool isUnderWay = false;
    OverMpi overMpi; // of these, one
    OverNccl overNccl;
  };
  void place();
  void agree(const int64_t *symbols, size_t numSymbols, cuda::Device *gpu);

  const std::string name, artifact; // its digest
  std::vector<int64_t> coordinates; // empty: not placed yet
  std::vector<Route> routes;
  std::set<std::string> agreed; // what all ranks have run before
  std::atomic<bool> hasStumbled{false};
};

/// While this lives no other thread calls an entry on a mesh: ranks must run collectives in one order.
class Call {
public:
  /// Compares notes with the other ranks where something is new. Throws Error.
  Call(Entry &entry, const int64_t *symbols, size_t numSymbols, cuda::Device *gpu);
  ~Call();
  Call(const Call &) = delete;

  // These throw Error. `gpu` is null on the CPU. `isAwaited`: the wait follows, and nothing else is under way.
  void start(size_t index, const void *source, void *target, int64_t count, cuda::Call *gpu, bool isAwaited = false);
  void wait(size_t index, cuda::Call *gpu);
  void run(size_t index, const void *source, void *target, int64_t count, cuda::Call *gpu);
  int64_t coordinate(size_t axis) const;
  /// Lets the call's stream wait for what is under way, where the program ended before it should.
  void join(cuda::Call &gpu) noexcept;

private:
  template <class Body> void explain(const Collective &collective, Body &&body);
  Entry::Route &route(size_t index);

  Entry &entry;
  std::unique_lock<std::mutex> lock;
};

// The functions of tsr_api, for the thread's call.
int32_t apiStart(int32_t index, const void *source, void *target, int64_t count);
int32_t apiWait(int32_t index);
int32_t apiRun(int32_t index, const void *source, void *target, int64_t count);
int64_t apiAxisIndex(int32_t axis);

} // namespace tsr::mesh
