// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NCCL, opened when a mesh first needs it, and this rank's GPU. Communicators don't block: what they do not finish at
// once is asked for until it is, or the deadline comes.
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
  /// Calls NCCL for work on a communicator, and waits until it is queued. Throws Error (no_answer, communication).
  template <class Body> void run(const ncclComm_t &comm, const char *what, Waiting &waiting, Body &&body) {
    std::unique_lock<std::timed_mutex> lock(mutex);
    requireUsable();
    const ncclResult_t result = body(); // it may be what makes the communicator
    finish(comm, result, what, waiting, lock);
  }
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

private:
  Nccl(cuda::Device &device, Control &control);
  void connect();
  void requireUsable() const;
  void finish(const ncclComm_t &comm, ncclResult_t result, const char *what, Waiting &waiting,
              std::unique_lock<std::timed_mutex> &lock);
  void check(ncclComm_t comm, ncclResult_t result, const char *what) const;

  std::timed_mutex mutex; // of calls of NCCL, and of the rest
  std::atomic<bool> isAborted{false};
  ncclComm_t worldComm = nullptr;
  std::vector<ncclComm_t> comms; // all of them
};

} // namespace tsr::mesh
