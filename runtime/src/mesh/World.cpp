// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "World.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <optional>

namespace tsr::mesh {

namespace {

struct Launcher {
  const char *name, *rank, *size, *localRank;
  bool isMpi;
  bool isOuter; // within its steps, others start ranks of their own
};

constexpr Launcher explicitly = {"the environment",    "TESSERA_RANK", "TESSERA_WORLD_SIZE",
                                 "TESSERA_LOCAL_RANK", false,          false};
constexpr Launcher launchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", false, false},
    {"Open MPI's mpiexec", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", true, false},
    {"mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", true, false},
    // SLURM_NTASKS is set in batch scripts too, where one process runs: the step's number is not.
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", false, true}};

const char *variable(const char *name) {
  const char *value = std::getenv(name);
  return value && *value ? value : nullptr;
}

int32_t number(const char *name, int32_t minimum) {
  const char *value = variable(name);
  char *end = nullptr;
  const long parsed = value ? std::strtol(value, &end, 10) : 0;
  if (!value || *end || parsed < minimum || parsed > INT32_MAX)
    refuse(Code::world, name, ": expected a number of ", minimum, " or more, got ",
           value ? text("'", value, "'") : "none");
  return static_cast<int32_t>(parsed);
}

std::optional<World> ask(const Launcher &launcher) {
  if (!variable(launcher.size))
    return std::nullopt;
  World world{number(launcher.rank, 0), number(launcher.size, 1), 0,
              text(launcher.name, " (", launcher.rank, ", ", launcher.size, ")"), launcher.isMpi};
  world.localRank = variable(launcher.localRank) ? number(launcher.localRank, 0) : world.rank;
  if (world.rank >= world.size)
    refuse(Code::world, launcher.rank, " is ", world.rank, ": expected less than ", launcher.size, ", which is ",
           world.size);
  return world;
}

World find() {
  if (std::optional<World> chosen = ask(explicitly)) // whoever sets these knows best
    return *chosen;
  std::optional<World> found;
  for (const Launcher &launcher : launchers) {
    if (found && launcher.isOuter)
      break;
    std::optional<World> other = ask(launcher);
    if (found && other && (found->rank != other->rank || found->size != other->size))
      refuse(Code::world, "launchers contradict each other: this process is rank ", found->rank, " of ", found->size,
             " for ", found->source, ", and rank ", other->rank, " of ", other->size, " for ", other->source,
             "; set TESSERA_RANK and TESSERA_WORLD_SIZE to say which");
    if (!found)
      found = std::move(other);
  }
  return found.value_or(World{});
}

constexpr const char *timeoutVariable = "TESSERA_MESH_TIMEOUT";
constexpr double usualTimeout = 300;
std::atomic<double> chosenTimeout{0};

} // namespace

const World &world() {
  static const World known = find();
  return known;
}

double timeout() {
  if (const double chosen = chosenTimeout.load(std::memory_order_relaxed))
    return chosen;
  const char *value = variable(timeoutVariable);
  char *end = nullptr;
  const double seconds = value ? std::strtod(value, &end) : usualTimeout;
  if (value && (*end || !std::isfinite(seconds) || seconds <= 0))
    refuse(Code::mesh_timeout, timeoutVariable, ": expected seconds, more than 0, got '", value, "'");
  chosenTimeout.store(seconds, std::memory_order_relaxed);
  return seconds;
}

void setTimeout(double seconds) {
  if (!std::isfinite(seconds) || seconds <= 0)
    refuse(Code::mesh_timeout, "timeout: expected seconds, more than 0, got ", seconds);
  chosenTimeout.store(seconds, std::memory_order_relaxed);
}

} // namespace tsr::mesh
