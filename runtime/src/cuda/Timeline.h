// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How long each kernel of a call takes on its GPU, by events in front of and behind each.
#pragma once

#include "Device.h"

namespace tsr::cuda {

/// Holds a stream's work back until it is opened. Kernels then follow each other as in a queue that is never empty;
/// otherwise the time that the host takes to launch a short one would be counted as its own.
class Gate {
public:
  Gate(Device &device, CUstream stream);
  ~Gate();
  Gate(const Gate &) = delete;
  void open();

private:
  struct State;
  State *state; // shared with the driver's thread: whoever is last frees it
};

class Timeline {
public:
  /// The device's context is current as long as this lives. Throws Error.
  Timeline(Device &device, CUstream stream) : device(device), stream(stream), gate(device, stream) {}
  ~Timeline();
  Timeline(const Timeline &) = delete;

  /// In front of a kernel, and behind it. The name outlives this. Throws Error.
  void begin(const char *name);
  void end();
  /// Lets the work run: before the host waits for it.
  void flow() { gate.open(); }
  /// Waits for the stream and tells the times. Throws Error.
  void report(const tsr_observer &observer);

private:
  CUevent record();

  Device &device;
  const CUstream stream;
  Gate gate;
  struct Launch {
    const char *name;
    CUevent begin, end;
  };
  std::vector<Launch> launches;
};

} // namespace tsr::cuda
