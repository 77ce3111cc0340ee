// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/PlanMemory/Sharing.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAOVERLAPCOLLECTIVESPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

/// What an operation of a block reads, its regions included.
static SmallVector<Value> readsOf(Operation *op) {
  SmallVector<Value> reads(op->getOperands());
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  llvm::append_range(reads, captured);
  return reads;
}

/// Whether an operation may run earlier without another needing a copy: it has memory of its own for what it makes.
static bool mayMoveUp(Operation *op) {
  if (auto dispatch = dyn_cast<rt::DispatchOp>(op))
    return llvm::all_of(dispatch.getInits(), isUndefined);
  return op->getNumRegions() == 0 && isPure(op) && !isa<rt::CollectiveOp>(op);
}

namespace {

/// Moves the operations of one block.
class Overlapping {
public:
  Overlapping(Block &block, int64_t window) : block(block), window(window) {}

  void run() {
    SmallVector<rt::CollectiveOp> collectives(block.getOps<rt::CollectiveOp>());
    Operation *previous = nullptr;
    for (rt::CollectiveOp collective : collectives) {
      startEarly(collective, previous);
      previous = collective;
    }
    for (rt::CollectiveOp collective : collectives)
      fill(collective);
  }

private:
  /// Moves a collective to where its operands are there, but not before another that was before it.
  void startEarly(Operation *collective, Operation *previous) {
    Operation *last = previous;
    for (Value operand : collective->getOperands()) {
      Operation *maker = operand.getDefiningOp();
      // Room for the result can be made earlier as well.
      if (isa_and_present<tensor::EmptyOp>(maker) && maker->getBlock() == &block)
        for (Value size : maker->getOperands())
          last = later(last, size.getDefiningOp());
      else
        last = later(last, maker);
    }
    Operation *place = last ? last->getNextNode() : &block.front();
    for (Value operand : collective->getOperands())
      if (auto room = operand.getDefiningOp<tensor::EmptyOp>(); room && room->getBlock() == &block) {
        if (room == place)
          place = place->getNextNode();
        else if (place->isBeforeInBlock(room))
          room->moveBefore(place);
      }
    if (place != collective)
      collective->moveBefore(place);
  }

  Operation *later(Operation *one, Operation *other) {
    if (!other || other->getBlock() != &block)
      return one;
    return !one || one->isBeforeInBlock(other) ? other : one;
  }

  /// Moves what doesn't depend on a collective in front of the first that does.
  void fill(rt::CollectiveOp collective) {
    llvm::SmallPtrSet<Operation *, 16> waiting = {collective};
    Operation *first = nullptr;
    int64_t seen = 0;
    for (Operation *op = collective->getNextNode(); op && !op->hasTrait<OpTrait::IsTerminator>();) {
      Operation *next = op->getNextNode();
      bool depends = llvm::any_of(readsOf(op), [&](Value value) { return waiting.contains(value.getDefiningOp()); });
      // What stays holds back what needs it.
      if (depends || (first && !mayMoveUp(op)))
        waiting.insert(op);
      if (depends && !first)
        first = op;
      else if (first && !waiting.contains(op))
        op->moveBefore(first);
      if (first && ++seen > window)
        return;
      op = next;
    }
  }

  Block &block;
  const int64_t window;
};

struct OverlapCollectivesPass : tessera::impl::TesseraOverlapCollectivesPassBase<OverlapCollectivesPass> {
  using TesseraOverlapCollectivesPassBase::TesseraOverlapCollectivesPassBase;

  void runOnOperation() override {
    SmallVector<Block *> blocks;
    getOperation().walk([&](rt::CollectiveOp collective) {
      if (!llvm::is_contained(blocks, collective->getBlock()))
        blocks.push_back(collective->getBlock());
    });
    for (Block *block : blocks)
      Overlapping(*block, window).run();
  }
};

} // namespace
