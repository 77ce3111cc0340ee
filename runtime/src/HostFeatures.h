// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What this machine's CPU and kernel let code use, in LLVM's names.
#pragma once

#include <string>
#include <vector>

namespace tsr {
bool hostHasFeature(const std::string &name);
extern const char *const hostTriple;
} // namespace tsr
