// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The host level: see RuntimeOps.td and docs/rationale/runtime.md.

#ifndef TESSERA_DIALECTS_RUNTIME_RUNTIMEDIALECT_H
#define TESSERA_DIALECTS_RUNTIME_RUNTIMEDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/Runtime/RuntimeDialect.h.inc"

#include "dialects/Runtime/RuntimeEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/Runtime/RuntimeAttributes.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/Runtime/RuntimeTypes.h.inc"

#define GET_OP_CLASSES
#include "dialects/Runtime/RuntimeOps.h.inc"

#endif // TESSERA_DIALECTS_RUNTIME_RUNTIMEDIALECT_H
