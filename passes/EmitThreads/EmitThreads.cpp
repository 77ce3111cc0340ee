// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitThreads/EmitThreads.h"

#include "passes/EmitThreads/DivideByNumber.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAEMITTHREADSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {
struct EmitThreadsPass : tessera::impl::TesseraEmitThreadsPassBase<EmitThreadsPass> {
  void runOnOperation() override {
    gpu::GPUFuncOp kernel = getOperation();
    if (auto rowThreads = kernel->getAttrOfType<IntegerAttr>("tessera.row_threads")) {
      FailureOr<RowProgram> program = RowProgram::analyze(kernel.getBody().front());
      if (failed(program)) {
        kernel.emitOpError("expected a row program");
        return signalPassFailure();
      }
      auto cluster = kernel->getAttrOfType<IntegerAttr>("tessera.cluster");
      emitRows(kernel, *program, rowThreads.getInt(), cluster ? cluster.getInt() : 1);
      divideByReciprocals(kernel);
      return;
    }
    if (failed(distributeOps(kernel, kernel->getAttrOfType<IntegerAttr>("tessera.threads").getInt())))
      return signalPassFailure();
  }
};
} // namespace
