// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/LowerToLinalg/ScalarBodies.h"

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tessera;

namespace {

/// Short names for the arithmetic that the bodies are made of.
struct Scalar {
  ImplicitLocOpBuilder b;

  template <typename OpTy, typename... Args> Value make(Args &&...args) {
    return OpTy::create(b, std::forward<Args>(args)...);
  }
  Value number(Type type, double value) { return buildNumber(b, b.getLoc(), type, value); }
  Value integer(Type type, const APInt &value) { return make<arith::ConstantOp>(IntegerAttr::get(type, value)); }
  Value compare(arith::CmpFPredicate p, Value x, Value y) { return make<arith::CmpFOp>(p, x, y); }
  Value compare(arith::CmpIPredicate p, Value x, Value y) { return make<arith::CmpIOp>(p, x, y); }
  Value select(Value c, Value x, Value y) { return make<arith::SelectOp>(c, x, y); }
  Value either(Value x, Value y) { return make<arith::OrIOp>(x, y); }
  Value both(Value x, Value y) { return make<arith::AndIOp>(x, y); }

  Value sign(Value x);
  Value integerDivision(Value x, Value y, bool wantRemainder);
  Value floatDivision(Value x, Value y, bool wantRemainder);
  Value integerPower(Value base, Value exponent);
  Value shift(Value x, Value by, bool left);
  Value compare(StringRef predicate, Value x, Value y);
  Value floatToInteger(Value x, IntegerType to);
  Value cast(Value x, Type to, bool saturate);
};

} // namespace

Value Scalar::sign(Value x) {
  Type type = x.getType();
  Value zero = number(type, 0), one = number(type, 1), minus = number(type, -1);
  if (isa<FloatType>(type)) {
    // NaN and both zeros are neither above nor below zero, and stay as they are.
    Value below = select(compare(arith::CmpFPredicate::OLT, x, zero), minus, x);
    return select(compare(arith::CmpFPredicate::OGT, x, zero), one, below);
  }
  Value below = select(compare(arith::CmpIPredicate::slt, x, zero), minus, zero);
  return select(compare(arith::CmpIPredicate::sgt, x, zero), one, below);
}

/// Python's // and % on integers. Neither a divisor of 0 (giving 0) nor the most negative number divided by -1
/// (wrapping around) may reach the machine's division, which traps on both.
Value Scalar::integerDivision(Value x, Value y, bool wantRemainder) {
  Type type = x.getType();
  Value zero = number(type, 0), one = number(type, 1), minus = number(type, -1);
  Value byZero = compare(arith::CmpIPredicate::eq, y, zero);
  Value byMinus = compare(arith::CmpIPredicate::eq, y, minus);
  Value divisor = select(either(byZero, byMinus), one, y);
  Value quotient = make<arith::DivSIOp>(x, divisor);
  Value remainder = make<arith::SubIOp>(x, make<arith::MulIOp>(quotient, divisor));
  Value inexact = compare(arith::CmpIPredicate::ne, remainder, zero);
  Value opposite = compare(arith::CmpIPredicate::slt, make<arith::XOrIOp>(remainder, divisor), zero);
  Value adjust = both(inexact, opposite);
  if (wantRemainder)
    return select(adjust, make<arith::AddIOp>(remainder, divisor), remainder);
  Value floor = select(adjust, make<arith::SubIOp>(quotient, one), quotient);
  Value result = select(byMinus, make<arith::SubIOp>(zero, x), floor);
  return select(byZero, zero, result);
}

/// Python's // and % on floats, from the exact remainder, so that x == (x // y) * y + x % y up to rounding.
Value Scalar::floatDivision(Value x, Value y, bool wantRemainder) {
  Type type = x.getType();
  Value zero = number(type, 0), one = number(type, 1), half = number(type, 0.5);
  Value remainder = make<arith::RemFOp>(x, y);
  Value inexact = compare(arith::CmpFPredicate::ONE, remainder, zero);
  Value opposite = make<arith::XOrIOp>(compare(arith::CmpFPredicate::OLT, remainder, zero),
                                       compare(arith::CmpFPredicate::OLT, y, zero));
  Value adjust = both(inexact, opposite);
  if (wantRemainder) {
    Value adjusted = select(adjust, make<arith::AddFOp>(remainder, y), remainder);
    // A remainder of 0 has the divisor's sign.
    Value isZero = compare(arith::CmpFPredicate::OEQ, remainder, zero);
    return select(isZero, make<math::CopySignOp>(zero, y), adjusted);
  }
  Value quotient = make<arith::DivFOp>(make<arith::SubFOp>(x, remainder), y);
  quotient = select(adjust, make<arith::SubFOp>(quotient, one), quotient);
  Value floor = make<math::FloorOp>(quotient);
  // The quotient is an integer but for rounding; do not let floor take a whole one off.
  Value low = compare(arith::CmpFPredicate::OGT, make<arith::SubFOp>(quotient, floor), half);
  Value result = select(low, make<arith::AddFOp>(floor, one), floor);
  return select(compare(arith::CmpFPredicate::OEQ, y, zero), make<arith::DivFOp>(x, y), result);
}

/// Repeated squaring over the bits of the exponent; to a negative power, every base but 1 and -1 gives 0.
Value Scalar::integerPower(Value base, Value exponent) {
  Type type = base.getType();
  unsigned width = type.getIntOrFloatBitWidth();
  Value zero = number(type, 0), one = number(type, 1), minus = number(type, -1);
  Value result = one, square = base, odd;
  for (unsigned bit = 0; bit < width - 1; ++bit) {
    Value isSet =
        compare(arith::CmpIPredicate::ne, both(exponent, integer(type, APInt::getOneBitSet(width, bit))), zero);
    if (bit == 0)
      odd = isSet;
    result = select(isSet, make<arith::MulIOp>(result, square), result);
    square = make<arith::MulIOp>(square, square);
  }
  Value isOne = compare(arith::CmpIPredicate::eq, base, one), isMinus = compare(arith::CmpIPredicate::eq, base, minus);
  Value inverse = select(isOne, one, select(isMinus, select(odd, minus, one), zero));
  return select(compare(arith::CmpIPredicate::slt, exponent, zero), inverse, result);
}

Value Scalar::shift(Value x, Value by, bool left) {
  Type type = x.getType();
  unsigned width = type.getIntOrFloatBitWidth();
  Value outside = compare(arith::CmpIPredicate::uge, by, number(type, width));
  Value zero = number(type, 0);
  if (left)
    return select(outside, zero, make<arith::ShLIOp>(x, select(outside, zero, by)));
  return make<arith::ShRSIOp>(x, select(outside, number(type, width - 1), by));
}

Value Scalar::compare(StringRef predicate, Value x, Value y) {
  if (isa<FloatType>(x.getType())) {
    return compare(llvm::StringSwitch<arith::CmpFPredicate>(predicate)
                       .Case("eq", arith::CmpFPredicate::OEQ)
                       .Case("ne", arith::CmpFPredicate::UNE)
                       .Case("lt", arith::CmpFPredicate::OLT)
                       .Case("le", arith::CmpFPredicate::OLE)
                       .Case("gt", arith::CmpFPredicate::OGT)
                       .Case("ge", arith::CmpFPredicate::OGE),
                   x, y);
  }
  // true is 1, which is negative as a signed i1.
  bool isBool = x.getType().isInteger(1);
  return compare(llvm::StringSwitch<arith::CmpIPredicate>(predicate)
                     .Case("eq", arith::CmpIPredicate::eq)
                     .Case("ne", arith::CmpIPredicate::ne)
                     .Case("lt", isBool ? arith::CmpIPredicate::ult : arith::CmpIPredicate::slt)
                     .Case("le", isBool ? arith::CmpIPredicate::ule : arith::CmpIPredicate::sle)
                     .Case("gt", isBool ? arith::CmpIPredicate::ugt : arith::CmpIPredicate::sgt)
                     .Case("ge", isBool ? arith::CmpIPredicate::uge : arith::CmpIPredicate::sge),
                 x, y);
}

/// Truncates, saturating at the integer's range, with NaN giving 0.
Value Scalar::floatToInteger(Value x, IntegerType to) {
  Type from = x.getType();
  unsigned width = to.getWidth();
  // 2^(width-1), a power of two, is exact in every float type that reaches it.
  Value limit = number(from, std::ldexp(1.0, width - 1)), lowest = number(from, -std::ldexp(1.0, width - 1));
  Value above = compare(arith::CmpFPredicate::OGE, x, limit);
  Value below = compare(arith::CmpFPredicate::OLT, x, lowest);
  Value isNaN = compare(arith::CmpFPredicate::UNO, x, x);
  Value safe = select(either(isNaN, either(above, below)), number(from, 0), x);
  Value converted = make<arith::FPToSIOp>(to, safe);
  converted = select(above, integer(to, APInt::getSignedMaxValue(width)), converted);
  return select(below, integer(to, APInt::getSignedMinValue(width)), converted);
}

Value Scalar::cast(Value x, Type to, bool saturate) {
  Type from = x.getType();
  if (from == to)
    return x;
  if (to.isInteger(1))
    return isa<FloatType>(from) ? compare(arith::CmpFPredicate::UNE, x, number(from, 0))
                                : compare(arith::CmpIPredicate::ne, x, number(from, 0));
  Type f32 = b.getF32Type();
  auto isNarrow = [](Type type) { return isa<FloatType>(type) && type.getIntOrFloatBitWidth() < 32; };
  if (isa<FloatType>(from) && isa<FloatType>(to)) {
    // Formats that do not contain each other meet in f32, which contains all narrow ones.
    if (isNarrow(from) && isNarrow(to))
      return cast(make<arith::ExtFOp>(f32, x), to, saturate);
    if (to.getIntOrFloatBitWidth() > from.getIntOrFloatBitWidth())
      return make<arith::ExtFOp>(to, x);
    if (to.getIntOrFloatBitWidth() == 8 && from.isF64())
      return cast(make<arith::TruncFOp>(f32, x), to, saturate);
    if (saturate) {
      double largest = APFloat::getLargest(mlir::cast<FloatType>(to).getFloatSemantics()).convertToDouble();
      x = make<arith::MinimumFOp>(make<arith::MaximumFOp>(x, number(from, -largest)), number(from, largest));
    }
    return make<arith::TruncFOp>(to, x);
  }
  if (isa<FloatType>(from))
    return floatToInteger(isNarrow(from) ? make<arith::ExtFOp>(f32, x) : x, mlir::cast<IntegerType>(to));
  if (isa<FloatType>(to)) {
    if (isNarrow(to))
      return cast(cast(x, f32, false), to, saturate);
    return from.isInteger(1) ? make<arith::UIToFPOp>(to, x) : make<arith::SIToFPOp>(to, x);
  }
  if (from.isInteger(1))
    return make<arith::ExtUIOp>(to, x);
  if (to.getIntOrFloatBitWidth() > from.getIntOrFloatBitWidth())
    return make<arith::ExtSIOp>(to, x);
  return make<arith::TruncIOp>(to, x);
}

Value tessera::buildNumber(OpBuilder &builder, Location loc, Type type, double value) {
  TypedAttr attribute = isa<FloatType>(type) ? TypedAttr(FloatAttr::get(type, value))
                                             : TypedAttr(IntegerAttr::get(type, static_cast<int64_t>(value)));
  return arith::ConstantOp::create(builder, loc, attribute);
}

Value tessera::buildScalarCast(OpBuilder &builder, Location loc, Value value, Type to, bool saturate) {
  return Scalar{ImplicitLocOpBuilder(loc, builder)}.cast(value, to, saturate);
}

Value tessera::buildScalar(OpBuilder &builder, Operation *op, ValueRange e) {
  Scalar s{ImplicitLocOpBuilder(op->getLoc(), builder)};
  Value x = e[0], y = e.size() > 1 ? e[1] : Value();
  Type type = x.getType();
  bool isFloat = isa<FloatType>(type);
  return TypeSwitch<Operation *, Value>(op)
      .Case([&](NegOp) { return isFloat ? s.make<arith::NegFOp>(x) : s.make<arith::SubIOp>(s.number(type, 0), x); })
      .Case([&](AbsOp) { return isFloat ? s.make<math::AbsFOp>(x) : s.make<math::AbsIOp>(x); })
      .Case([&](SignOp) { return s.sign(x); })
      .Case([&](NotOp) {
        return s.make<arith::XOrIOp>(x, s.integer(type, APInt::getAllOnes(type.getIntOrFloatBitWidth())));
      })
      .Case([&](ExpOp) { return s.make<math::ExpOp>(x); })
      .Case([&](Exp2Op) { return s.make<math::Exp2Op>(x); })
      .Case([&](Expm1Op) { return s.make<math::ExpM1Op>(x); })
      .Case([&](LogOp) { return s.make<math::LogOp>(x); })
      .Case([&](Log1pOp) { return s.make<math::Log1pOp>(x); })
      .Case([&](Log2Op) { return s.make<math::Log2Op>(x); })
      .Case([&](SqrtOp) { return s.make<math::SqrtOp>(x); })
      .Case([&](RsqrtOp) { return s.make<arith::DivFOp>(s.number(type, 1), s.make<math::SqrtOp>(x)); })
      .Case([&](TanhOp) { return s.make<math::TanhOp>(x); })
      .Case([&](ErfOp) { return s.make<math::ErfOp>(x); })
      .Case([&](SinOp) { return s.make<math::SinOp>(x); })
      .Case([&](CosOp) { return s.make<math::CosOp>(x); })
      .Case([&](SigmoidOp) {
        Value e = s.make<math::ExpOp>(s.make<arith::NegFOp>(x));
        return s.make<arith::DivFOp>(s.number(type, 1), s.make<arith::AddFOp>(s.number(type, 1), e));
      })
      .Case([&](FloorOp) { return s.make<math::FloorOp>(x); })
      .Case([&](CeilOp) { return s.make<math::CeilOp>(x); })
      .Case([&](RoundOp) { return s.make<math::RoundEvenOp>(x); })
      .Case([&](AddOp) { return isFloat ? s.make<arith::AddFOp>(x, y) : s.make<arith::AddIOp>(x, y); })
      .Case([&](SubOp) { return isFloat ? s.make<arith::SubFOp>(x, y) : s.make<arith::SubIOp>(x, y); })
      .Case([&](MulOp) { return isFloat ? s.make<arith::MulFOp>(x, y) : s.make<arith::MulIOp>(x, y); })
      .Case([&](DivOp) { return s.make<arith::DivFOp>(x, y); })
      .Case([&](FloorDivOp) { return isFloat ? s.floatDivision(x, y, false) : s.integerDivision(x, y, false); })
      .Case([&](RemOp) { return isFloat ? s.floatDivision(x, y, true) : s.integerDivision(x, y, true); })
      .Case([&](PowOp) { return isFloat ? s.make<math::PowFOp>(x, y) : s.integerPower(x, y); })
      .Case([&](MaximumOp) { return isFloat ? s.make<arith::MaximumFOp>(x, y) : s.make<arith::MaxSIOp>(x, y); })
      .Case([&](MinimumOp) { return isFloat ? s.make<arith::MinimumFOp>(x, y) : s.make<arith::MinSIOp>(x, y); })
      .Case([&](AndOp) { return s.both(x, y); })
      .Case([&](OrOp) { return s.either(x, y); })
      .Case([&](XorOp) { return s.make<arith::XOrIOp>(x, y); })
      .Case([&](ShiftLeftOp) { return s.shift(x, y, true); })
      .Case([&](ShiftRightOp) { return s.shift(x, y, false); })
      .Case([&](CompareOp compare) { return s.compare(compare.getPredicate(), x, y); })
      .Case([&](SelectOp) { return s.select(x, y, e[2]); })
      .Case([&](CastOp cast) { return s.cast(x, cast.getResult().getType().getElementType(), cast.getSaturate()); })
      .Default([](Operation *) -> Value { llvm_unreachable("not an elementwise operation"); });
}
