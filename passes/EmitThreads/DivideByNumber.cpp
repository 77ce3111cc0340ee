// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A division takes a GPU ten instructions and a branch, and rows are often divided by one number. With r = 1/d rounded
// to nearest, q = x r and its remainder e = x - q d, q + e r is x/d rounded to nearest as long as nothing overflows or
// becomes subnormal on the way (P. Markstein, Computation of elementary functions on the IBM RISC System/6000, 1990).
// Where a reciprocal is allowed, q alone will do.

#include "passes/EmitThreads/DivideByNumber.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace tessera;

// Between these, a divisor's reciprocal is a normal number, and so are remainders that matter.
constexpr float kLeast = 0x1p-60f, kMost = 0x1p60f;

namespace {
struct Divisor {
  Value reciprocal, isUsual;
};
} // namespace

static Divisor prepare(Value number) {
  ImplicitLocOpBuilder b(number.getLoc(), number.getContext());
  b.setInsertionPointAfterValue(number);
  auto constant = [&](float value) -> Value { return arith::ConstantOp::create(b, b.getF32FloatAttr(value)); };
  Value reciprocal = arith::DivFOp::create(b, constant(1), number);
  Value size = math::AbsFOp::create(b, number);
  Value isLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, size, constant(kLeast));
  Value isSmall = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, size, constant(kMost));
  return {reciprocal, arith::AndIOp::create(b, isLarge, isSmall)};
}

void tessera::divideByReciprocals(Operation *root) {
  SmallVector<std::pair<arith::DivFOp, Value>> divisions;
  root->walk([&](arith::DivFOp division) {
    auto divisor = division.getRhs().getDefiningOp<vector::BroadcastOp>();
    if (divisor && divisor.getSource().getType().isF32())
      divisions.push_back({division, divisor.getSource()});
  });
  DenseMap<Value, Divisor> divisors;
  for (auto [division, number] : divisions) {
    Divisor &divisor = divisors[number];
    if (!divisor.reciprocal)
      divisor = prepare(number);
    ImplicitLocOpBuilder b(division.getLoc(), division);
    Value x = division.getLhs(), d = division.getRhs();
    auto branch = scf::IfOp::create(b, x.getType(), divisor.isUsual, /*withElseRegion=*/true);
    division.replaceAllUsesWith(branch.getResult(0));
    b.setInsertionPointToEnd(branch.thenBlock());
    Value r = vector::BroadcastOp::create(b, x.getType(), divisor.reciprocal);
    Value q = arith::MulFOp::create(b, x, r);
    if (!bitEnumContainsAll(division.getFastmath(), arith::FastMathFlags::arcp)) {
      Value e = math::FmaOp::create(b, arith::NegFOp::create(b, q), d, x);
      Value corrected = math::FmaOp::create(b, e, r, q);
      // An infinite numerator has no remainder.
      Value isNumber = arith::CmpFOp::create(b, arith::CmpFPredicate::ORD, e, e);
      q = arith::SelectOp::create(b, isNumber, corrected, q);
    }
    scf::YieldOp::create(b, q);
    b.setInsertionPointToEnd(branch.elseBlock());
    division->moveBefore(branch.elseBlock(), branch.elseBlock()->end());
    scf::YieldOp::create(b, division.getResult());
  }
}
