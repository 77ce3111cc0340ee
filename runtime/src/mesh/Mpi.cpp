// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mpi.h"

#include "Failure.h"
#include "Library.h"
#include "MpiControl.h"

#include <atomic>
#include <cstdlib>
#include <dlfcn.h>
#include <mutex>

namespace tsr::mesh {

namespace {

std::atomic<Mpi *> opened{nullptr}; // never freed: what it started runs until the process ends
std::atomic<Mpi *> finalizes{nullptr};

/// Registered with on_exit, which tells how the process ends: one that fails goes at once, so that the others, who
/// would wait for it, see it gone.
void finalizeAtExit(int status, void *) {
  Mpi *mpi = finalizes.exchange(nullptr);
  int isFinal = 0;
  if (!mpi || status != 0 || hasFailed() || mpi->call.finalized(&isFinal) != 0 || isFinal)
    return;
  leave();
  mpi->call.finalize();
}

} // namespace

Mpi &Mpi::get() {
  static std::mutex mutex;
  if (Mpi *known = opened.load(std::memory_order_acquire))
    return *known;
  std::lock_guard<std::mutex> lock(mutex);
  if (!opened.load(std::memory_order_relaxed)) {
    requireNoFailure(); // an earlier try may hang in MPI still
    opened.store(new Mpi, std::memory_order_release);
  }
  return *opened.load(std::memory_order_relaxed);
}

Mpi *Mpi::started() noexcept { return opened.load(std::memory_order_acquire); }

Mpi::Mpi() {
  // In Python's folder MPICH's own interface comes first: mpi4py's wheels link to it, and a process with two copies of
  // MPICH does not start.
  const Library library =
      openLibrary("TESSERA_LIBMPI", {"libmpi_abi.so.1", "libmpi_abi.so.0", "libmpi_abi.so", "libmpi.so.12"},
                  {"libmpi.so.12", "libmpi_abi.so.[0-9]"}, Code::no_mpi);
  path = library.path;
#define TSR_MPI_OPEN(member, symbol, parameters)                                                                       \
  call.member = reinterpret_cast<decltype(call.member)>(dlsym(library.handle, symbol));                                \
  if (!call.member)                                                                                                    \
    refuse(Code::no_mpi, path, " has no ", symbol, ": expected MPI 4 or newer");
  TSR_MPI_FUNCTIONS(TSR_MPI_OPEN)
#undef TSR_MPI_OPEN
  int major = 0, minor = 0;
  auto abiVersion = reinterpret_cast<int (*)(int *, int *)>(dlsym(library.handle, "MPI_Abi_get_version"));
  const bool isStandard = abiVersion && abiVersion(&major, &minor) == 0 && major > 0;
  if (!isStandard && dlsym(library.handle, "ompi_mpi_comm_world"))
    refuse(Code::no_mpi, path, " is Open MPI's own interface: expected the standard's (libmpi_abi) or MPICH's");
  constants = isStandard ? &standardMpi : &mpich;
  try {
    runBounded("starting MPI", [this] { initialize(); });
    talk = std::make_unique<MpiControl>(*this, world);
  } catch (const Error &error) {
    recordFailure(error);
    throw;
  }
  failAfterFork();
}

void Mpi::initialize() {
  int isStarted = 0, isFinal = 0, level = 0;
  check(call.initialized(&isStarted), "MPI_Initialized");
  check(call.finalized(&isFinal), "MPI_Finalized");
  if (isFinal)
    refuse(Code::no_mpi, "MPI has been finalized in this process");
  if (isStarted)
    check(call.queryThread(&level), "MPI_Query_thread");
  else
    check(call.initThread(nullptr, nullptr, constants->threadMultiple, &level), "MPI_Init_thread");
  if (level < constants->threadMultiple)
    refuse(Code::no_mpi, "MPI was started for one thread: expected MPI_THREAD_MULTIPLE");
  if (!isStarted) {
    check(call.commSetErrhandler(constants->commWorld, constants->errorsReturn), "MPI_Comm_set_errhandler");
    finalizes = this;
    on_exit(finalizeAtExit, nullptr);
  }
  checkWorld();
  check(call.commDup(constants->commWorld, &world), "MPI_Comm_dup");
  check(call.commSetErrhandler(world, constants->errorsReturn), "MPI_Comm_set_errhandler");
}

void Mpi::checkWorld() const {
  const World &expected = mesh::world();
  int rank = 0, size = 0;
  check(call.commRank(constants->commWorld, &rank), "MPI_Comm_rank");
  check(call.commSize(constants->commWorld, &size), "MPI_Comm_size");
  if (rank != expected.rank || size != expected.size)
    refuse(Code::world, "this process is rank ", expected.rank, " of ", expected.size, " for ", expected.source,
           ", and rank ", rank, " of ", size, " for MPI (", path,
           "): start it with the mpiexec that belongs to this library, as `tessera launch` does");
}

bool Mpi::isDone(MpiHandle &request) const {
  int flag = 0;
  check(call.test(&request, &flag, reinterpret_cast<void *>(constants->statusIgnore)), "MPI_Test");
  return flag;
}

MpiHandle Mpi::split(int color, int key) const {
  auto result = std::make_shared<MpiHandle>(0);
  runBounded("making a communicator", [=] {
    check(call.commSplit(world, color, key, result.get()), "MPI_Comm_split");
    check(call.commSetErrhandler(*result, constants->errorsReturn), "MPI_Comm_set_errhandler");
  });
  return *result;
}

void Mpi::refuseResult(int result, const char *what) const {
  std::string said(512, '\0'); // MPI_MAX_ERROR_STRING
  int length = 0;
  call.errorString(result, said.data(), &length);
  said.resize(static_cast<size_t>(length));
  refuse(Code::communication, what, " failed: ", said);
}

} // namespace tsr::mesh
