// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The function table that compiled code calls the runtime through.
#pragma once

#include "tessera/runtime.h"

namespace tsr {
extern const tsr_api api;
} // namespace tsr
