// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include "llvm/ADT/SetVector.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERARELAXMATHPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;

static bool isWideFloat(Value value) {
  auto type = dyn_cast<FloatType>(getElementTypeOrSelf(value));
  return type && type.getWidth() >= 32;
}

/// Whether a small error of the operands becomes a small one of the result, and nothing else.
static bool isSmooth(Operation *op) {
  if (isa<math::CeilOp, math::CopySignOp, math::FloorOp, math::RoundOp, math::RoundEvenOp, math::TruncOp>(op))
    return false;
  return isa<math::MathDialect>(op->getDialect()) ||
         isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp, arith::NegFOp, arith::MaximumFOp,
             arith::MinimumFOp, arith::MaxNumFOp, arith::MinNumFOp, arith::ExtFOp, arith::TruncFOp, arith::SelectOp>(
             op);
}

/// Whether the result has the operands' elements.
static bool isMove(Operation *op) {
  return isa<tensor::ExtractSliceOp, tensor::InsertSliceOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp,
             tensor::CastOp, tensor::PadOp>(op);
}

namespace {

struct RelaxMathPass : tessera::impl::TesseraRelaxMathPassBase<RelaxMathPass> {
  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      if (!isSmooth(op) && !isMove(op) && !isa<linalg::LinalgOp, linalg::YieldOp>(op))
        for (Value operand : op->getOperands())
          require(operand);
    });
    for (size_t next = 0; next < exact.size(); ++next)
      requireSources(exact[next]);
    getOperation().walk([&](linalg::LinalgOp op) { relax(*op.getBlock()); });
  }

  void require(Value value) {
    if (isWideFloat(value))
      exact.insert(value);
  }

  /// What a value that has to be exact is made of.
  void requireSources(Value value) {
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      if (auto op = dyn_cast<linalg::LinalgOp>(argument.getOwner()->getParentOp()))
        require(op->getOperand(argument.getArgNumber()));
      return;
    }
    Operation *op = value.getDefiningOp();
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      unsigned index = cast<OpResult>(value).getResultNumber();
      require(linalgOp.getBlock()->getTerminator()->getOperand(index));
      require(linalgOp.getDpsInitOperand(index)->get());
    } else if (isSmooth(op) || isMove(op)) {
      for (Value operand : op->getOperands())
        require(operand);
    }
  }

  void relax(Block &body) {
    for (Operation &op : body) {
      if (op.getNumResults() != 1 || !op.getResult(0).getType().isF32() || exact.contains(op.getResult(0)))
        continue;
      if (auto exp = dyn_cast<math::ExpOp>(op))
        exp.setFastmath(exp.getFastmath() | arith::FastMathFlags::afn);
      else if (auto division = dyn_cast<arith::DivFOp>(op))
        division.setFastmath(division.getFastmath() | arith::FastMathFlags::arcp);
    }
  }

  llvm::SetVector<Value> exact;
};

} // namespace
