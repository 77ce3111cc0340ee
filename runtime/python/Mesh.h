// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <nanobind/nanobind.h>

namespace tsr::python {

/// Adds what Python needs of meshes, and tells the runtime where Python's libraries lie.
void bindMesh(nanobind::module_ &module);

} // namespace tsr::python
