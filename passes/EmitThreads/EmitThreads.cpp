// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitThreads/EmitThreads.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/EmitThreads/DivideByNumber.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAEMITTHREADSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

/// Whether an operation only reads what no kernel writes: arguments that are weights.
static bool readsConstants(Operation *op) {
  auto effects = dyn_cast<MemoryEffectOpInterface>(op);
  if (!effects || !hasSingleEffect<MemoryEffects::Read>(op) || op->getNumRegions() != 0)
    return false;
  return llvm::all_of(op->getOperands(), [](Value operand) {
    if (!isa<MemRefType>(operand.getType()))
      return true;
    auto bind = findMemory(operand).getDefiningOp<rt::BindOp>();
    auto buffer = bind ? dyn_cast<BlockArgument>(bind.getSource()) : BlockArgument();
    auto kernel = buffer ? dyn_cast<gpu::GPUFuncOp>(buffer.getOwner()->getParentOp()) : gpu::GPUFuncOp();
    return kernel && kernel.getArgAttr(buffer.getArgNumber(), "tessera.constant");
  });
}

/// Lets the next kernel's blocks onto the device as this one's are, and waits for the kernel before as late as may be:
/// until memory is used that it may have written, or may still read.
static void overlapStart(gpu::GPUFuncOp kernel) {
  Block &block = kernel.getBody().front();
  OpBuilder b = OpBuilder::atBlockBegin(&block);
  NVVM::GriddepcontrolOp::create(b, kernel.getLoc(), NVVM::GridDepActionKind::launch_dependents);
  for (Operation &op : llvm::make_range(b.getInsertionPoint(), block.end())) {
    if (isMemoryEffectFree(&op) || readsConstants(&op))
      continue;
    b.setInsertionPoint(&op);
    NVVM::GriddepcontrolOp::create(b, kernel.getLoc(), NVVM::GridDepActionKind::wait);
    return;
  }
}

namespace {
struct EmitThreadsPass : tessera::impl::TesseraEmitThreadsPassBase<EmitThreadsPass> {
  void runOnOperation() override {
    if (failed(emit(getOperation())))
      return signalPassFailure();
    if (getOperation()->hasAttr("tessera.pdl"))
      overlapStart(getOperation());
  }

  LogicalResult emit(gpu::GPUFuncOp kernel) {
    if (auto rowThreads = kernel->getAttrOfType<IntegerAttr>("tessera.row_threads")) {
      FailureOr<RowProgram> program = RowProgram::analyze(kernel.getBody().front());
      if (failed(program))
        return kernel.emitOpError("expected a row program");
      auto cluster = kernel->getAttrOfType<IntegerAttr>("tessera.cluster");
      emitRows(kernel, *program, rowThreads.getInt(), cluster ? cluster.getInt() : 1);
      divideByReciprocals(kernel);
      return success();
    }
    return distributeOps(kernel, kernel->getAttrOfType<IntegerAttr>("tessera.threads").getInt());
  }
};
} // namespace
