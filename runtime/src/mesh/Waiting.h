// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Waiting for other ranks, which may be late, hang, or be gone: never for longer than the deadline.
#pragma once

#include "World.h"

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace tsr::mesh {

class Control;

class Deadline {
public:
  using Clock = std::chrono::steady_clock;
  explicit Deadline(double seconds) : seconds(seconds) {}
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
  bool isOver() const { return elapsed() > seconds; }
  const double seconds;

private:
  const Clock::time_point start = Clock::now();
};

/// What ranks wait for each other in: a step of a group, in which each takes the same steps.
struct Step {
  int32_t group = 0;                           // the group's number, the same on all ranks
  int64_t number = 0;                          // -1: not known
  const std::vector<int32_t> *ranks = nullptr; // of the group
};

/// What one rank does while others have not come yet. `control` may be null.
class Waiting {
public:
  Waiting(Control *control, Step step) : control(control), step(step) {}
  /// Gives the processor away, for the longer the longer it has been. Throws Error (no_answer) at the deadline, or soon
  /// after one of the ranks is seen to have ended.
  void pause();
  /// The same without giving the processor away, for who looks from time to time.
  void check();

private:
  [[noreturn]] void giveUp(bool areGone) const;
  std::vector<int32_t> missing() const;

  Control *const control;
  const Step step;
  const Deadline deadline{timeout()};
  int pauses = 0;
  double nextCheck = 0.1, goneSince = -1;
  std::vector<int32_t> gone; // those seen first: others may end because of them
};

/// Throws Error (no_answer) if one of these is seen to have ended.
void requireAlive(Control &control, const std::vector<int32_t> &ranks);
/// The same for who has met an error that another rank's end may have caused, and that is seen a little later.
void blameEnded(Control &control, const std::vector<int32_t> &ranks);

/// A thread that takes no signals: those are for the threads that were there before.
std::thread quietThread(std::function<void()> body);

/// Runs what may block for ever on a thread of its own. `body` must keep what it uses. Throws what it throws, or Error
/// (no_answer), naming `what`, at the deadline: the thread then is left behind.
void runBounded(const std::string &what, std::function<void()> body);

} // namespace tsr::mesh
