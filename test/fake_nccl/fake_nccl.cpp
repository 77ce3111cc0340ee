// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NCCL for tests, on the fake driver's streams: ranks are processes that exchange files. It is stricter than NCCL where
// that finds mistakes: a communicator is not used while something is in progress on it, nor after it or, as all share
// one flag, another was aborted.
//
//   FAKE_NCCL_FOLDER  where the ranks' files are
//   FAKE_NCCL_FAULT   what goes wrong on this rank, "init-hang", "init-error", "split-hang", "split-error", or one of
//                     these with the number of the collective that it is about, from 1 on:
//                     "lag@2"     it runs half a second late
//                     "hang@2"    it does not run until it is aborted
//                     "fail@2"    likewise, and the communicator tells an error
//                     "refuse@2"  it is not queued, which is an error
//                     "defer@2"   queueing it takes half a second
//                     "stall@2"   queueing it takes until it is aborted
#include "../../runtime/src/mesh/NcclApi.h"
#include "reduce.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace tsr;
using namespace tsr::mesh;

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace tsr::mesh {
struct ncclComm {
  ncclComm(std::string id, int size, int rank, std::shared_ptr<std::atomic<bool>> aborted)
      : id(std::move(id)), size(size), rank(rank), aborted(std::move(aborted)), isAborted(*this->aborted) {}
  const std::string id;
  const int size, rank;
  const std::shared_ptr<std::atomic<bool>> aborted; // of this and those that are split off
  const std::atomic<bool> &isAborted;
  std::atomic<ncclResult_t> state{ncclInProgress};
  std::mutex running; // one collective at a time, in whatever stream
  int collectives = 0, splits = 0;
  std::map<std::pair<int, int>, int> messages; // sent and received, by sender and receiver
};
} // namespace tsr::mesh

namespace {

constexpr ncclResult_t internalError = ncclResult_t(3), invalidArgument = ncclResult_t(4),
                       invalidUsage = ncclResult_t(5), remoteError = ncclResult_t(6);

std::atomic<int> aborts{0}, queued{0}, kernels{0}; // kernels: those that run

void sleepFor(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

bool isOrdered(const std::string &fault) {
  const char *ordered = std::getenv("FAKE_NCCL_FAULT");
  return ordered && fault == ordered;
}

/// A caller's mistake that a library need not survive.
void require(bool condition, const char *what) {
  if (condition)
    return;
  std::fprintf(stderr, "fake NCCL: %s\n", what);
  _exit(99);
}

// ---- Files that ranks exchange

std::string path(const ncclComm &comm, const std::string &name) {
  return std::string(std::getenv("FAKE_NCCL_FOLDER")) + "/" + comm.id + "." + name;
}

void put(const ncclComm &comm, const std::string &name, const std::string &bytes) {
  const std::string target = path(comm, name), partial = target + ".partial";
  std::ofstream(partial, std::ios::binary) << bytes;
  std::filesystem::rename(partial, target);
}

/// Waits for it; nothing when the communicator is aborted.
bool take(const ncclComm &comm, const std::string &name, std::string &bytes) {
  while (!std::filesystem::exists(path(comm, name))) {
    if (comm.isAborted)
      return false;
    sleepFor(1);
  }
  std::ostringstream stream;
  stream << std::ifstream(path(comm, name), std::ios::binary).rdbuf();
  bytes = stream.str();
  return true;
}

bool exchange(const ncclComm &comm, const std::string &name, const std::string &mine, std::vector<std::string> &all) {
  put(comm, name + "." + std::to_string(comm.rank), mine);
  all.resize(static_cast<size_t>(comm.size));
  for (int rank = 0; rank < comm.size; ++rank)
    if (!take(comm, name + "." + std::to_string(rank), all[static_cast<size_t>(rank)]))
      return false;
  return true;
}

// ---- Collectives

struct Message {
  bool isSend;
  int peer;
  const void *source;
  void *target;
  size_t bytes;
};

struct Collective {
  ncclComm_t comm;
  cuda::CUstream stream;
  std::function<void()> run;
};

thread_local int groupDepth = 0;
thread_local std::vector<Message> grouped;
thread_local ncclComm_t groupComm = nullptr;
thread_local cuda::CUstream groupStream = nullptr;

bool waitForAbort(ncclComm_t comm) {
  while (!comm->isAborted)
    sleepFor(1);
  return false;
}

cuda::CUresult post(cuda::CUstream stream, std::function<void()> run) {
  using Queue = cuda::CUresult (*)(cuda::CUstream, void (*)(void *), void *);
  static const auto queue =
      reinterpret_cast<Queue>(dlsym(dlopen(std::getenv("TESSERA_LIBCUDA"), RTLD_NOW), "fake_cuda_queue"));
  auto *kept = new std::function<void()>(std::move(run)); // a graph may run it again
  return queue(stream, [](void *argument) { (*static_cast<std::function<void()> *>(argument))(); }, kept);
}

ncclResult_t queue(const Collective &collective) {
  ncclComm_t comm = collective.comm;
  require(!comm->isAborted, "a communicator is used after it was aborted");
  require(comm->state == ncclSuccess, "a communicator is used while something is in progress on it");
  const std::string number = "@" + std::to_string(++queued);
  if (isOrdered("refuse" + number))
    return invalidUsage;
  auto run = [=] {
    std::lock_guard<std::mutex> lock(comm->running);
    ++kernels;
    if (isOrdered("lag" + number))
      sleepFor(500);
    if (isOrdered("fail" + number))
      comm->state = remoteError;
    if (isOrdered("hang" + number) || isOrdered("fail" + number))
      waitForAbort(comm);
    if (!comm->isAborted)
      collective.run();
    --kernels;
  };
  if (isOrdered("defer" + number))
    sleepFor(500);
  if (isOrdered("stall" + number) && !waitForAbort(comm))
    return internalError;
  return post(collective.stream, run) ? internalError : ncclSuccess;
}

std::string bytesOf(const void *source, size_t size) { return {static_cast<const char *>(source), size}; }

/// All ranks' arrays, to one function.
ncclResult_t queueExchange(ncclComm_t comm, cuda::CUstream stream, const void *source, size_t bytes,
                           std::function<void(const std::vector<std::string> &)> finish) {
  return queue({comm, stream, [=] {
                  std::vector<std::string> all;
                  if (exchange(*comm, std::to_string(comm->collectives++), bytesOf(source, bytes), all))
                    finish(all);
                }});
}

void runMessages(ncclComm_t comm, const std::vector<Message> &messages) {
  auto name = [&](int from, int to) {
    return "message." + std::to_string(from) + "." + std::to_string(to) + "." +
           std::to_string(comm->messages[{from, to}]++);
  };
  for (const Message &message : messages)
    if (message.isSend && message.peer != comm->rank)
      put(*comm, name(comm->rank, message.peer), bytesOf(message.source, message.bytes));
  const Message *toSelf = nullptr;
  for (const Message &message : messages)
    if (message.isSend && message.peer == comm->rank)
      toSelf = &message;
  for (const Message &message : messages) {
    std::string bytes;
    if (message.isSend)
      continue;
    if (message.peer == comm->rank)
      bytes = bytesOf(toSelf->source, toSelf->bytes);
    else if (!take(*comm, name(message.peer, comm->rank), bytes))
      return;
    require(bytes.size() == message.bytes, "a message has another size than its receiver expects");
    std::memcpy(message.target, bytes.data(), bytes.size());
  }
}

/// Makes a communicator ready when `meet` says that all ranks are there.
void becomeReady(ncclComm_t comm, const std::string &what, std::function<bool()> meet) {
  std::thread([=] {
    if (isOrdered(what + "-hang"))
      waitForAbort(comm);
    else if (isOrdered(what + "-error"))
      comm->state = remoteError;
    else if (meet())
      comm->state = ncclSuccess;
  }).detach();
}

} // namespace

EXPORT int fake_nccl_aborts() { return aborts; }

EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  std::snprintf(id->internal, sizeof id->internal, "comm-%d", static_cast<int>(getpid()));
  return ncclSuccess;
}

EXPORT ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int size, ncclUniqueId id, int rank,
                                           ncclConfig_t *config) {
  if (config->magic != 0xcafebeef || config->blocking != 0 || config->splitShare != 1)
    return invalidArgument;
  ncclComm_t made = new ncclComm(id.internal, size, rank, std::make_shared<std::atomic<bool>>(false));
  *comm = made;
  becomeReady(made, "init", [=] {
    std::vector<std::string> all;
    return exchange(*made, "init", "", all);
  });
  return ncclInProgress;
}

EXPORT ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t *result, ncclConfig_t *config) {
  if (config->magic != 0xcafebeef || config->blocking != 1)
    return invalidArgument;
  require(!comm->isAborted && comm->state == ncclSuccess, "a communicator is split that is not ready");
  comm->state = ncclInProgress;
  const std::string name = "split" + std::to_string(comm->splits++);
  becomeReady(comm, "split", [=] {
    std::vector<std::string> all;
    if (!exchange(*comm, name, std::to_string(color) + " " + std::to_string(key), all))
      return false;
    std::map<int, int> ranks; // by key
    for (int rank = 0; rank < comm->size; ++rank) {
      int itsColor = 0, itsKey = 0;
      std::sscanf(all[static_cast<size_t>(rank)].c_str(), "%d %d", &itsColor, &itsKey);
      if (itsColor == color)
        ranks[itsKey] = rank;
    }
    const int place = static_cast<int>(std::distance(ranks.begin(), ranks.find(key)));
    ncclComm_t made = new ncclComm(comm->id + "." + name + "." + std::to_string(color), static_cast<int>(ranks.size()),
                                   place, comm->aborted);
    made->state = ncclSuccess;
    *result = made; // only now, as it is with NCCL
    return true;
  });
  return ncclSuccess; // NCCL says so as well, of what is in progress
}

EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result) {
  require(!comm->isAborted, "a communicator is asked after it was aborted");
  *result = comm->state;
  return ncclSuccess;
}

EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm) {
  *comm->aborted = true;
  while (kernels) // NCCL frees memory of the device here, which waits for kernels of all communicators
    sleepFor(1);
  ++aborts;
  return ncclSuccess;
}

EXPORT ncclResult_t ncclGroupStart() {
  ++groupDepth;
  return ncclSuccess;
}

EXPORT ncclResult_t ncclGroupEnd() {
  if (--groupDepth > 0 || grouped.empty())
    return ncclSuccess;
  std::vector<Message> messages;
  messages.swap(grouped);
  ncclComm_t comm = groupComm;
  return queue({comm, groupStream, [=] { runMessages(comm, messages); }});
}

EXPORT ncclResult_t ncclSend(const void *source, size_t count, ncclDataType_t type, int to, ncclComm_t comm,
                             cuda::CUstream stream) {
  require(groupDepth > 0, "a message outside of a group");
  groupComm = comm;
  groupStream = stream;
  grouped.push_back({true, to, source, nullptr, count * fake::sizeOf(type)});
  return ncclSuccess;
}

EXPORT ncclResult_t ncclRecv(void *target, size_t count, ncclDataType_t type, int from, ncclComm_t comm,
                             cuda::CUstream stream) {
  require(groupDepth > 0, "a message outside of a group");
  groupComm = comm;
  groupStream = stream;
  grouped.push_back({false, from, nullptr, target, count * fake::sizeOf(type)});
  return ncclSuccess;
}

EXPORT ncclResult_t ncclAllReduce(const void *source, void *target, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                  ncclComm_t comm, cuda::CUstream stream) {
  return queueExchange(comm, stream, source, count * fake::sizeOf(type),
                       [=](const std::vector<std::string> &all) { fake::reduce(all, 0, count, type, op, target); });
}

EXPORT ncclResult_t ncclReduceScatter(const void *source, void *target, size_t count, ncclDataType_t type,
                                      ncclRedOp_t op, ncclComm_t comm, cuda::CUstream stream) {
  const size_t bytes = count * fake::sizeOf(type);
  return queueExchange(comm, stream, source, bytes * static_cast<size_t>(comm->size),
                       [=](const std::vector<std::string> &all) {
                         fake::reduce(all, bytes * static_cast<size_t>(comm->rank), count, type, op, target);
                       });
}

EXPORT ncclResult_t ncclAllGather(const void *source, void *target, size_t count, ncclDataType_t type, ncclComm_t comm,
                                  cuda::CUstream stream) {
  const size_t bytes = count * fake::sizeOf(type);
  return queueExchange(comm, stream, source, bytes, [=](const std::vector<std::string> &all) {
    for (size_t rank = 0; rank < all.size(); ++rank)
      std::memcpy(static_cast<char *>(target) + rank * bytes, all[rank].data(), bytes);
  });
}

EXPORT ncclResult_t ncclBroadcast(const void *source, void *target, size_t count, ncclDataType_t type, int root,
                                  ncclComm_t comm, cuda::CUstream stream) {
  const size_t bytes = count * fake::sizeOf(type);
  return queueExchange(comm, stream, source, comm->rank == root ? bytes : 0, [=](const std::vector<std::string> &all) {
    std::memcpy(target, all[static_cast<size_t>(root)].data(), bytes);
  });
}

EXPORT const char *ncclGetErrorString(ncclResult_t result) {
  return result == remoteError ? "remote process exited or there was a network error" : "a fake error";
}
EXPORT const char *ncclGetLastError(ncclComm_t) { return "as the test ordered"; }
