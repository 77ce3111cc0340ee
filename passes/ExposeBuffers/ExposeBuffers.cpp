// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
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

    SmallVector<Value> destinations;
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
        destinations.push_back(bind);
    }
    builder.setInsertionPoint(terminator);
    for (auto [result, destination] : llvm::zip(terminator.getOperands(), destinations)) {
      auto write = bufferization::MaterializeInDestinationOp::create(builder, terminator.getLoc(),
                                                                     /*result=*/TypeRange(), result, destination);
      write.setRestrict(true);
      write.setWritable(true);
    }
    terminator->setOperands({});
    kernel.setType(FunctionType::get(&getContext(), body.getArgumentTypes(), {}));
  }
};
} // namespace
