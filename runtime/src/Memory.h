// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Memory for workspaces, scratch and outputs: 64-byte aligned blocks, kept for reuse. A fresh large block costs a page
// fault for every 4 KiB, which is more than a rowwise kernel spends on the same bytes.
#pragma once

#include "Status.h"

#include <memory>

namespace tsr {

/// The process's pool: any thread may free what another allocated. Null when there is no memory.
void *poolAllocate(int64_t bytes) noexcept;
/// The calling thread's own blocks, with no lock: for scratch that is freed by the thread that asked for it.
void *scratchAllocate(int64_t bytes) noexcept;
/// Frees either kind; a scratch block stays with the thread that frees it.
void poolFree(void *memory) noexcept;
void scratchFree(void *memory) noexcept;
void trimMemory() noexcept;

struct ScratchDeleter {
  void operator()(void *memory) const { scratchFree(memory); }
};
using Scratch = std::unique_ptr<void, ScratchDeleter>;

/// Scratch of `bytes`, or Error (out_of_memory) naming what it was for.
Scratch requireScratch(int64_t bytes, const char *what);

} // namespace tsr
