// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TcpControl.h"

#include "Coordinator.h"
#include "Failure.h"
#include "Mpi.h"

#include <cstdlib>
#include <cstring>
#include <numeric>
#include <unistd.h>

namespace tsr::mesh {

namespace {

struct Note {
  int32_t group;
  int64_t number;
};

std::string setting(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

Address addressOf(const std::string &setting) {
  const size_t colon = setting.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == setting.size())
    refuse(Code::rendezvous, "TESSERA_COORDINATOR: expected host:port, got '", setting, "'");
  return {setting.substr(0, colon), setting.substr(colon + 1)};
}

/// Beside torchrun's own, which is in use: programs started beside each other take ports that follow each other.
Address addressBeside(const std::string &host, const std::string &port) {
  const int number = std::atoi(port.c_str());
  return {host, std::to_string(number > 64535 ? number - 1000 : number + 1000)};
}

class Alone final : public Control {
public:
  std::vector<std::string> exchange(const std::string &mine) override { return {mine}; }
  void announce(Step) override {}
  int64_t heard(int32_t, int32_t) override { return -1; }
  bool isGone(int32_t) override { return false; }
};

} // namespace

TcpControl::TcpControl(const Address &address) : everyone(static_cast<size_t>(world().size)) {
  std::iota(everyone.begin(), everyone.end(), 0);
  const Deadline deadline(timeout());
  auto rest = [&](const char *what) {
    if (deadline.isOver())
      refuse(Code::no_answer, what, " at ", address.text(), " within ", deadline.seconds, " s");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  };
  if (world().rank == 0)
    Coordinator::start(address, world().size);
  while (!socket.isOpen()) {
    if (std::optional<Socket> made = Socket::connectTo(address))
      socket = std::move(*made);
    else
      rest("no answer from rank 0");
  }
  bool isThere = socket.send({FrameKind::hello, world().rank, std::to_string(world().size)});
  while (isThere && !socket.next()) {
    isThere = socket.receive();
    rest("no welcome from rank 0");
  }
  if (!isThere)
    refuse(Code::rendezvous, "rank 0 at ", address.text(), " expects no rank ", world().rank, " of ", world().size,
           ", or has it already");
}

void TcpControl::hear(const Frame &frame) {
  if (frame.kind == FrameKind::exchange) {
    collected = frame.bytes;
    isCollected = true;
  } else if (frame.kind == FrameKind::gone) {
    gone.insert(frame.rank);
  } else if (Note note; frame.kind == FrameKind::note && frame.bytes.size() == sizeof note) {
    std::memcpy(&note, frame.bytes.data(), sizeof note);
    known.note(frame.rank, note.group, note.number);
  }
}

void TcpControl::listen() {
  if (!socket.isOpen())
    return;
  const bool isThere = socket.receive();
  while (std::optional<Frame> frame = socket.next())
    hear(*frame);
  if (isThere)
    return;
  socket = Socket();
  gone.insert(0);
}

std::vector<std::string> TcpControl::exchange(const std::string &mine) {
  Waiting waiting(this, {0, exchanges++, &everyone});
  std::unique_lock<std::mutex> lock(mutex);
  isCollected = false;
  socket.send({FrameKind::exchange, world().rank, mine});
  for (listen(); !isCollected; listen()) {
    lock.unlock();
    waiting.pause();
    lock.lock();
  }
  if (collected.size() != mine.size() * everyone.size())
    refuse(Code::rank_mismatch, "the ranks run different versions of the runtime");
  return splitByRank(collected, everyone.size());
}

void TcpControl::announce(Step step) {
  std::lock_guard<std::mutex> lock(mutex);
  listen();
  if (!socket.isOpen() || (told.group == step.group && told.number == step.number))
    return;
  told = step;
  Note note;
  std::memset(&note, 0, sizeof note);
  note.group = step.group;
  note.number = step.number;
  socket.send({FrameKind::note, world().rank, {reinterpret_cast<const char *>(&note), sizeof note}});
}

int64_t TcpControl::heard(int32_t rank, int32_t group) {
  std::lock_guard<std::mutex> lock(mutex);
  return known.last(rank, group);
}

bool TcpControl::isGone(int32_t rank) {
  std::lock_guard<std::mutex> lock(mutex);
  listen();
  return gone.count(rank);
}

void TcpControl::sayGoodbye() noexcept { socket.send({FrameKind::goodbye, world().rank, {}}); }

Control &controlForGpus() {
  static std::mutex mutex;
  static TcpControl *sockets = nullptr; // never freed: it is used until the process ends
  static Alone alone;
  std::lock_guard<std::mutex> lock(mutex);
  if (world().size == 1)
    return alone;
  const std::string chosen = setting("TESSERA_COORDINATOR"), master = setting("MASTER_ADDR");
  if (chosen.empty() && master.empty() && world().isByMpi)
    return Mpi::get().control();
  if (chosen.empty() && master.empty())
    refuse(Code::rendezvous, "the ranks know no place to meet: set TESSERA_COORDINATOR to host:port of rank 0");
  if (sockets)
    return *sockets;
  sockets = new TcpControl(chosen.empty() ? addressBeside(master, setting("MASTER_PORT")) : addressOf(chosen));
  failAfterFork();
  on_exit(
      [](int status, void *process) {
        if (status == 0 && !hasFailed() && getpid() == static_cast<pid_t>(reinterpret_cast<intptr_t>(process)))
          sockets->sayGoodbye();
      },
      reinterpret_cast<void *>(intptr_t(getpid())));
  return *sockets;
}

} // namespace tsr::mesh
