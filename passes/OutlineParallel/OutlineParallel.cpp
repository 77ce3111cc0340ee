// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Passes.h"
#include "passes/Utils/LoopOutliner.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAOUTLINEPARALLELPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

// Waking a thread costs as much as computing on this many elements (a few microseconds).
constexpr int64_t kElementsPerThread = 32768;

/// The fewest iterations that are worth a thread, by what the loop's announcement says; it is taken away.
static Value createGrain(OpBuilder &b, scf::ForallOp loop) {
  Location loc = loop.getLoc();
  rt::WorkOp work;
  for (Operation *op = loop->getPrevNode(); op && !work; op = op->getPrevNode())
    work = dyn_cast<rt::WorkOp>(op);
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  if (!work)
    return one;
  Value worth = arith::ConstantIndexOp::create(b, loc, kElementsPerThread);
  Value elements = b.createOrFold<arith::MaxSIOp>(loc, work.getElements(), one);
  Value grain = b.createOrFold<arith::CeilDivSIOp>(loc, worth, elements);
  work.erase();
  return grain;
}

static LogicalResult outline(scf::ForallOp loop, StringRef name) {
  Location loc = loop.getLoc();
  LoopOutliner outliner(loop);
  if (failed(outliner.prepare()))
    return failure();
  OpBuilder builder(loop);
  Value grain = createGrain(builder, loop);

  OpBuilder b(loop->getParentOfType<func::FuncOp>());
  SmallVector<Type> types(2, b.getIndexType());
  llvm::append_range(types, ValueRange(outliner.captures()).getTypes());
  auto body = func::FuncOp::create(b, loc, name, b.getFunctionType(types, {}));
  body.setPrivate();
  Block *entry = body.addEntryBlock();
  b.setInsertionPointToEnd(entry);
  outliner.enter(b, entry->getArguments().drop_front(2));
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  auto range = scf::ForOp::create(b, loc, entry->getArgument(0), entry->getArgument(1), one);
  func::ReturnOp::create(b, loc);
  b.setInsertionPointToStart(range.getBody());
  outliner.cloneBody(b, range.getInductionVar());

  rt::ParallelForOp::create(builder, loc, name, outliner.count(), grain, outliner.captures());
  loop.erase();
  return success();
}

namespace {
struct OutlineParallelPass : tessera::impl::TesseraOutlineParallelPassBase<OutlineParallelPass> {
  void runOnOperation() override {
    for (func::FuncOp kernel : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      SmallVector<scf::ForallOp> loops;
      kernel.walk<WalkOrder::PreOrder>([&](scf::ForallOp loop) {
        loops.push_back(loop);
        return WalkResult::skip();
      });
      for (auto [index, loop] : llvm::enumerate(loops)) {
        std::string name = (kernel.getName() + ".body" + (index ? Twine(index) : Twine())).str();
        if (failed(outline(loop, name)))
          return signalPassFailure();
      }
      // A loop of one iteration was folded away, and left its announcement.
      kernel.walk([](rt::WorkOp work) { work.erase(); });
    }
  }
};
} // namespace
