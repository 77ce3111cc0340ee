// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/LowerToLinalg/Generic.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Func/Transforms/FuncConversions.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERALOWERTOLINALGPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {

struct LowerToLinalgPass : tessera::impl::TesseraLowerToLinalgPassBase<LowerToLinalgPass> {
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    MemoryTypeConverter converter;
    ConversionTarget target(*context);
    target.addLegalDialect<arith::ArithDialect, linalg::LinalgDialect, math::MathDialect, rt::RuntimeDialect,
                           scf::SCFDialect, tensor::TensorDialect>();
    target.addIllegalDialect<TesseraDialect>();
    target.addLegalOp<SymbolOp>();
    target.addDynamicallyLegalOp<BindShapeOp, FlashAttentionOp, FlashAttentionVarlenOp, PagedAttentionOp, ScatterOp,
                                 tensor::DimOp>([&](Operation *op) { return converter.isLegal(op); });
    target.addDynamicallyLegalOp<ReshapeOp>(
        [&](ReshapeOp op) { return converter.isLegal(op.getOperation()) && !findUnitReshape(op); });
    target.addDynamicallyLegalOp<func::FuncOp>(
        [&](func::FuncOp op) { return converter.isSignatureLegal(op.getFunctionType()); });
    target.addDynamicallyLegalOp<func::ReturnOp, func::CallOp>([&](Operation *op) { return converter.isLegal(op); });

    RewritePatternSet patterns(context);
    populateElementwiseLowering(patterns, converter);
    populateReductionLowering(patterns, converter);
    populateShapeLowering(patterns, converter);
    populateOrderLowering(patterns, converter);
    populateControlLowering(patterns, converter);
    populateFunctionOpInterfaceTypeConversionPattern<func::FuncOp>(patterns, converter);
    populateReturnOpTypeConversionPattern(patterns, converter);
    populateCallOpTypeConversionPattern(patterns, converter);
    if (failed(applyPartialConversion(getOperation(), target, std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
