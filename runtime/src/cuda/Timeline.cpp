// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Timeline.h"

#include <chrono>
#include <condition_variable>

namespace tsr::cuda {

// A stream's queue has an end, where a launch waits for work to be done.
constexpr size_t heldLaunches = 128;
// The driver may have to wait for the device before it can queue what is next (memory, code that is loaded late).
constexpr std::chrono::milliseconds longestHold(200);

struct Gate::State {
  std::mutex mutex;
  std::condition_variable opened;
  bool isOpen = false;
  std::atomic<int> owners{2};

  void release() {
    if (--owners == 0)
      delete this;
  }
};

Gate::Gate(Device &device, CUstream stream) : state(new State) {
  auto hold = [](void *data) {
    auto *state = static_cast<State *>(data);
    {
      std::unique_lock<std::mutex> lock(state->mutex);
      state->opened.wait_for(lock, longestHold, [&] { return state->isOpen; });
    }
    state->release();
  };
  if (CUresult result = device.cuda.launchHostFunc(stream, hold, state)) {
    delete state;
    throw device.error(result, "holding a stream");
  }
}

Gate::~Gate() {
  open();
  state->release();
}

void Gate::open() {
  std::lock_guard<std::mutex> lock(state->mutex);
  state->isOpen = true;
  state->opened.notify_all();
}

Timeline::~Timeline() {
  for (Launch &launch : launches)
    for (CUevent event : {launch.begin, launch.end})
      if (event)
        device.cuda.eventDestroy(event);
}

CUevent Timeline::record() {
  CUevent event;
  device.check(device.cuda.eventCreate(&event, eventDefault), "making an event");
  if (CUresult result = device.cuda.eventRecord(event, stream)) {
    device.cuda.eventDestroy(event);
    throw device.error(result, "recording an event");
  }
  return event;
}

void Timeline::begin(const char *name) {
  if (launches.size() == heldLaunches)
    flow();
  launches.push_back({name, nullptr, nullptr});
  launches.back().begin = record();
}

void Timeline::end() { launches.back().end = record(); }

void Timeline::report(const tsr_observer &observer) {
  flow();
  device.check(device.cuda.streamSynchronize(stream), "waiting for a call that is timed");
  for (const Launch &launch : launches) {
    float milliseconds = 0;
    device.check(device.cuda.eventElapsedTime(&milliseconds, launch.begin, launch.end), "reading a time");
    observer.on_kernel(observer.context, launch.name, double(milliseconds) * 1e3);
  }
}

} // namespace tsr::cuda
