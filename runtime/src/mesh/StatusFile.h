// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The name of the collective that this rank started last, in a file that outlives it: TESSERA_MESH_STATUS, which
// `tessera launch` sets, is the folder, and the rank the file's name.
#pragma once

#include <string>

namespace tsr::mesh {

void noteCollective(const std::string &label) noexcept;

} // namespace tsr::mesh
