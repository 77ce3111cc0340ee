// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/EmitLoops/LoopNest.h"
#include "passes/Passes.h"
#include "passes/Utils/Copies.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAEMITLOOPSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {
struct EmitLoopsPass : tessera::impl::TesseraEmitLoopsPassBase<EmitLoopsPass> {
  using Base::Base;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    // Copies are structured operations too.
    getOperation()->walk([&](rt::CopyOp copy) {
      rewriter.setInsertionPoint(copy);
      auto bytes = MemRefType::get({ShapedType::kDynamic}, rewriter.getI8Type());
      Value source = rt::BindOp::create(rewriter, copy.getLoc(), bytes, copy.getSource(), copy.getBytes());
      Value target = rt::BindOp::create(rewriter, copy.getLoc(), bytes, copy.getTarget(), copy.getBytes());
      rewriter.replaceOpWithNewOp<memref::CopyOp>(copy, source, target);
    });
    replaceCopies(rewriter, getOperation());
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    for (linalg::LinalgOp op : ops)
      if (failed(emit(rewriter, op)))
        return signalPassFailure();
  }

  LogicalResult emit(RewriterBase &rewriter, linalg::LinalgOp op) {
    if (FailureOr<LoopPlan> plan = planLoops(op, vectorBits); succeeded(plan)) {
      emitLoops(rewriter, op, *plan);
      return success();
    }
    rewriter.setInsertionPoint(op);
    if (failed(linalg::linalgOpToLoops(rewriter, op)))
      return op->emitOpError("expected an operation on buffers");
    rewriter.eraseOp(op);
    return success();
  }
};
} // namespace
