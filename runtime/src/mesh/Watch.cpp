// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Watch.h"

#include "Failure.h"

#include <algorithm>
#include <thread>

namespace tsr::mesh {

static std::atomic<Watch *> started{nullptr}; // never freed, as its thread never ends

void Watch::start(Nccl &nccl) {
  auto *watch = new Watch(nccl);
  started.store(watch, std::memory_order_release);
  failAtExit();
  quietThread([watch] { watch->run(); }).detach();
}

void Watch::replay(const std::string &label, cuda::CUstream stream, const std::function<void()> &launch) {
  requireNoFailure();
  if (cuda::isCaptured(nccl.device, stream)) // as part of another graph
    return launch();
  const Handle flight = take();
  nccl.device.check(nccl.device.cuda.eventRecord(flight->ready, stream), "recording an event");
  launch();
  nccl.device.check(nccl.device.cuda.eventRecord(flight->done, stream), "recording an event");
  add(flight, label, {0, -1, &nccl.everyone}, /*isReplay=*/true);
  queued(flight, /*isCaptured=*/false);
  release(flight);
}

Watch *Watch::get() noexcept { return started.load(std::memory_order_acquire); }

Watch::Handle Watch::take() {
  std::lock_guard<std::mutex> lock(mutex);
  if (spare.empty()) {
    Flight flight;
    for (cuda::CUevent *event : {&flight.ready, &flight.done})
      nccl.device.check(nccl.device.cuda.eventCreate(event, cuda::eventDisableTiming), "making an event");
    spare.push_back(std::move(flight));
  }
  used.splice(used.end(), spare, spare.begin());
  used.back().isReleased = false;
  return std::prev(used.end());
}

void Watch::add(Handle flight, const std::string &label, Step step, bool isReplay) {
  flight->label = label;
  flight->step = step;
  flight->isReplay = isReplay;
  flight->waiting.emplace(&nccl.control, step);
  std::lock_guard<std::mutex> lock(mutex);
  flight->isFlying = flight->isQueueing = true;
  flying.splice(flying.end(), used, flight);
}

void Watch::queued(Handle flight, bool isCaptured) {
  std::lock_guard<std::mutex> lock(mutex);
  flight->isQueueing = false;
  flight->waiting.reset();
  if (flight->notQueued)
    throw Error(*flight->notQueued);
  if (!isCaptured)
    return;
  anyCaptured = true;
  retire(flight);
}

void Watch::release(Handle flight) {
  std::lock_guard<std::mutex> lock(mutex);
  flight->isReleased = true;
  if (!flight->isFlying)
    spare.splice(spare.end(), used, flight);
}

void Watch::retire(Handle flight) {
  flight->isFlying = false;
  flight->waiting.reset();
  std::list<Flight> &next = flight->isReleased ? spare : used;
  next.splice(next.end(), flying, flight);
}

bool Watch::isDone(cuda::CUevent event) {
  const cuda::CUresult result = nccl.device.cuda.eventQuery(event);
  if (result != cuda::CUDA_ERROR_NOT_READY)
    nccl.device.check(result, "watching collectives");
  return result == cuda::CUDA_SUCCESS;
}

/// Throws Error; `at` is what failed.
void Watch::look(std::string &at) {
  std::lock_guard<std::mutex> lock(mutex);
  bool isBehind = false; // another on NCCL's stream: its time has not begun
  for (Handle flight = flying.begin(), next; flight != flying.end(); flight = next) {
    next = std::next(flight);
    at = flight->label;
    if (flight->isQueueing) {
      try {
        flight->waiting->check();
      } catch (const Error &error) {
        flight->notQueued = error;
        throw;
      }
      continue;
    }
    if (isDone(flight->done)) {
      retire(flight);
      continue;
    }
    if (!flight->waiting && (flight->isReplay || !isBehind) && isDone(flight->ready))
      flight->waiting.emplace(&nccl.control, flight->step);
    if (flight->waiting)
      flight->waiting->check();
    isBehind |= !flight->isReplay;
  }
  at = flying.empty() ? "" : flying.front().label;
  try {
    nccl.checkAll();
  } catch (const Error &) {
    blameEnded(nccl.control, nccl.everyone);
    throw;
  }
  // A program's replays of graphs of its own are not told; with a rank lost they would never end.
  if (anyCaptured && ++looks % 16 == 0)
    requireAlive(nccl.control, nccl.everyone);
}

/// Whether a call reports the failure itself, as soon as NCCL has left it.
bool Watch::isTold() {
  std::lock_guard<std::mutex> lock(mutex);
  return std::any_of(flying.begin(), flying.end(), [](const Flight &flight) { return flight.notQueued; });
}

void Watch::run() noexcept {
  cuda::Current current(nccl.device);
  cuda::Relaxed relaxed(nccl.device); // asking for events is lawful while another thread captures
  std::string at;
  try {
    while (!hasFailed()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      look(at);
    }
    nccl.abort();
  } catch (Error &error) {
    error.message = text("rank ", world().rank, ": ", at.empty() ? "a mesh" : at, ": ", error.message);
    if (isTold())
      recordFailure(error);
    else
      announceFailure(error); // first: who waits for the GPU goes on as soon as its kernels end, and is to know then
    nccl.abort();
  } catch (const std::bad_alloc &) {
    announceFailure({Code::out_of_memory, {}});
    nccl.abort();
  }
}

} // namespace tsr::mesh
