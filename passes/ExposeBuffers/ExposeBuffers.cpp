// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/Utils/Insertions.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAEXPOSEBUFFERSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

/// Writes a result to its destination.
static void write(OpBuilder &b, Location loc, Value result, Value destination) {
  auto write = bufferization::MaterializeInDestinationOp::create(b, loc, /*result=*/TypeRange(), result, destination);
  write.setRestrict(true);
  write.setWritable(true);
}

/// The slice of a tensor that an insertion goes to, if the tensor is seen as that slice.
static tensor::ExtractSliceOp findSlice(Value tensor, tensor::InsertSliceOp insertion) {
  for (Operation *user : tensor.getUsers())
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(user);
        slice && slice.getType() == insertion.getSourceType() && slice.isSameAs(insertion, isEqualConstantIntOrValue))
      return slice;
  return {};
}

/// A result of pieces has a destination for each, so that nothing has to prove that no piece is where another is read.
/// False where the result is not of pieces, or the kernel sees more of the destination.
static bool writePieces(OpBuilder &b, Value result, bufferization::ToTensorOp view) {
  auto last = result.getDefiningOp<tensor::InsertSliceOp>();
  if (!last)
    return false;
  SmallVector<tensor::InsertSliceOp> insertions = findInsertions(last);
  // One slice is no piece beside others, and may be of lower rank.
  if (insertions.size() == 1)
    return false;
  DenseSet<Operation *> seen = {insertions.front()};
  for (tensor::InsertSliceOp insertion : insertions)
    seen.insert(findSlice(view, insertion));
  if (insertions.front().getDest() != view.getResult() ||
      !llvm::all_of(view->getUsers(), [&](Operation *user) { return seen.contains(user); }))
    return false;
  for (tensor::InsertSliceOp insertion : insertions) {
    OpBuilder::InsertionGuard guard(b);
    Location loc = insertion.getLoc();
    tensor::ExtractSliceOp slice = findSlice(view, insertion);
    if (slice)
      b.setInsertionPoint(slice);
    Value place = memref::SubViewOp::create(b, loc, view.getBuffer(), insertion.getMixedOffsets(),
                                            insertion.getMixedSizes(), insertion.getMixedStrides());
    if (slice) {
      slice.replaceAllUsesWith(bufferization::ToTensorOp::create(b, loc, slice.getType(), place, /*restrict=*/true,
                                                                 /*writable=*/true)
                                   .getResult());
      slice.erase();
    }
    b.setInsertionPoint(last->getBlock()->getTerminator());
    write(b, loc, insertion.getSource(), place);
  }
  for (tensor::InsertSliceOp insertion : llvm::reverse(insertions))
    insertion.erase();
  return true;
}

namespace {
struct ExposeBuffersPass : tessera::impl::TesseraExposeBuffersPassBase<ExposeBuffersPass> {
  void runOnOperation() override {
    func::FuncOp kernel = getOperation();
    if (!kernel->hasAttr("tessera.kind"))
      return;
    Block &body = kernel.getBody().front();
    auto terminator = cast<func::ReturnOp>(body.getTerminator());

    SmallVector<BlockArgument> tensors;
    for (BlockArgument argument : body.getArguments())
      if (isa<RankedTensorType>(argument.getType()))
        tensors.push_back(argument);
    size_t firstDestination = tensors.size() - terminator.getNumOperands();

    SmallVector<bufferization::ToTensorOp> destinations;
    OpBuilder builder(&getContext());
    auto bufferType = rt::BufferType::get(&getContext());
    for (auto [index, tensor] : llvm::enumerate(tensors)) {
      bool isDestination = index >= firstDestination;
      auto type = cast<RankedTensorType>(tensor.getType());
      FailureOr<SmallVector<Value>> sizes = findDynamicSizes(tensor);
      if (failed(sizes))
        return signalPassFailure();
      // Sizes may be computed from the arguments before they are bound.
      builder.setInsertionPointToStart(&body);
      for (Value size : *sizes)
        if (Operation *op = size.getDefiningOp(); op && op->isBeforeInBlock(&*builder.getInsertionPoint()) == false)
          builder.setInsertionPointAfter(op);
      auto bind = rt::BindOp::create(builder, tensor.getLoc(), MemRefType::get(type.getShape(), type.getElementType()),
                                     tensor, *sizes);
      auto view = bufferization::ToTensorOp::create(builder, tensor.getLoc(), type, bind, /*restrict=*/true,
                                                    /*writable=*/isDestination);
      for (OpOperand &use : llvm::make_early_inc_range(tensor.getUses())) {
        if (isa<BindShapeOp>(use.getOwner()))
          use.getOwner()->erase();
        else if (use.getOwner() != bind)
          use.set(view);
      }
      tensor.setType(bufferType);
      if (isDestination)
        destinations.push_back(view);
    }
    SmallVector<Value> results(terminator.getOperands());
    terminator->setOperands({});
    builder.setInsertionPoint(terminator);
    for (auto [result, destination] : llvm::zip(results, destinations))
      if (!writePieces(builder, result, destination))
        write(builder, terminator.getLoc(), result, destination.getBuffer());
    kernel.setType(FunctionType::get(&getContext(), body.getArgumentTypes(), {}));
  }
};
} // namespace
