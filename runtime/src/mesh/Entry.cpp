// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Entry.h"

#include "../CallScope.h"
#include "Agreement.h"
#include "Failure.h"
#include "StatusFile.h"
#include "TcpControl.h"
#include "Transfer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace tsr::mesh {

namespace {

std::mutex meshMutex;

/// No locked additions: calls exclude each other, and others only read.
void count(Traffic &traffic, const Extents &bytes) {
  auto add = [](std::atomic<int64_t> &sum, int64_t value) {
    sum.store(sum.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  };
  add(traffic.calls, 1);
  add(traffic.given, bytes.source);
  add(traffic.got, bytes.target);
}

/// A rank that is alone needs nobody, unless an installation is tried out.
bool usesNetwork(const Group &group) {
  static const bool isLoopback = [] {
    const char *value = std::getenv("TESSERA_MESH_LOOPBACK");
    return value && *value && std::strcmp(value, "0") != 0;
  }();
  return group.size() > 1 || isLoopback;
}

/// A collective of a rank with itself.
void runAlone(const Collective &collective, const Group &group, const void *source, void *target, int64_t count,
              cuda::Call *gpu) {
  const int64_t bytes = extentsOf(collective, group, count).target;
  if (bytes == 0)
    return;
  const bool isEmpty = collective.kind == Kind::shift && shiftOf(collective, group).from < 0;
  if (gpu && isEmpty)
    gpu->clear(target, bytes);
  else if (gpu && source != target)
    gpu->copy(target, source, bytes);
  else if (isEmpty)
    std::memset(target, 0, static_cast<size_t>(bytes));
  else if (source != target)
    std::memcpy(target, source, static_cast<size_t>(bytes));
}

} // namespace

void Entry::place() {
  const World &own = world();
  if (layout.size() != static_cast<size_t>(own.size))
    refuse(Code::world_size, name, " runs on a mesh of ", layout.size(), " ranks: this process is rank ", own.rank,
           " of ", own.size, own.source.empty() ? "" : text(" for ", own.source), "; start it with `tessera launch -n ",
           layout.size(), "`");
  std::vector<Route> made(layout.collectives.size());
  for (size_t i = 0; i < made.size(); ++i)
    made[i].group = &groupAlong(layout, layout.collectives[i].axes);
  routes = std::move(made);
  coordinates = layout.coordinates(own.rank);
}

void Entry::agree(const int64_t *symbols, size_t numSymbols, cuda::Device *gpu) {
  const std::string sizes(reinterpret_cast<const char *>(symbols), numSymbols * sizeof *symbols);
  const std::string key = text(gpu ? gpu->ordinal : -1, " ", sizes);
  if (!hasStumbled.load(std::memory_order_relaxed) && agreed.count(key))
    return;
  hasStumbled = true; // until it is known that all agree
  Control &control = gpu ? controlForGpus() : Mpi::get().control();
  compareNotes(control, {artifact, name, sizes, gpu != nullptr}, layout.collectives);
  for (const Route &route : routes)
    if (gpu && usesNetwork(*route.group))
      OverNccl::prepare(*route.group, *gpu, control);
    else if (usesNetwork(*route.group))
      OverMpi::prepare(*route.group);
  agreed.insert(key);
  hasStumbled = false;
}

/// Others have to be left alone with their error, and work on the GPU has to end. That may take its time.
static void giveUp(const Error &error) {
  recordFailure(error);
  if (Nccl *nccl = Nccl::started())
    quietThread([nccl] { nccl->abort(); }).detach();
}

Call::Call(Entry &entry, const int64_t *symbols, size_t numSymbols, cuda::Device *gpu) : entry(entry), lock(meshMutex) {
  if (entry.coordinates.empty())
    entry.place();
  if (std::none_of(entry.routes.begin(), entry.routes.end(), [](const auto &r) { return usesNetwork(*r.group); })) {
    lock.unlock(); // there is no order to keep
    return;
  }
  requireNoFailure();
  try {
    entry.agree(symbols, numSymbols, gpu);
  } catch (Error &error) {
    error.message = text("rank ", world().rank, ": ", entry.name, ": ", error.message);
    if (error.code == Code::no_answer || error.code == Code::communication)
      giveUp(error);
    throw;
  }
}

Call::~Call() {
  for (size_t i = 0; i < entry.routes.size(); ++i)
    if (std::exchange(entry.routes[i].isUnderWay, false) && !hasFailed())
      giveUp({Code::communication, text("rank ", world().rank, ": ", entry.layout.collectives[i].label,
                                        " was under way when the call ended")});
}

void Call::join(cuda::Call &gpu) noexcept {
  for (Entry::Route &route : entry.routes)
    if (route.isUnderWay)
      route.overNccl.join(gpu);
}

Entry::Route &Call::route(size_t index) {
  if (index >= entry.routes.size())
    refuse(Code::internal, "compiled code runs collective ", index, " of ", entry.routes.size());
  return entry.routes[index];
}

/// Errors name the rank and the collective; after one the others cannot be told where this rank is.
template <class Body> void Call::explain(const Collective &collective, Body &&body) {
  try {
    body();
  } catch (Error &error) {
    error.message = text("rank ", world().rank, ": ", collective.label, ": ", error.message);
    giveUp(error);
    throw;
  }
}

void Call::run(size_t index, const void *source, void *target, int64_t count, cuda::Call *gpu) {
  // Behind one that is under way on NCCL's stream, as collectives are in one order.
  const bool isAlone =
      std::none_of(entry.routes.begin(), entry.routes.end(), [](const auto &r) { return r.isUnderWay; });
  start(index, source, target, count, gpu, isAlone);
  wait(index, gpu);
}

void Call::start(size_t index, const void *source, void *target, int64_t count, cuda::Call *gpu, bool isAwaited) {
  Entry::Route &route = this->route(index);
  const Collective &collective = entry.layout.collectives[index];
  if (count < 0 || route.isUnderWay)
    refuse(Code::internal, "compiled code starts collective ", index, route.isUnderWay ? " twice" : " of no size");
  noteCollective(collective.label);
  mesh::count(entry.traffic[index], extentsOf(collective, *route.group, count));
  if (!usesNetwork(*route.group))
    return runAlone(collective, *route.group, source, target, count, gpu);
  explain(collective, [&] {
    if (gpu)
      route.overNccl.start(collective, *route.group, source, target, count, *gpu, isAwaited);
    else
      route.overMpi.start(collective, *route.group, source, target, count);
  });
  route.isUnderWay = true;
}

void Call::wait(size_t index, cuda::Call *gpu) {
  Entry::Route &route = this->route(index);
  if (!route.isUnderWay) // of one rank
    return;
  explain(entry.layout.collectives[index], [&] {
    if (gpu)
      route.overNccl.wait(*gpu);
    else
      route.overMpi.wait(*route.group);
  });
  route.isUnderWay = false;
}

int64_t Call::coordinate(size_t axis) const {
  if (axis >= entry.coordinates.size())
    refuse(Code::internal, "compiled code asks for mesh axis ", axis, " of ", entry.coordinates.size());
  return entry.coordinates[axis];
}

namespace {

Call &callOf(CallScope &scope) {
  if (!scope.mesh)
    refuse(Code::internal, "compiled code runs a collective outside of a mesh");
  return *scope.mesh;
}

} // namespace

int32_t apiStart(int32_t index, const void *source, void *target, int64_t count) {
  return reporting(
      [&](CallScope &scope) { callOf(scope).start(static_cast<size_t>(index), source, target, count, scope.gpu); });
}

int32_t apiRun(int32_t index, const void *source, void *target, int64_t count) {
  return reporting(
      [&](CallScope &scope) { callOf(scope).run(static_cast<size_t>(index), source, target, count, scope.gpu); });
}

int32_t apiWait(int32_t index) {
  return reporting([&](CallScope &scope) { callOf(scope).wait(static_cast<size_t>(index), scope.gpu); });
}

int64_t apiAxisIndex(int32_t axis) {
  int64_t coordinate = 0;
  reporting([&](CallScope &scope) { coordinate = callOf(scope).coordinate(static_cast<size_t>(axis)); });
  return coordinate;
}

} // namespace tsr::mesh
