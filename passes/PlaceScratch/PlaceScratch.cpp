// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Passes.h"
#include "passes/Utils/Scratch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAPLACESCRATCHPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

// The stack of a worker thread is some MiB; a row of a few thousand elements fits it easily.
constexpr int64_t kStackBytes = 32768;

namespace {
struct PlaceScratchPass : tessera::impl::TesseraPlaceScratchPassBase<PlaceScratchPass> {
  void runOnOperation() override {
    sharedBytes = 0;
    SmallVector<memref::AllocOp> allocs;
    getOperation()->walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });
    for (memref::AllocOp alloc : allocs)
      if (failed(place(alloc)))
        return signalPassFailure();
    if (sharedBytes > kSharedBytes) {
      getOperation().emitError() << "expected a tile that needs at most " << kSharedBytes
                                 << " bytes of shared memory; got " << sharedBytes;
      return signalPassFailure();
    }
    if (sharedBytes)
      getOperation()->setAttr("tessera.shared", Builder(&getContext()).getI64IntegerAttr(sharedBytes));
  }

  /// Makes a value of the entry block that holds a size, moving pure operations there.
  FailureOr<Value> hoist(OpBuilder &builder, Value size) {
    Operation *op = size.getDefiningOp();
    Block *entry = &getOperation().getFunctionBody().front();
    if (size.getParentBlock() == entry)
      return size;
    if (!op || !isPure(op))
      return failure();
    IRMapping mapping;
    for (Value operand : op->getOperands()) {
      FailureOr<Value> hoisted = hoist(builder, operand);
      if (failed(hoisted))
        return failure();
      mapping.map(operand, *hoisted);
    }
    unsigned index = cast<OpResult>(size).getResultNumber();
    return builder.clone(*op, mapping)->getResult(index);
  }

  /// A part of the block's shared memory, seen through the address space that all memory is in.
  Value createShared(OpBuilder &builder, Location loc, MemRefType type) {
    auto space = gpu::AddressSpaceAttr::get(&getContext(), gpu::AddressSpace::Workgroup);
    auto bytes = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type(), MemRefLayoutAttrInterface(), space);
    Value whole = gpu::DynamicSharedMemoryOp::create(builder, loc, bytes);
    Value offset = arith::ConstantIndexOp::create(builder, loc, sharedBytes);
    auto shared = MemRefType::get(type.getShape(), type.getElementType(), MemRefLayoutAttrInterface(), space);
    Value view = memref::ViewOp::create(builder, loc, shared, whole, offset, ValueRange());
    sharedBytes += sharedBytesOf(type);
    return memref::MemorySpaceCastOp::create(builder, loc, type, view);
  }

  LogicalResult place(memref::AllocOp alloc) {
    // The operation of the entry block that the allocation is in, or is.
    Block *entry = &getOperation().getFunctionBody().front();
    Operation *outermost = entry->findAncestorOpInBlock(*alloc);
    OpBuilder builder(outermost);
    Location loc = alloc.getLoc();
    MemRefType type = findBoundedType(alloc);
    SmallVector<Value> sizes;
    for (auto [bounded, dynamic] :
         llvm::zip(llvm::make_filter_range(llvm::enumerate(alloc.getType().getShape()),
                                           [](auto dim) { return ShapedType::isDynamic(dim.value()); }),
                   alloc.getDynamicSizes())) {
      if (!type.isDynamicDim(bounded.index()))
        continue;
      FailureOr<Value> size = hoist(builder, dynamic);
      if (failed(size))
        return alloc.emitOpError("has a size that varies in a loop and has no bound");
      sizes.push_back(*size);
    }
    bool isKernel = isa<gpu::GPUFuncOp>(getOperation());
    if (isKernel && !type.hasStaticShape())
      return alloc.emitOpError("has a size without a bound, and shared memory is small");
    bool onStack = type.hasStaticShape() && type.getNumElements() * type.getElementTypeBitWidth() / 8 <= kStackBytes;
    Value memory;
    if (isKernel) {
      builder.setInsertionPointToStart(entry);
      memory = createShared(builder, loc, type);
    } else if (onStack) {
      builder.setInsertionPointToStart(entry);
      memory = memref::AllocaOp::create(builder, loc, type, builder.getI64IntegerAttr(kScratchAlignment));
    } else {
      memory = memref::AllocOp::create(builder, loc, type, sizes, builder.getI64IntegerAttr(kScratchAlignment));
      builder.setInsertionPoint(entry->getTerminator());
      memref::DeallocOp::create(builder, loc, memory);
    }
    if (type != alloc.getType()) {
      builder.setInsertionPoint(alloc);
      int64_t rank = type.getRank();
      SmallVector<OpFoldResult> offsets(rank, builder.getIndexAttr(0)), strides(rank, builder.getIndexAttr(1));
      memory = memref::SubViewOp::create(builder, loc, memory, offsets, alloc.getMixedSizes(), strides);
      replaceUses(alloc, memory);
    } else {
      alloc.replaceAllUsesWith(memory);
    }
    alloc.erase();
    return success();
  }

  int64_t sharedBytes = 0;

  /// A bounded allocation has the strides of its bound, which views of it take over.
  void replaceUses(Value old, Value replacement) {
    for (OpOperand &use : llvm::make_early_inc_range(old.getUses())) {
      auto view = dyn_cast<memref::SubViewOp>(use.getOwner());
      if (!view) {
        use.set(replacement);
        continue;
      }
      OpBuilder builder(view);
      auto type = cast<MemRefType>(memref::SubViewOp::inferRankReducedResultType(
          view.getType().getShape(), cast<MemRefType>(replacement.getType()), view.getMixedOffsets(),
          view.getMixedSizes(), view.getMixedStrides()));
      Value again = memref::SubViewOp::create(builder, view.getLoc(), type, replacement, view.getMixedOffsets(),
                                              view.getMixedSizes(), view.getMixedStrides());
      replaceUses(view, again);
      view.erase();
    }
  }
};
} // namespace
