// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A call captured in a CUDA graph, and the arrays that its replays read and write.
#pragma once

#include "Gpu.h"

namespace tsr::python {

struct Graph {
  std::unique_ptr<tsr_graph, void (*)(tsr_graph *)> handle{nullptr, tsr_graph_destroy};
  tsr_device device{TSR_CUDA, 0};
  const Framework *framework = nullptr; // whose current stream replays take
  nb::object inputs, outputs;
};

} // namespace tsr::python
