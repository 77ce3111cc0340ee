// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/OutlineBlocks/DeviceScratch.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Utils/LoopOutliner.h"
#include "passes/Utils/Scratch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace tessera;

constexpr int64_t kDeviceAlignment = 256;

/// The iteration's number among all of the loop.
static Value createNumber(OpBuilder &b, scf::ForallOp loop, ArrayRef<Value> trips) {
  Location loc = loop.getLoc();
  Value number = arith::ConstantIndexOp::create(b, loc, 0);
  for (auto [iv, low, step, trip] :
       llvm::zip(loop.getInductionVars(), loop.getMixedLowerBound(), loop.getMixedStep(), trips)) {
    Value first = getValueOrCreateConstantIndexOp(b, loc, low), by = getValueOrCreateConstantIndexOp(b, loc, step);
    Value id = b.createOrFold<arith::DivUIOp>(loc, b.createOrFold<arith::SubIOp>(loc, iv, first), by);
    number = b.createOrFold<arith::AddIOp>(loc, b.createOrFold<arith::MulIOp>(loc, number, trip), id);
  }
  return number;
}

LogicalResult tessera::moveLargeScratch(scf::ForallOp loop) {
  SmallVector<std::pair<memref::AllocOp, MemRefType>> allocs;
  loop.walk([&](memref::AllocOp alloc) { allocs.push_back({alloc, findBoundedType(alloc)}); });
  auto bytesOf = [](MemRefType type) {
    return type.hasStaticShape() ? sharedBytesOf(type) : std::numeric_limits<int64_t>::max();
  };
  llvm::stable_sort(allocs, [&](auto &a, auto &b) { return bytesOf(a.second) < bytesOf(b.second); });
  OpBuilder host(loop);
  Location loc = loop.getLoc();
  int64_t shared = 0;
  SmallVector<Value> trips = createTripCounts(host, loop);
  Value count = arith::ConstantIndexOp::create(host, loc, 1);
  for (Value trip : trips)
    count = host.createOrFold<arith::MulIOp>(loc, count, trip);
  for (auto &[alloc, bounded] : allocs) {
    if (bytesOf(bounded) <= kSharedBytes - shared) {
      shared += bytesOf(bounded);
      continue;
    }
    Value bytes = arith::ConstantIndexOp::create(host, loc, llvm::divideCeil(bounded.getElementTypeBitWidth(), 8));
    for (auto [dim, size] : llvm::enumerate(alloc.getMixedSizes())) {
      Value most = bounded.isDynamicDim(dim)
                       ? dyn_cast<Value>(size)
                       : arith::ConstantIndexOp::create(host, loc, bounded.getDimSize(dim)).getResult();
      if (loop->isAncestor(most.getParentRegion()->getParentOp()))
        return alloc.emitOpError("has a size that varies from block to block and has no bound");
      bytes = host.createOrFold<arith::MulIOp>(loc, bytes, most);
    }
    Value alignment = arith::ConstantIndexOp::create(host, loc, kDeviceAlignment);
    bytes =
        host.createOrFold<arith::MulIOp>(loc, host.createOrFold<arith::CeilDivUIOp>(loc, bytes, alignment), alignment);
    Value whole = rt::ScratchOp::create(host, loc, rt::BufferType::get(host.getContext()),
                                        host.createOrFold<arith::MulIOp>(loc, bytes, count));
    OpBuilder after(loop->getBlock(), std::next(loop->getIterator()));
    rt::ReleaseOp::create(after, loc, whole);
    OpBuilder b(alloc);
    Value offset = arith::MulIOp::create(b, loc, createNumber(b, loop, trips), bytes);
    Value part = rt::SliceOp::create(b, loc, whole.getType(), whole, offset);
    alloc.replaceAllUsesWith(rt::BindOp::create(b, loc, alloc.getType(), part, alloc.getDynamicSizes()).getResult());
    alloc.erase();
  }
  return success();
}

/// Finds the parallel loops that use memory of the host's, and the views by which they do.
static void collectUses(Value memory, llvm::SmallSetVector<scf::ForallOp, 4> &loops, SmallVector<Operation *> &views) {
  for (Operation *user : memory.getUsers()) {
    if (auto loop = user->getParentOfType<scf::ForallOp>()) {
      loops.insert(loop);
    } else if (isa<ViewLikeOpInterface>(user)) {
      views.push_back(user);
      collectUses(user->getResult(0), loops, views);
    }
  }
}

static bool isOneBlock(scf::ForallOp loop) {
  return llvm::all_of(loop.getMixedUpperBound(), [](OpFoldResult bound) { return isConstantIntValue(bound, 1); });
}

/// Memory of the device that the kernels of a block of the host program take in turn.
static void placeOnDevice(memref::AllocOp alloc) {
  OpBuilder b(alloc);
  Location loc = alloc.getLoc();
  Value bytes = arith::ConstantIndexOp::create(b, loc, llvm::divideCeil(alloc.getType().getElementTypeBitWidth(), 8));
  for (OpFoldResult size : alloc.getMixedSizes())
    bytes = b.createOrFold<arith::MulIOp>(loc, bytes, getValueOrCreateConstantIndexOp(b, loc, size));
  Value buffer = rt::ScratchOp::create(b, loc, rt::BufferType::get(b.getContext()), bytes);
  alloc.replaceAllUsesWith(rt::BindOp::create(b, loc, alloc.getType(), buffer, alloc.getDynamicSizes()).getResult());
  b.setInsertionPoint(alloc->getBlock()->getTerminator());
  rt::ReleaseOp::create(b, loc, buffer);
  alloc.erase();
}

void tessera::placeHostScratch(func::FuncOp kernel) {
  SmallVector<memref::AllocOp> allocs;
  kernel.walk([&](memref::AllocOp alloc) {
    if (!alloc->getParentOfType<scf::ForallOp>())
      allocs.push_back(alloc);
  });
  for (memref::AllocOp alloc : allocs) {
    llvm::SmallSetVector<scf::ForallOp, 4> loops;
    SmallVector<Operation *> views;
    collectUses(alloc, loops, views);
    if (loops.size() != 1 || !isOneBlock(loops[0])) {
      placeOnDevice(alloc);
      continue;
    }
    Operation *last = alloc;
    scf::ForallOp loop = loops[0];
    alloc->moveBefore(&loop.getBody()->front());
    for (Operation *view : views) {
      view->moveAfter(last);
      last = view;
    }
  }
}
