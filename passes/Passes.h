// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// All passes and pipelines. The order of passes is in Pipelines.cpp and nowhere else.

#ifndef TESSERA_PASSES_PASSES_H
#define TESSERA_PASSES_PASSES_H

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/Pass.h"

namespace tessera {

#define GEN_PASS_DECL
#include "passes/Passes.h.inc"

/// Registers every Tessera pass, upstream's passes that the pipelines name, and the pipelines.
void registerPasses();

/// Registers the named pipelines of Pipelines.cpp.
void registerPipelines();

/// Registers the dialects that the pipelines meet, with the interface models that their passes need.
void registerDialects(mlir::DialectRegistry &registry);

} // namespace tessera

#endif // TESSERA_PASSES_PASSES_H
