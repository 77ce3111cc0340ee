// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERACONVERTNARROWPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

static bool isNarrow(Type type) {
  Type element = getElementTypeOrSelf(type);
  return isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32;
}

static Type withElement(Type type, Type element) {
  auto vectorType = dyn_cast<VectorType>(type);
  return vectorType ? Type(vectorType.clone(element)) : element;
}

namespace {

/// Integers become narrow floats by way of f32, and the other way round: canonicalization leaves the middle out, but
/// neither LLVM nor the expansions have the direct conversion.
template <typename OpTy, bool toNarrow> struct ConvertThroughF32 : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    Type narrow = toNarrow ? op.getType() : op.getOperand().getType();
    if (!isNarrow(narrow))
      return failure();
    Type wide = withElement(narrow, rewriter.getF32Type());
    if constexpr (toNarrow) {
      Value middle = OpTy::create(rewriter, op.getLoc(), wide, op.getOperand());
      rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, narrow, middle);
    } else {
      Value middle = arith::ExtFOp::create(rewriter, op.getLoc(), wide, op.getOperand());
      rewriter.replaceOpWithNewOp<OpTy>(op, op.getType(), middle);
    }
    return success();
  }
};

struct CompareInF32 : OpRewritePattern<arith::CmpFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::CmpFOp op, PatternRewriter &rewriter) const override {
    if (!isNarrow(op.getLhs().getType()))
      return failure();
    Type wide = withElement(op.getLhs().getType(), rewriter.getF32Type());
    auto widen = [&](Value value) -> Value { return arith::ExtFOp::create(rewriter, op.getLoc(), wide, value); };
    rewriter.replaceOpWithNewOp<arith::CmpFOp>(op, op.getPredicate(), widen(op.getLhs()), widen(op.getRhs()));
    return success();
  }
};

/// f64 narrows to 16 or 8 bits by way of f32, rounded to odd: the last bit of an inexact f32 is set, so that the second
/// rounding sees on which side of the middle the number was.
struct NarrowDouble : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    Value x = op.getIn();
    if (!getElementTypeOrSelf(x.getType()).isF64() || !isNarrow(op.getType()))
      return failure();
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Type single = withElement(x.getType(), b.getF32Type()), bits = withElement(x.getType(), b.getI32Type());
    Value one = arith::ConstantOp::create(b, rewriter.getOneAttr(bits));
    Value nearest = arith::TruncFOp::create(b, single, x);
    Value back = arith::ExtFOp::create(b, x.getType(), nearest);
    Value exact = arith::CmpFOp::create(b, arith::CmpFPredicate::UEQ, back, x);
    Value above =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, math::AbsFOp::create(b, back), math::AbsFOp::create(b, x));
    Value pattern = arith::BitcastOp::create(b, bits, nearest);
    Value towardZero = arith::SelectOp::create(b, above, arith::SubIOp::create(b, pattern, one), pattern);
    Value odd = arith::BitcastOp::create(b, single, arith::OrIOp::create(b, towardZero, one));
    Value rounded = arith::SelectOp::create(b, exact, nearest, odd);
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, op.getType(), rounded);
    return success();
  }
};

struct ConvertNarrowPass : tessera::impl::TesseraConvertNarrowPassBase<ConvertNarrowPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<CompareInF32, NarrowDouble, ConvertThroughF32<arith::SIToFPOp, true>,
                 ConvertThroughF32<arith::UIToFPOp, true>, ConvertThroughF32<arith::FPToSIOp, false>,
                 ConvertThroughF32<arith::FPToUIOp, false>>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
