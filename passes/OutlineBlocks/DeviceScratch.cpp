// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/OutlineBlocks/DeviceScratch.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Utils/LoopOutliner.h"
#include "passes/Utils/Scratch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"

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
