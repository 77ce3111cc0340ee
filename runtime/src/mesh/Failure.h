// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What ends a process's work on meshes. A rank that missed a step, or has one in flight that nobody finishes, is out of
// step with the others for good: no later call may exchange data with theirs.
#pragma once

#include "../Status.h"

namespace tsr::mesh {

/// The first one counts. Tells whoever asked to be told.
void recordFailure(const Error &error) noexcept;
bool hasFailed() noexcept;
/// Throws Error (mesh_failed).
void requireNoFailure();

/// A process that forks from here on makes no calls on meshes: what it would use belongs to its parent.
void failAfterFork();

/// Called with the first failure that no call reports, on a thread of the runtime's.
using FailureHook = void (*)(void *context, int32_t code, const char *message);
void setFailureHook(FailureHook hook, void *context) noexcept;
/// For failures that are found beside calls, such as those of work queued on a GPU.
void announceFailure(const Error &error) noexcept;
/// From here on, exit tells a failure that was announced to nobody, with a status that says so.
void failAtExit();

/// The process is about to end: unless it does in time, as other ranks may never come to MPI's end, a thread ends it.
void leave() noexcept;

} // namespace tsr::mesh
