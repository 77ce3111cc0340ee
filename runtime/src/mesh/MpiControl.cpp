// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MpiControl.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <numeric>
#include <sys/stat.h>
#include <unistd.h>

namespace tsr::mesh {

namespace {

constexpr int noteTag = 1;

std::string firstLine(const std::string &path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// When a process started, in clock ticks since its machine did; 0: there is none, or it only waits to be collected.
uint64_t startTimeOf(int64_t process) {
  const std::string stat = firstLine(text("/proc/", process, "/stat"));
  const size_t name = stat.rfind(')'); // a name may hold anything
  if (name == std::string::npos || name + 2 >= stat.size() || std::strchr("ZX", stat[name + 2]))
    return 0;
  std::istringstream fields(stat.substr(name + 2));
  std::string field;
  for (int i = 3; i <= 22 && fields >> field; ++i) {
  }
  return std::strtoull(field.c_str(), nullptr, 10);
}

} // namespace

Identity Identity::own() {
  struct stat space{};
  stat("/proc/self/ns/pid", &space);
  const std::string machine = text(firstLine("/proc/sys/kernel/random/boot_id"), " ", space.st_ino);
  return {std::hash<std::string>()(machine), startTimeOf(getpid()), getpid()};
}

bool Identity::hasEnded() const { return startTimeOf(process) != startTime; }

MpiControl::MpiControl(const Mpi &mpi, MpiHandle comm)
    : mpi(mpi), world(comm), everyone(static_cast<size_t>(mesh::world().size)) {
  std::iota(everyone.begin(), everyone.end(), 0);
  const Identity own = Identity::own();
  const auto all = exchange({reinterpret_cast<const char *>(&own), sizeof own});
  std::vector<Identity> read(all.size());
  for (size_t i = 0; i < all.size(); ++i)
    std::memcpy(&read[i], all[i].data(), sizeof own);
  identities = std::move(read);
}

std::vector<std::string> MpiControl::exchange(const std::string &mine) {
  const MpiCount size = static_cast<MpiCount>(mine.size());
  std::string all(everyone.size() * mine.size(), '\0');
  const MpiHandle byte = mpi.constants->byte;
  MpiHandle request = 0;
  mpi.check(mpi.call.iallgather(mine.data(), size, byte, all.data(), size, byte, world, &request), "MPI_Iallgather");
  Waiting waiting(this, {0, exchanges++, &everyone});
  while (!mpi.isDone(request))
    waiting.pause();
  return splitByRank(all, everyone.size());
}

/// Notes that have come; one receive is always there for the next.
void MpiControl::listen() {
  const MpiConstants &constants = *mpi.constants;
  for (;;) {
    if (!listening)
      mpi.check(
          mpi.call.irecv(&hearing, sizeof hearing, constants.byte, constants.anySource, noteTag, world, &listening),
          "MPI_Irecv");
    if (!mpi.isDone(listening))
      return;
    listening = 0;
    known.note(hearing.rank, hearing.group, hearing.number);
  }
}

void MpiControl::tell(const std::vector<int32_t> &ranks) {
  for (int32_t rank : ranks)
    if (rank != mesh::world().rank) {
      telling.push_back(0);
      mpi.check(mpi.call.isend(&told, sizeof told, mpi.constants->byte, rank, noteTag, world, &telling.back()),
                "MPI_Isend");
    }
}

void MpiControl::announce(Step step) {
  std::lock_guard<std::mutex> lock(mutex);
  listen();
  // One note at a time is on its way. To a rank that has ended it stays there, and nobody is told more.
  telling.erase(std::remove_if(telling.begin(), telling.end(), [&](MpiHandle &request) { return mpi.isDone(request); }),
                telling.end());
  if (!telling.empty() || (told.group == step.group && told.number == step.number))
    return;
  told = {mesh::world().rank, step.group, step.number};
  tell(*step.ranks);
}

int64_t MpiControl::heard(int32_t rank, int32_t group) {
  std::lock_guard<std::mutex> lock(mutex);
  return known.last(rank, group);
}

bool MpiControl::isGone(int32_t rank) {
  if (identities.empty())
    return false;
  const Identity &of = identities[static_cast<size_t>(rank)],
                 &own = identities[static_cast<size_t>(mesh::world().rank)];
  return of.machine == own.machine && of.hasEnded();
}

} // namespace tsr::mesh
