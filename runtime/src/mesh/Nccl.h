// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NCCL, opened when a mesh first needs it, and this rank's GPU. Making communicators does not block: it is asked for
// until it is done, or the deadline comes. Queueing a collective does, as NCCL otherwise starts a thread for each,
// which takes longer than all the rest; the watch ends what is not queued in time.
#pragma once

#include "../cuda/Device.h"
#include "Control.h"
#include "Group.h"
#include "NcclApi.h"

#include <atomic>
#include <mutex>

namespace tsr::mesh {

class Nccl {
public:
  /// Makes the communicator of all ranks at first: all come here. A rank has one GPU. Throws Error (no_nccl, no_answer,
  /// communication, device).
  static Nccl &get(cuda::Device &device, Control &control);
  static Nccl *started() noexcept;

  /// Makes the group's communicator; all ranks come here. Throws Error.
  void split(Group &group);
  /// Calls NCCL to queue work on a group's communicator, and may wait for the group's other ranks, which connect at the
  /// first of a kind; `abort` ends that. Throws Error (mesh_failed).
  template <class Body> ncclResult_t queue(Body &&body) {
    std::lock_guard<std::timed_mutex> lock(mutex);
    requireUsable();
    return body();
  }
  /// Throws Error (communication), or (mesh_failed) where NCCL was aborted.
  void check(ncclComm_t comm, ncclResult_t result, const char *what) const;
  /// Ends what is under way on all communicators, for good. It may take its time.
  void abort() noexcept;
  /// Throws Error (communication) if a communicator met an error.
  void checkAll();

  NcclFunctions call;
  cuda::Device &device;
  Control &control;
  std::vector<int32_t> everyone; // all ranks
  /// Where collectives run beside the calls' streams; those that are captured in a graph have a stream of their own, as
  /// it belongs to the capture until that ends.
  cuda::CUstream stream = nullptr, capturedStream = nullptr;
  /// The end of the last collective that was not captured: they run in one order, on whatever streams. No capture's.
  cuda::CUevent last = nullptr;

private:
  Nccl(cuda::Device &device, Control &control);
  void connect();
  void requireUsable() const;
  /// Calls NCCL for what makes a communicator, and waits for it. Throws Error (no_answer, communication).
  template <class Body> void make(const ncclComm_t &comm, const char *what, Body &&body);

  std::timed_mutex mutex; // of calls of NCCL, and of the rest
  std::atomic<bool> isAborted{false};
  ncclComm_t worldComm = nullptr;
  std::vector<ncclComm_t> comms; // all of them
};

} // namespace tsr::mesh
