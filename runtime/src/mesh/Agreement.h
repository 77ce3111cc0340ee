// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ranks compare what they are about to run, so that those that disagree get an error and not each other's data.
#pragma once

#include "Control.h"
#include "Layout.h"

namespace tsr::mesh {

struct Notes {
  const std::string &artifact; // its digest
  const std::string &entry;
  const std::string &sizes; // bytes of the symbols' values
  bool onGpu;
};

/// All ranks come here. Throws Error (rank_mismatch) that names those that differ.
void compareNotes(Control &control, const Notes &notes, const std::vector<Collective> &collectives);

} // namespace tsr::mesh
