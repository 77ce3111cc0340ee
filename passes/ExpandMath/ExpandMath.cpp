// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/ExpandMath/ExpandMath.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Approximation.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAEXPANDMATHPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

Value tessera::callRuntime(ImplicitLocOpBuilder &b, Value x, Libm function, Value y) {
  if (!y)
    y = x;
  auto call = [&](Value first, Value second) -> Value {
    return rt::LibmOp::create(b, first.getType(), static_cast<int64_t>(function), first, second);
  };
  auto vectorType = dyn_cast<VectorType>(x.getType());
  if (!vectorType)
    return call(x, y);
  SmallVector<Value> elements;
  for (int64_t lane = 0; lane < vectorType.getDimSize(0); ++lane)
    elements.push_back(call(vector::ExtractOp::create(b, x, lane), vector::ExtractOp::create(b, y, lane)));
  return vector::FromElementsOp::create(b, vectorType, elements);
}

namespace {

/// Calls the runtime for each element.
template <typename OpTy, Libm function> struct CallRuntime : OpRewritePattern<OpTy> {
  CallRuntime(MLIRContext *context, bool f32Too) : OpRewritePattern<OpTy>(context), f32Too(f32Too) {}

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    Type element = getElementTypeOrSelf(op.getType());
    if (!element.isF64() && !(f32Too && element.isF32()))
      return failure();
    auto vectorType = dyn_cast<VectorType>(op.getType());
    if (vectorType && vectorType.getRank() != 1)
      return rewriter.notifyMatchFailure(op, "expected a vector of rank 1");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, callRuntime(b, op->getOperand(0), function, op->getOperands().back()));
    return success();
  }

  bool f32Too;
};

/// 2^x = e^(r ln 2) 2^n with n the nearest integer to x: r is exact, so the error is that of e^r. The power of two is
/// applied in two halves, so that results below the normal range round once.
struct ExpandExp2 : OpRewritePattern<math::Exp2Op> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::Exp2Op op, PatternRewriter &rewriter) const override {
    Type type = op.getType();
    if (!getElementTypeOrSelf(type).isF32())
      return failure();
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Type integers = type;
    if (auto vectorType = dyn_cast<VectorType>(type))
      integers = vectorType.clone(b.getI32Type());
    else
      integers = b.getI32Type();
    auto number = [&](float value) -> Value {
      TypedAttr attribute = b.getF32FloatAttr(value);
      if (auto vectorType = dyn_cast<VectorType>(type))
        attribute = DenseElementsAttr::get(vectorType, value);
      return arith::ConstantOp::create(b, attribute);
    };
    auto integer = [&](int32_t value) -> Value {
      TypedAttr attribute = b.getI32IntegerAttr(value);
      if (auto vectorType = dyn_cast<VectorType>(integers))
        attribute = DenseElementsAttr::get(vectorType, value);
      return arith::ConstantOp::create(b, attribute);
    };
    Value x = op.getOperand();
    Value clamped = arith::MinimumFOp::create(b, arith::MaximumFOp::create(b, x, number(-160)), number(130));
    Value n = math::RoundEvenOp::create(b, clamped);
    Value r = arith::SubFOp::create(b, clamped, n);
    Value e = math::ExpOp::create(b, arith::MulFOp::create(b, r, number(0.693147180559945f)));
    // The conversion of NaN is not defined, but any n will do for it: e is NaN then.
    Value isNumber = arith::CmpFOp::create(b, arith::CmpFPredicate::ORD, x, x);
    Value safe = arith::SelectOp::create(b, isNumber, n, number(0));
    Value exponent = arith::FPToSIOp::create(b, integers, safe);
    Value half = arith::ShRSIOp::create(b, exponent, integer(1));
    auto powerOfTwo = [&](Value k) -> Value {
      Value biased = arith::ShLIOp::create(b, arith::AddIOp::create(b, k, integer(127)), integer(23));
      return arith::BitcastOp::create(b, type, biased);
    };
    Value scaled = arith::MulFOp::create(b, e, powerOfTwo(half));
    rewriter.replaceOpWithNewOp<arith::MulFOp>(op, scaled, powerOfTwo(arith::SubIOp::create(b, exponent, half)));
    return success();
  }
};

struct ExpandMathPass : tessera::impl::TesseraExpandMathPassBase<ExpandMathPass> {
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    patterns.add<ExpandExp2>(context);
    patterns.add<CallRuntime<math::ExpOp, Libm::Exp>, CallRuntime<math::Exp2Op, Libm::Exp2>,
                 CallRuntime<math::ExpM1Op, Libm::Expm1>, CallRuntime<math::LogOp, Libm::Log>,
                 CallRuntime<math::Log2Op, Libm::Log2>, CallRuntime<math::Log1pOp, Libm::Log1p>,
                 CallRuntime<math::SinOp, Libm::Sin>, CallRuntime<math::CosOp, Libm::Cos>,
                 CallRuntime<math::TanhOp, Libm::Tanh>, CallRuntime<math::ErfOp, Libm::Erf>>(context, /*f32Too=*/false);
    patterns.add<CallRuntime<math::PowFOp, Libm::Pow>, CallRuntime<arith::RemFOp, Libm::Fmod>>(context,
                                                                                               /*f32Too=*/true);
    populateTrigonometryExpansion(patterns);
    populateMathPolynomialApproximationPatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
