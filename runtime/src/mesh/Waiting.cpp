// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Waiting.h"

#include "Control.h"

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <sched.h>
#include <thread>

namespace tsr::mesh {

namespace {

constexpr double announceAfter = 0.5; // seconds: nobody is told of shorter waits
constexpr double graceSeconds = 1;    // for what a rank sent before it ended

std::string ranksText(const std::vector<int32_t> &ranks) {
  std::string list;
  for (size_t i = 0; i < ranks.size(); ++i)
    list += text(i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
  return text(ranks.size() == 1 ? "rank " : "ranks ", list);
}

} // namespace

std::thread quietThread(std::function<void()> body) {
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  return thread;
}

void Waiting::pause() {
  // Spinning is fastest where each rank has a core; where several share one it only takes the others' time.
  static const int spins = world().size <= static_cast<int>(std::thread::hardware_concurrency()) ? 2000 : 1;
  constexpr int yields = 20000;
  ++pauses;
  if (pauses > spins)
    sched_yield();
  if (pauses > spins + yields)
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  if (pauses % 256 == 0)
    check();
}

void Waiting::check() {
  const double elapsed = deadline.elapsed();
  if (elapsed < nextCheck && !deadline.isOver())
    return;
  nextCheck = elapsed + 0.1;
  if (control) {
    if (elapsed > announceAfter || deadline.isOver())
      control->announce(step);
    for (int32_t rank : *step.ranks)
      if (goneSince < 0 && rank != world().rank && control->isGone(rank))
        gone.push_back(rank);
  }
  if (goneSince < 0 && !gone.empty())
    goneSince = elapsed;
  const bool areGone = goneSince >= 0 && elapsed > goneSince + graceSeconds;
  if (areGone || deadline.isOver())
    giveUp(areGone);
}

std::vector<int32_t> Waiting::missing() const {
  std::vector<int32_t> ranks;
  for (int32_t rank : *step.ranks)
    if (rank != world().rank && control->heard(rank, step.group) < step.number)
      ranks.push_back(rank);
  return ranks;
}

void Waiting::giveUp(bool areGone) const {
  if (areGone)
    refuse(Code::no_answer, ranksText(gone), gone.size() == 1 ? " has ended" : " have ended");
  if (!control || step.number < 0)
    refuse(Code::no_answer, "not all ranks answer within ", deadline.seconds, " s");
  const std::vector<int32_t> late = missing();
  refuse(Code::no_answer,
         late.empty() ? "all ranks have come, but it is not done" : "no answer from " + ranksText(late), " within ",
         deadline.seconds, " s");
}

void requireAlive(Control &control, const std::vector<int32_t> &ranks) {
  for (int32_t rank : ranks)
    if (rank != world().rank && control.isGone(rank))
      refuse(Code::no_answer, "rank ", rank, " has ended");
}

void blameEnded(Control &control, const std::vector<int32_t> &ranks) {
  for (const Deadline deadline(2 * graceSeconds); !deadline.isOver();) {
    requireAlive(control, ranks);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void runBounded(const std::string &what, std::function<void()> body) {
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool isDone = false;
    std::exception_ptr problem;
  };
  auto shared = std::make_shared<Shared>();
  quietThread([shared, body = std::move(body)] {
    std::exception_ptr problem;
    try {
      body();
    } catch (...) {
      problem = std::current_exception();
    }
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->problem = problem;
    shared->isDone = true;
    shared->changed.notify_all();
  }).detach();
  const double seconds = timeout();
  std::unique_lock<std::mutex> lock(shared->mutex);
  if (!shared->changed.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return shared->isDone; }))
    refuse(Code::no_answer, what, ": not all ranks answer within ", seconds, " s");
  if (shared->problem)
    std::rethrow_exception(shared->problem);
}

} // namespace tsr::mesh
