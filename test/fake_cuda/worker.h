// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thread that runs a stream's work in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace fake {

class Worker {
public:
  void post(std::function<void()> task) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!std::exchange(isStarted, true))
      std::thread([this] { run(); }).detach(); // until the process ends
    tasks.push_back(std::move(task));
    changed.notify_all();
  }
  void drain() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return tasks.empty() && !isBusy; });
  }

private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !tasks.empty(); });
      std::function<void()> task = std::move(tasks.front());
      tasks.pop_front();
      isBusy = true;
      lock.unlock();
      task();
      lock.lock();
      isBusy = false;
      changed.notify_all();
    }
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> tasks;
  bool isStarted = false, isBusy = false;
};

} // namespace fake
