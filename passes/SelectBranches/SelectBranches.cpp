// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERASELECTBRANCHESPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

// Scalar operations for an element that both sides may have together.
constexpr int64_t kMaxWork = 32;

namespace {
/// How a condition comes from the only element of a tensor.
struct Condition {
  Value value;
  tensor::ExtractOp read;
  SetVector<Operation *> slice;
};
} // namespace

static std::optional<Condition> findCondition(Value value) {
  Condition condition;
  condition.value = value;
  for (SmallVector<Value> values = {value}; !values.empty();) {
    Operation *op = values.pop_back_val().getDefiningOp();
    if (!op || !isPure(op))
      return std::nullopt;
    condition.slice.insert(op);
    if (auto read = dyn_cast<tensor::ExtractOp>(op)) {
      if (!read.getIndices().empty() || (condition.read && condition.read != read))
        return std::nullopt;
      condition.read = read;
      continue;
    }
    llvm::append_range(values, op->getOperands());
  }
  if (!condition.read)
    return std::nullopt;
  condition.slice = topologicalSort(condition.slice);
  return condition;
}

/// The scalar operations of a side for an element, or more than enough where it is anything but elementwise and free to
/// be computed in vain.
static int64_t countWork(Block &side) {
  int64_t work = 0;
  for (Operation &op : side.without_terminator()) {
    if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      bool isFree = generic.getNumReductionLoops() == 0;
      for (Operation &inner : generic.getBody()->without_terminator()) {
        isFree &= isSpeculatable(&inner) && isMemoryEffectFree(&inner) && !isa<tensor::ExtractOp>(inner);
        ++work;
      }
      if (!isFree)
        return kMaxWork + 1;
    } else if (!isa<linalg::FillOp, tensor::EmptyOp, BindShapeOp>(op) && !(isPure(&op) && isSpeculatable(&op))) {
      return kMaxWork + 1;
    }
  }
  return work;
}

/// An elementwise choice between two tensors of one shape.
static FailureOr<Value> createSelect(OpBuilder &b, Location loc, Condition &condition, Value chosen, Value other) {
  auto type = cast<RankedTensorType>(chosen.getType());
  FailureOr<SmallVector<Value>> sizes = findDynamicSizes(chosen);
  if (failed(sizes))
    return failure();
  Value empty = tensor::EmptyOp::create(b, loc, type, *sizes);
  AffineMap whole = b.getMultiDimIdentityMap(type.getRank());
  AffineMap number = AffineMap::get(type.getRank(), 0, b.getContext());
  SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
  auto select = linalg::GenericOp::create(
      b, loc, type, ValueRange{condition.read.getTensor(), chosen, other}, empty,
      ArrayRef<AffineMap>{number, whole, whole, whole}, iterators,
      [&](OpBuilder &nested, Location at, ValueRange args) {
        IRMapping mapping;
        mapping.map(condition.read.getResult(), args[0]);
        for (Operation *op : condition.slice)
          if (op != condition.read)
            nested.clone(*op, mapping);
        Value holds = mapping.lookup(condition.value);
        linalg::YieldOp::create(nested, at, arith::SelectOp::create(nested, at, holds, args[1], args[2]).getResult());
      });
  return select.getResult(0);
}

/// Makes a branch selects, if it is worth it.
static LogicalResult select(scf::IfOp branch) {
  std::optional<Condition> condition = findCondition(branch.getCondition());
  if (!condition || branch.getNumResults() == 0 ||
      !llvm::all_of(branch.getResultTypes(), llvm::IsaPred<RankedTensorType>) ||
      countWork(*branch.thenBlock()) + countWork(*branch.elseBlock()) > kMaxWork)
    return success();
  for (Block *side : {branch.thenBlock(), branch.elseBlock()})
    for (Operation &op : llvm::make_early_inc_range(side->without_terminator()))
      op.moveBefore(branch);
  OpBuilder b(branch);
  for (auto [result, chosen, other] :
       llvm::zip(branch.getResults(), branch.thenYield().getOperands(), branch.elseYield().getOperands())) {
    FailureOr<Value> value = createSelect(b, branch.getLoc(), *condition, chosen, other);
    if (failed(value))
      return failure();
    for (Operation *user : llvm::make_early_inc_range(result.getUsers()))
      if (isa<BindShapeOp>(user))
        user->erase();
    result.replaceAllUsesWith(*value);
  }
  branch.erase();
  return success();
}

namespace {
struct SelectBranchesPass : tessera::impl::TesseraSelectBranchesPassBase<SelectBranchesPass> {
  void runOnOperation() override {
    // The innermost first: it may be what makes the one around it elementwise.
    SmallVector<scf::IfOp> branches;
    getOperation()->walk([&](scf::IfOp branch) { branches.push_back(branch); });
    for (scf::IfOp branch : branches)
      if (failed(select(branch)))
        return signalPassFailure();
  }
};
} // namespace
