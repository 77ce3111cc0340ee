// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sine and cosine on f32. Upstream's approximation reduces the argument in f32, which leaves an error of 1e-3 at 1e4:
// rotary embeddings take the sine of every position.

#include "passes/ExpandMath/ExpandMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace tessera;

namespace {

// pi/2 as the sum of two doubles. With a fused product, x - n pi/2 keeps all bits of an f32 while n is exact.
constexpr double kTwoByPi = 0.6366197723675814;
constexpr double kHalfPiHigh = 1.5707963267948966;
constexpr double kHalfPiLow = 6.123233995736766e-17;
// Beyond this the nearest multiple of pi/2 is no longer exact, and the library takes over.
constexpr double kLargest = 0x1p48;
// Interpolations at Chebyshev nodes of z = r^2 in [0, (pi/4)^2]: (sin(r)/r - 1)/z, off by 1.9e-11 after the product
// with z, and (cos(r) - 1 + z/2)/z^2, off by 1.3e-9.
constexpr float kSine[] = {-0.166666666636f, 0.00833333178567f, -0.00019840039113f, 2.72438119753e-6f};
constexpr float kCosine[] = {0.0416666645369f, -0.00138882794496f, 2.45428963369e-5f};

/// Arithmetic on scalars or vectors of one length.
class Arithmetic {
public:
  Arithmetic(ImplicitLocOpBuilder &b, Type like) : b(b), like(like) {}

  Type typed(Type element) const {
    auto vectorType = dyn_cast<VectorType>(like);
    return vectorType ? Type(vectorType.clone(element)) : element;
  }
  Value number(Type element, double value) {
    TypedAttr attribute = b.getFloatAttr(element, value);
    if (auto vectorType = dyn_cast<VectorType>(like))
      attribute = DenseElementsAttr::get(vectorType.clone(element), attribute);
    return arith::ConstantOp::create(b, attribute);
  }
  Value number(double value) { return number(b.getF32Type(), value); }
  Value wide(double value) { return number(b.getF64Type(), value); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, x, y); }
  Value fma(Value x, Value y, Value z) { return math::FmaOp::create(b, x, y, z); }
  Value polynomial(Value x, ArrayRef<float> coefficients) {
    Value sum = number(coefficients.back());
    for (float coefficient : llvm::reverse(coefficients.drop_back()))
      sum = fma(sum, x, number(coefficient));
    return sum;
  }
  Value compare(arith::CmpFPredicate predicate, Value x, Value y) { return arith::CmpFOp::create(b, predicate, x, y); }

private:
  ImplicitLocOpBuilder &b;
  Type like;
};

template <typename OpTy, Libm function, int quadrantShift> struct ExpandSine : OpRewritePattern<OpTy> {
  // Before upstream's.
  explicit ExpandSine(MLIRContext *context) : OpRewritePattern<OpTy>(context, /*benefit=*/2) {}

  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    Type type = op.getType();
    auto vectorType = dyn_cast<VectorType>(type);
    if (!getElementTypeOrSelf(type).isF32() || (vectorType && vectorType.getRank() != 1))
      return failure();
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Arithmetic a(b, type);
    Value x = arith::ExtFOp::create(b, a.typed(b.getF64Type()), op.getOperand());
    Value isLarge = a.compare(arith::CmpFPredicate::OGT, math::AbsFOp::create(b, x), a.wide(kLargest));
    Value anyLarge =
        vectorType ? vector::ReductionOp::create(b, vector::CombiningKind::OR, isLarge).getResult() : isLarge;
    auto branch = scf::IfOp::create(b, type, anyLarge, /*withElseRegion=*/true);
    b.setInsertionPointToStart(branch.thenBlock());
    Value exact = callRuntime(b, x, function);
    scf::YieldOp::create(b, arith::TruncFOp::create(b, type, exact).getResult());
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, approximate(b, a, type, x));
    rewriter.replaceOp(op, branch);
    return success();
  }

  /// x = n pi/2 + r with |r| <= pi/4: the sine or cosine of r, by n modulo 4.
  static Value approximate(ImplicitLocOpBuilder &b, Arithmetic &a, Type type, Value x) {
    Value n = math::RoundEvenOp::create(b, a.mul(x, a.wide(kTwoByPi)));
    Value minusN = arith::NegFOp::create(b, n);
    Value reduced = a.fma(minusN, a.wide(kHalfPiLow), a.fma(minusN, a.wide(kHalfPiHigh), x));
    Value r = arith::TruncFOp::create(b, type, reduced);
    Value z = a.mul(r, r);
    Value sine = a.fma(a.mul(r, z), a.polynomial(z, kSine), r);
    Value cosine = a.fma(a.mul(z, z), a.polynomial(z, kCosine), a.fma(z, a.number(-0.5), a.number(1)));

    // In floats, because the conversion of NaN to an integer is not defined.
    Value turned = quadrantShift ? arith::AddFOp::create(b, n, a.wide(quadrantShift)).getResult() : n;
    Value turns = math::FloorOp::create(b, a.mul(turned, a.wide(0.25)));
    Value quadrant = a.fma(turns, a.wide(-4), turned);
    Value isOdd = arith::OrIOp::create(b, a.compare(arith::CmpFPredicate::OEQ, quadrant, a.wide(1)),
                                       a.compare(arith::CmpFPredicate::OEQ, quadrant, a.wide(3)));
    Value isNegative = a.compare(arith::CmpFPredicate::OGE, quadrant, a.wide(2));
    Value value = arith::SelectOp::create(b, isOdd, cosine, sine);
    return arith::SelectOp::create(b, isNegative, arith::NegFOp::create(b, value), value);
  }
};

} // namespace

void tessera::populateTrigonometryExpansion(RewritePatternSet &patterns) {
  patterns.add<ExpandSine<math::SinOp, Libm::Sin, 0>, ExpandSine<math::CosOp, Libm::Cos, 1>>(patterns.getContext());
}
