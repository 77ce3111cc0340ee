// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ranges that NVIDIA's tools (Nsight Systems, Nsight Compute) show on the timeline. NVTX is an interface without a
// library: a tool names itself in the environment variable NVTX_INJECTION64_PATH, and gives functions to who asks.
// Where there is no tool, a range costs the look at a pointer.
#pragma once

namespace tsr::nvtx {

/// A range of the calling thread while it lives; none for a null name.
class Range {
public:
  explicit Range(const char *name);
  ~Range();
  Range(const Range &) = delete;

private:
  const bool isOpen;
};

/// Whether kernels are to have ranges of their own: TESSERA_NVTX=1.
bool showsKernels();

} // namespace tsr::nvtx
