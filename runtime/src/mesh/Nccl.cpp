// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Nccl.h"

#include "Failure.h"
#include "Library.h"
#include "Waiting.h"
#include "Watch.h"

#include <cstring>
#include <dlfcn.h>
#include <numeric>

namespace tsr::mesh {

static std::atomic<Nccl *> opened{nullptr}; // never freed: what it started runs until the process ends

Nccl *Nccl::started() noexcept { return opened.load(std::memory_order_acquire); }

Nccl &Nccl::get(cuda::Device &device, Control &control) {
  Nccl *known = started();
  if (!known)
    opened.store(known = new Nccl(device, control), std::memory_order_release);
  if (&known->device != &device)
    refuse(Code::device, "this rank's collectives run on ", known->device.label(),
           ", as its first call's did: got arrays on ", device.label());
  if (known->comms.empty())
    known->connect();
  return *known;
}

Nccl::Nccl(cuda::Device &device, Control &control)
    : device(device), control(control), everyone(static_cast<size_t>(world().size)) {
  const Library library = openLibrary("TESSERA_LIBNCCL", {"libnccl.so.2"},
                                      {"python3*/site-packages/nvidia/nccl/lib/libnccl.so.2"}, Code::no_nccl);
  auto open = [&](auto &member, const char *symbol) {
    member = reinterpret_cast<std::remove_reference_t<decltype(member)>>(dlsym(library.handle, symbol));
    if (!member)
      refuse(Code::no_nccl, library.path, " has no ", symbol, ": expected NCCL 2.18 or newer");
  };
#define TSR_NCCL_OPEN(member, symbol, parameters) open(call.member, symbol);
  TSR_NCCL_FUNCTIONS(TSR_NCCL_OPEN)
#undef TSR_NCCL_OPEN
  open(call.getErrorString, "ncclGetErrorString");
  open(call.getLastError, "ncclGetLastError");
  std::iota(everyone.begin(), everyone.end(), 0);

  cuda::Current current(device);
  cuda::Relaxed relaxed(device);
  // Kernels beside it fill the GPU: a collective's blocks, which other ranks wait for, go before theirs.
  constexpr int highestPriority = -100; // or the device's highest
  for (cuda::CUstream *made : {&stream, &capturedStream})
    device.check(device.cuda.streamCreateWithPriority(made, cuda::streamNonBlocking, highestPriority),
                 "making a stream");
  device.check(device.cuda.eventCreate(&last, cuda::eventDisableTiming), "making an event");
}

template <class Body> void Nccl::make(const ncclComm_t &comm, const char *what, Body &&body) {
  Waiting waiting(&control, {0, 0, &everyone});
  std::unique_lock<std::timed_mutex> lock(mutex);
  requireUsable();
  ncclResult_t result = body();
  check(comm, result, what);
  do { // ncclCommSplit tells success also while it is in progress
    lock.unlock();
    waiting.pause();
    lock.lock();
    requireUsable();
    check(comm, call.commGetAsyncError(comm, &result), "ncclCommGetAsyncError");
  } while (result == ncclInProgress);
  check(comm, result, what);
}

void Nccl::connect() {
  cuda::Current current(device);
  cuda::Relaxed relaxed(device);
  ncclUniqueId id{};
  if (world().rank == 0)
    check(nullptr, call.getUniqueId(&id), "ncclGetUniqueId");
  const std::string first = control.exchange({id.internal, sizeof id.internal})[0];
  std::memcpy(id.internal, first.data(), sizeof id.internal);
  ncclConfig_t config;
  config.splitShare = 1; // one flag aborts them all, also where a thread is in NCCL for another communicator
  make(worldComm, "ncclCommInitRankConfig",
       [&] { return call.commInit(&worldComm, world().size, id, world().rank, &config); });
  comms.push_back(worldComm);
  Watch::start(*this);
}

void Nccl::split(Group &group) {
  cuda::Current current(device);
  cuda::Relaxed relaxed(device);
  ncclConfig_t config;
  config.blocking = 1;
  make(worldComm, "ncclCommSplit", [&] {
    return call.commSplit(worldComm, group.color, static_cast<int>(group.members.place), &group.nccl, &config);
  });
  std::lock_guard<std::timed_mutex> lock(mutex);
  comms.push_back(group.nccl);
}

void Nccl::abort() noexcept {
  // Who holds the lock may be in NCCL for as long as a rank is missing: then it is what has to end.
  std::unique_lock<std::timed_mutex> lock(mutex, std::chrono::seconds(1));
  if (isAborted.exchange(true) || !worldComm)
    return;
  // The groups' communicators share its flag, and are left as they are: a thread may be in NCCL for one.
  cuda::Current current(device);
  cuda::Relaxed relaxed(device);
  call.commAbort(worldComm);
}

void Nccl::checkAll() {
  std::unique_lock<std::timed_mutex> lock(mutex, std::try_to_lock);
  if (!lock || isAborted)
    return;
  for (ncclComm_t comm : comms) {
    ncclResult_t result = ncclSuccess;
    check(comm, call.commGetAsyncError(comm, &result), "ncclCommGetAsyncError");
    check(comm, result, "NCCL");
  }
}

void Nccl::requireUsable() const {
  if (isAborted)
    requireNoFailure();
}

void Nccl::check(ncclComm_t comm, ncclResult_t result, const char *what) const {
  if (result == ncclSuccess || result == ncclInProgress)
    return;
  requireUsable(); // what was aborted has no error of its own
  const char *detail = call.getLastError(comm);
  refuse(Code::communication, what, " failed: ", call.getErrorString(result),
         detail && *detail ? text(" (", detail, ")") : "");
}

} // namespace tsr::mesh
