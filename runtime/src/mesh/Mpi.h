// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// MPI, opened and started when a mesh first needs it, or as another library of the process (mpi4py) started it.
#pragma once

#include "Control.h"
#include "MpiApi.h"

namespace tsr::mesh {

class Mpi {
public:
  /// Throws Error (no_mpi, world, no_answer).
  static Mpi &get();
  /// Null before MPI was started.
  static Mpi *started() noexcept;

  void check(int result, const char *what) const {
    if (result != 0)
      refuseResult(result, what);
  }
  bool isDone(MpiHandle &request) const;
  /// The communicator of the ranks with the same color, by key; all ranks come here. Throws Error (no_answer).
  MpiHandle split(int color, int key) const;
  Control &control() const { return *talk; }
  void *inPlace() const { return reinterpret_cast<void *>(constants->inPlace); }

  MpiFunctions call;
  const MpiConstants *constants = nullptr;

private:
  Mpi();
  void initialize();
  void checkWorld() const;
  void finishAtExit() const;
  [[noreturn]] void refuseResult(int result, const char *what) const;

  std::string path;
  bool isOurs = false; // to finalize
  MpiHandle world = 0; // a communicator of our own with all ranks
  std::unique_ptr<Control> talk;
};

} // namespace tsr::mesh
