// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A call captured in a CUDA graph.
#pragma once

#include "../Program.h"

struct tsr_graph {
  /// Captures the call on a stream of its own; nothing runs. Throws Error.
  tsr_graph(tsr_entry &entry, const tsr_call_args &args);
  ~tsr_graph();
  tsr_graph(const tsr_graph &) = delete;
  void launch(tsr::cuda::CUstream stream);

private:
  tsr_program &program; // retained: the graph runs its code
  tsr::cuda::Device *device = nullptr;
  tsr::cuda::Keepers weights; // those of the capture, whatever replaces them
  tsr::cuda::CUgraphExec executable = nullptr;
  std::string label; // of an entry on a mesh
};
