// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <nanobind/nanobind.h>

namespace tsr::python {

/// Adds the class PageTable, the allocator of paged KV caches.
void bindPageTable(nanobind::module_ &module);

} // namespace tsr::python
