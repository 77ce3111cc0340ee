// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/PlanMemory/Sharing.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tessera;

static Value stripViews(Value tensor) {
  while (auto view = tensor.getDefiningOp<ReshapeOp>())
    tensor = view.getOperand();
  return tensor;
}

bool tessera::isUndefined(Value tensor) { return stripViews(tensor).getDefiningOp<tensor::EmptyOp>() != nullptr; }

/// Whether all uses of a tensor and of its views are as they should be.
static bool allUses(Value tensor, function_ref<bool(OpOperand &)> predicate) {
  return llvm::all_of(tensor.getUses(), [&](OpOperand &use) {
    if (auto view = dyn_cast<ReshapeOp>(use.getOwner()))
      return allUses(view.getResult(), predicate);
    return predicate(use);
  });
}

static bool isBefore(Operation *op, Operation *other) {
  Operation *ancestor = other->getBlock()->findAncestorOpInBlock(*op);
  return ancestor && ancestor->isBeforeInBlock(other);
}

/// Whether an operation may write over the tensor it reads here: nothing reads that later, neither in this run of the
/// block nor in the next, and the caller doesn't keep it.
static bool isDeadAfter(OpOperand &last) {
  Value source = stripViews(last.get());
  Operation *op = last.getOwner();
  if (source.getParentBlock() != op->getBlock() || isUndefined(source))
    return false;
  if (auto argument = dyn_cast<BlockArgument>(source))
    if (auto entry = dyn_cast<func::FuncOp>(op->getParentOp());
        entry && !entry.getArgAttr(argument.getArgNumber(), kDonated))
      return false;
  return allUses(source, [&](OpOperand &use) { return &use == &last || isBefore(use.getOwner(), op); });
}

BlockArgument tessera::findForwarded(scf::WhileOp loop, unsigned index) {
  OperandRange forwarded = loop.getConditionOp().getArgs();
  auto argument = dyn_cast<BlockArgument>(forwarded[index]);
  if (!argument || argument.getOwner() != loop.getBeforeBody() ||
      llvm::is_contained(forwarded.take_front(index), argument))
    return {};
  return argument;
}

/// The tensor whose memory a tensor takes over; null if it has memory of its own.
static Value findOrigin(Value tensor) {
  auto takeOver = [](OpOperand &operand) { return isDeadAfter(operand) ? operand.get() : Value(); };
  if (auto argument = dyn_cast<BlockArgument>(tensor)) {
    unsigned index = argument.getArgNumber();
    return TypeSwitch<Operation *, Value>(argument.getOwner()->getParentOp())
        .Case([&](scf::ForOp loop) { return takeOver(loop.getInitArgsMutable()[index - 1]); })
        .Case([&](scf::WhileOp loop) -> Value {
          if (argument.getOwner() == loop.getAfterBody())
            return loop.getResult(index);
          return takeOver(loop.getInitsMutable()[index]);
        })
        .Default([](Operation *) { return Value(); });
  }
  unsigned index = cast<OpResult>(tensor).getResultNumber();
  return TypeSwitch<Operation *, Value>(tensor.getDefiningOp())
      .Case([](ReshapeOp view) { return view.getOperand(); })
      .Case([&](rt::DispatchOp dispatch) { return takeOver(dispatch.getInitsMutable()[index]); })
      .Case([&](scf::ForOp loop) { return loop.getRegionIterArg(index); })
      .Case([&](scf::WhileOp loop) { return findForwarded(loop, index); })
      .Default([](Operation *) { return Value(); });
}

Value tessera::findRoot(Value tensor) {
  while (Value origin = findOrigin(tensor))
    tensor = origin;
  return tensor;
}

bool tessera::canTakeOver(Block &block, Value root, Value previous) {
  Operation *maker = root.getDefiningOp() ? root.getDefiningOp() : root.getParentBlock()->getParentOp();
  if (maker->getBlock() != &block || isUndefined(root))
    return false;
  return !previous || allUses(previous, [&](OpOperand &use) {
    // Whatever takes the memory over could be read later under another name.
    Operation *user = use.getOwner();
    auto dispatch = dyn_cast<rt::DispatchOp>(user);
    bool isRead = dispatch ? !llvm::is_contained(dispatch.getInits(), use.get()) : isa<tensor::ExtractOp>(user);
    return isRead && isBefore(user, maker);
  });
}
