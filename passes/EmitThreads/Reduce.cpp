// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reductions across threads: butterflies of shuffles within a warp, then one exchange through shared memory.

#include "passes/EmitThreads/EmitThreads.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

Value tessera::combine(OpBuilder &b, Operation *combiner, Value lhs, Value rhs) {
  OperationState state(combiner->getLoc(), combiner->getName(), {lhs, rhs}, lhs.getType(), combiner->getAttrs());
  return b.create(state)->getResult(0);
}

// Shuffles move words of 32 bits.
Value tessera::shuffle(OpBuilder &b, Location loc, Value value, int64_t offset) {
  auto exchange = [&](Value word) -> Value {
    return gpu::ShuffleOp::create(b, loc, word, offset, kWarp, gpu::ShuffleMode::XOR).getShuffleResult();
  };
  Type type = value.getType(), word = b.getI32Type();
  unsigned bits = type.getIntOrFloatBitWidth();
  if (bits == 32)
    return exchange(value);
  auto integer = IntegerType::get(b.getContext(), bits);
  Value raw = isa<FloatType>(type) ? arith::BitcastOp::create(b, loc, integer, value).getResult() : value;
  Value result;
  if (bits < 32) {
    Value wide = arith::ExtUIOp::create(b, loc, word, raw);
    result = arith::TruncIOp::create(b, loc, integer, exchange(wide));
  } else {
    Value half = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(32));
    Value low = exchange(arith::TruncIOp::create(b, loc, word, raw));
    Value high = exchange(arith::TruncIOp::create(b, loc, word, arith::ShRUIOp::create(b, loc, raw, half)));
    Value shifted = arith::ShLIOp::create(b, loc, arith::ExtUIOp::create(b, loc, integer, high), half);
    result = arith::OrIOp::create(b, loc, shifted, arith::ExtUIOp::create(b, loc, integer, low));
  }
  return isa<FloatType>(type) ? arith::BitcastOp::create(b, loc, type, result).getResult() : result;
}

Value tessera::reduceAcrossThreads(OpBuilder &b, gpu::GPUFuncOp kernel, Operation *combiner, Value value,
                                   int64_t threads) {
  Location loc = combiner->getLoc();
  auto constant = [&](int64_t n) -> Value { return arith::ConstantIndexOp::create(b, loc, n); };
  auto butterfly = [&](int64_t lanes) {
    for (int64_t offset = lanes / 2; offset > 0; offset /= 2)
      value = combine(b, combiner, value, shuffle(b, loc, value, offset));
  };
  butterfly(std::min(threads, kWarp));
  if (threads <= kWarp)
    return value;
  // Each warp leaves its result in a slot of its own, so one barrier does; then every warp reads those of its group.
  int64_t blockThreads = kernel->getAttrOfType<IntegerAttr>("tessera.threads").getInt(), warps = threads / kWarp;
  auto space = gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup);
  auto type = MemRefType::get({blockThreads / kWarp}, value.getType(), MemRefLayoutAttrInterface(), space);
  Value slots = kernel.addWorkgroupAttribution(type, loc);
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value warp = b.createOrFold<arith::DivUIOp>(loc, thread, constant(kWarp));
  memref::StoreOp::create(b, loc, value, slots, warp);
  gpu::BarrierOp::create(b, loc);
  Value firstOfGroup = arith::SubIOp::create(b, loc, warp, arith::RemUIOp::create(b, loc, warp, constant(warps)));
  Value slot = arith::AddIOp::create(b, loc, firstOfGroup, arith::RemUIOp::create(b, loc, thread, constant(warps)));
  value = memref::LoadOp::create(b, loc, slots, slot);
  butterfly(warps);
  return value;
}
