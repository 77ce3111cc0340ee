// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_OPS
#define TESSERA_OPS

include "dialects/Tessera/AttentionOps.td"
include "dialects/Tessera/ControlOps.td"
include "dialects/Tessera/ElementwiseOps.td"
include "dialects/Tessera/LinearOps.td"
include "dialects/Tessera/ReductionOps.td"
include "dialects/Tessera/ShapeOps.td"
include "dialects/Tessera/SymbolOps.td"

#endif // TESSERA_OPS
