// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/ExpandFp8/ConvertPairs.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAEXPANDFP8PASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

static bool isFp8(Type type) { return isa<Float8E4M3FNType, Float8E5M2Type>(getElementTypeOrSelf(type)); }

namespace {

/// Arithmetic on scalars or on vectors of one shape.
struct Bits {
  ImplicitLocOpBuilder b;
  Type shape;

  Type typed(Type element) const {
    if (auto vector = dyn_cast<VectorType>(shape))
      return vector.clone(element);
    return element;
  }
  Type integers(unsigned width) { return typed(b.getIntegerType(width)); }
  Type floats() { return typed(b.getF32Type()); }

  Value constant(Type type, TypedAttr element) {
    if (auto vector = dyn_cast<VectorType>(type))
      return arith::ConstantOp::create(b, DenseElementsAttr::get(vector, Attribute(element)));
    return arith::ConstantOp::create(b, element);
  }
  Value number(Value like, uint64_t value) {
    Type element = getElementTypeOrSelf(like);
    return constant(like.getType(), IntegerAttr::get(element, APInt(element.getIntOrFloatBitWidth(), value)));
  }
  Value number(double value) { return constant(floats(), b.getF32FloatAttr(value)); }

  template <typename OpTy> Value apply(Value x, uint64_t y) { return OpTy::create(b, x, number(x, y)); }
  Value compare(arith::CmpIPredicate predicate, Value x, uint64_t y) {
    return arith::CmpIOp::create(b, predicate, x, number(x, y));
  }
  Value reinterpret(Value x, Type type) { return arith::BitcastOp::create(b, type, x); }

  Value widenE4M3(Value code);
  Value widenE5M2(Value code);
  Value signOf(Value x);
  Value narrow(Value x, Value sign, Type type);
  Value narrowByInstruction(Value x, Value sign, Type type);
};

} // namespace

/// The same fields in the places of an f16's are 2^-8 of the number; the exponent's top bit is free.
Value Bits::widenE4M3(Value code) {
  Value isNaN = compare(arith::CmpIPredicate::eq, apply<arith::AndIOp>(code, 0x7f), 0x7f);
  Value half = apply<arith::ShLIOp>(arith::ExtSIOp::create(b, integers(16), code), 7);
  half = apply<arith::AndIOp>(half, 0xbfff);
  Value nan = apply<arith::OrIOp>(apply<arith::AndIOp>(half, 0x8000), 0x7e00);
  half = arith::SelectOp::create(b, isNaN, nan, half);
  Value scaled = arith::ExtFOp::create(b, floats(), reinterpret(half, typed(b.getF16Type())));
  return arith::MulFOp::create(b, scaled, number(256.0));
}

/// The upper byte of an f16.
Value Bits::widenE5M2(Value code) {
  Value isNaN = compare(arith::CmpIPredicate::ugt, apply<arith::AndIOp>(code, 0x7f), 0x7c);
  Value nan = apply<arith::OrIOp>(apply<arith::AndIOp>(code, 0x80), 0x7e);
  code = arith::SelectOp::create(b, isNaN, nan, code);
  Value half = apply<arith::ShLIOp>(arith::ExtUIOp::create(b, integers(16), code), 8);
  return arith::ExtFOp::create(b, floats(), reinterpret(half, typed(b.getF16Type())));
}

/// The sign of an f16 or f32 in its place in a code. A device that makes an f16 an f32 loses that of NaN.
Value Bits::signOf(Value x) {
  unsigned width = getElementTypeOrSelf(x).getIntOrFloatBitWidth();
  Value upper = apply<arith::ShRUIOp>(reinterpret(x, integers(width)), width - 8);
  return apply<arith::AndIOp>(arith::TruncIOp::create(b, integers(8), upper), 0x80);
}

Value Bits::narrow(Value x, Value sign, Type type) {
  bool hasInfinity = isa<Float8E5M2Type>(getElementTypeOrSelf(type));
  int mantissa = hasInfinity ? 2 : 3, bias = hasInfinity ? 15 : 7, shift = 23 - mantissa;
  uint64_t largest = hasInfinity ? 0x7c : 0x7f, nan = hasInfinity ? 0x7e : 0x7f;

  Value bits = reinterpret(x, integers(32));
  Value magnitude = apply<arith::AndIOp>(bits, 0x7fffffff);
  // Half of the last place, less one where the last place is even: a carry goes into the exponent, as it should.
  Value isOdd = apply<arith::AndIOp>(apply<arith::ShRUIOp>(magnitude, shift), 1);
  Value rounded = apply<arith::AddIOp>(magnitude, (uint64_t(1) << (shift - 1)) - 1);
  rounded = arith::AddIOp::create(b, rounded, isOdd);
  Value normal = apply<arith::ShRUIOp>(apply<arith::SubIOp>(rounded, uint64_t(127 - bias) << 23), shift);

  // The adder rounds at the last place of this number, which is the smallest subnormal.
  uint64_t unit = uint64_t(127 + 23 + 1 - bias - mantissa) << 23;
  Value sum = arith::AddFOp::create(b, reinterpret(magnitude, floats()), reinterpret(number(bits, unit), floats()));
  Value subnormal = apply<arith::SubIOp>(reinterpret(sum, integers(32)), unit);

  Value isSubnormal = compare(arith::CmpIPredicate::ult, magnitude, uint64_t(127 + 1 - bias) << 23);
  Value code = arith::SelectOp::create(b, isSubnormal, subnormal, normal);
  code = apply<arith::MinUIOp>(code, largest);
  if (nan != largest)
    code =
        arith::SelectOp::create(b, compare(arith::CmpIPredicate::ugt, magnitude, 0x7f800000), number(code, nan), code);
  code = arith::OrIOp::create(b, arith::TruncIOp::create(b, integers(8), code), sign);
  return reinterpret(code, type);
}

/// The instruction saturates, so that what is beyond the largest number, and NaN, is put right.
Value Bits::narrowByInstruction(Value x, Value sign, Type type) {
  bool hasInfinity = isa<Float8E5M2Type>(getElementTypeOrSelf(type));
  Value code = narrowPairs(b, x, getElementTypeOrSelf(type));
  Value magnitude = reinterpret(apply<arith::AndIOp>(reinterpret(x, integers(32)), 0x7fffffff), floats());
  auto putRight = [&](arith::CmpFPredicate predicate, double limit, uint64_t special) {
    Value isBeyond = arith::CmpFOp::create(b, predicate, magnitude, number(limit));
    code = arith::SelectOp::create(b, isBeyond, apply<arith::OrIOp>(sign, special), code);
  };
  // Halfway to the number that there is not, which is odd in one type and even in the other.
  if (hasInfinity) {
    putRight(arith::CmpFPredicate::OGE, 61440, 0x7c);
    putRight(arith::CmpFPredicate::UNO, 0, 0x7e);
  } else {
    putRight(arith::CmpFPredicate::UGT, 464, 0x7f);
  }
  return reinterpret(code, type);
}

namespace {

struct ExpandWidening : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::ExtFOp op, PatternRewriter &rewriter) const override {
    Type from = op.getIn().getType(), to = op.getType();
    if (!isFp8(from) || isa<TensorType>(from))
      return failure();
    Bits bits{ImplicitLocOpBuilder(op.getLoc(), rewriter), from};
    Value code = bits.reinterpret(op.getIn(), bits.integers(8));
    bool isE5M2 = isa<Float8E5M2Type>(getElementTypeOrSelf(from));
    Value wide;
    if (convertsPairs(op))
      wide = arith::ExtFOp::create(bits.b, bits.floats(), widenPairs(bits.b, code, getElementTypeOrSelf(from)));
    else
      wide = isE5M2 ? bits.widenE5M2(code) : bits.widenE4M3(code);
    Type element = getElementTypeOrSelf(to);
    if (element.isF64()) {
      wide = arith::ExtFOp::create(bits.b, to, wide);
    } else if (element.isBF16()) {
      // Nothing is lost, so that cutting is enough.
      Value upper = bits.apply<arith::ShRUIOp>(bits.reinterpret(wide, bits.integers(32)), 16);
      wide = bits.reinterpret(arith::TruncIOp::create(bits.b, bits.integers(16), upper), to);
    } else if (element.isF16()) {
      wide = arith::TruncFOp::create(bits.b, to, wide);
    } else if (!element.isF32()) {
      return rewriter.notifyMatchFailure(op, "unsupported result type");
    }
    rewriter.replaceOp(op, wide);
    return success();
  }
};

struct ExpandNarrowing : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    Type from = op.getIn().getType(), to = op.getType();
    if (!isFp8(to) || isa<TensorType>(to))
      return failure();
    if (op.getRoundingmode().value_or(arith::RoundingMode::to_nearest_even) != arith::RoundingMode::to_nearest_even)
      return rewriter.notifyMatchFailure(op, "unsupported rounding mode");
    Bits bits{ImplicitLocOpBuilder(op.getLoc(), rewriter), to};
    Type element = getElementTypeOrSelf(from);
    Value x = op.getIn();
    if (element.isF64())
      x = arith::TruncFOp::create(bits.b, bits.floats(), x);
    else if (element.isF16() || element.isBF16())
      x = arith::ExtFOp::create(bits.b, bits.floats(), x);
    else if (!element.isF32())
      return rewriter.notifyMatchFailure(op, "unsupported operand type");
    Value sign = bits.signOf(element.isF16() ? op.getIn() : x);
    rewriter.replaceOp(op, convertsPairs(op) ? bits.narrowByInstruction(x, sign, to) : bits.narrow(x, sign, to));
    return success();
  }
};

struct ExpandFp8Pass : tessera::impl::TesseraExpandFp8PassBase<ExpandFp8Pass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<ExpandNarrowing, ExpandWidening>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
