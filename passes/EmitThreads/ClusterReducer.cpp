// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitThreads/ClusterReducer.h"

#include "passes/EmitThreads/EmitThreads.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace tessera;

/// Nanoseconds after which a thread that waits looks again.
constexpr int32_t kTicks = 10000000;

/// Messages are words of 32 or 64 bits.
static IntegerType wordOf(Type type) {
  return IntegerType::get(type.getContext(), std::max(32u, type.getIntOrFloatBitWidth()));
}

static Value toWord(OpBuilder &b, Location loc, Value value) {
  auto exact = b.getIntegerType(value.getType().getIntOrFloatBitWidth());
  if (value.getType() != exact)
    value = arith::BitcastOp::create(b, loc, exact, value);
  IntegerType word = wordOf(value.getType());
  return word == exact ? value : arith::ExtUIOp::create(b, loc, word, value);
}

static Value fromWord(OpBuilder &b, Location loc, Value word, Type type) {
  auto exact = b.getIntegerType(type.getIntOrFloatBitWidth());
  if (word.getType() != exact)
    word = arith::TruncIOp::create(b, loc, exact, word);
  return type == exact ? word : arith::BitcastOp::create(b, loc, type, word);
}

static Value constant(OpBuilder &b, Location loc, int64_t n) { return arith::ConstantIndexOp::create(b, loc, n); }

/// The address of an element in this block's shared memory.
static Value addressOf(OpBuilder &b, Location loc, Value slots, Value index) {
  auto type = cast<MemRefType>(slots.getType());
  auto pointer = LLVM::LLVMPointerType::get(b.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::Shared));
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, slots);
  Value first = LLVM::IntToPtrOp::create(b, loc, pointer,
                                         arith::IndexCastOp::create(b, loc, b.getI64Type(), address).getResult());
  Value offset = arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
  return LLVM::GEPOp::create(b, loc, pointer, type.getElementType(), first, ArrayRef<LLVM::GEPArg>{offset});
}

Value ClusterReducer::createSlots(OpBuilder &b, Type type, int64_t count) {
  auto space = gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup);
  return kernel.addWorkgroupAttribution(MemRefType::get({count}, type, MemRefLayoutAttrInterface(), space), loc);
}

ClusterReducer::ClusterReducer(OpBuilder &b, gpu::GPUFuncOp kernel, int64_t blocks, ArrayRef<Type> types)
    : kernel(kernel), loc(kernel.getLoc()), blocks(blocks),
      warps(kernel->getAttrOfType<IntegerAttr>("tessera.threads").getInt() / kWarp) {
  barriers = createSlots(b, b.getI64Type(), types.size());
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value isFirst = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, thread, constant(b, loc, 0));
  auto init = scf::IfOp::create(b, loc, isFirst, /*withElseRegion=*/false);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(init.thenBlock());
    Value one = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(1));
    for (auto [index, type] : llvm::enumerate(types)) {
      Value barrier = addressOf(b, loc, barriers, constant(b, loc, index));
      NVVM::MBarrierInitOp::create(b, loc, barrier, one, /*predicate=*/Value());
      int64_t bytes = blocks * warps * wordOf(type).getWidth() / 8;
      Value expected = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(bytes));
      NVVM::MBarrierArriveExpectTxOp::create(b, loc, /*res=*/Type(), barrier, expected, NVVM::MemScopeKind::CTA,
                                             /*relaxed=*/false, /*predicate=*/Value());
    }
    NVVM::FenceMbarrierInitOp::create(b, loc);
  }
  // No block sends before all have begun: the first reduction waits for them.
  NVVM::ClusterArriveRelaxedOp::create(b, loc, /*aligned=*/b.getUnitAttr());
}

/// Writes a word to the shared memory of a block of the cluster, whose barrier counts it.
void ClusterReducer::send(OpBuilder &b, Value word, Value slots, Value slot, Value block) {
  auto pointer =
      LLVM::LLVMPointerType::get(b.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  Value number = arith::IndexCastOp::create(b, loc, b.getI32Type(), block);
  auto there = [&](Value address) -> Value { return NVVM::MapaOp::create(b, loc, pointer, address, number); };
  Value place = there(addressOf(b, loc, slots, slot));
  Value barrier = there(addressOf(b, loc, barriers, constant(b, loc, next)));
  std::string store = ("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b" +
                       Twine(word.getType().getIntOrFloatBitWidth()) + " [$0], $1, [$2];")
                          .str();
  NVVM::InlinePtxOp::create(b, loc, TypeRange(), ValueRange{place, word, barrier}, ValueRange(), store,
                            /*predicate=*/Value());
}

Value ClusterReducer::reduce(OpBuilder &b, Operation *combiner, Value value) {
  Type type = value.getType();
  value = reduceAcrossThreads(b, kernel, combiner, value, kWarp);
  if (next == 0)
    NVVM::ClusterWaitOp::create(b, loc, /*aligned=*/b.getUnitAttr());
  int64_t count = blocks * warps;
  Value slots = createSlots(b, wordOf(type), count);
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value lane = arith::RemUIOp::create(b, loc, thread, constant(b, loc, kWarp));
  Value isSender = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, lane, constant(b, loc, blocks));
  auto branch = scf::IfOp::create(b, loc, isSender, /*withElseRegion=*/false);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Value self = gpu::ClusterBlockIdOp::create(b, loc, gpu::Dimension::x);
    Value first = arith::MulIOp::create(b, loc, self, constant(b, loc, warps));
    Value warp = arith::DivUIOp::create(b, loc, thread, constant(b, loc, kWarp));
    send(b, toWord(b, loc, value), slots, arith::AddIOp::create(b, loc, first, warp), lane);
  }
  Value phase = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0));
  Value ticks = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(kTicks));
  NVVM::MBarrierTryWaitParityOp::create(b, loc, addressOf(b, loc, barriers, constant(b, loc, next++)), phase, ticks);
  Value total;
  for (int64_t start = 0; start < count; start += kWarp) {
    Value slot = arith::AddIOp::create(b, loc, lane, constant(b, loc, start));
    Value part = fromWord(b, loc, memref::LoadOp::create(b, loc, slots, slot), type);
    total = total ? combine(b, combiner, total, part) : part;
  }
  return reduceAcrossThreads(b, kernel, combiner, total, kWarp);
}
