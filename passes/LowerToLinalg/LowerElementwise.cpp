// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/LowerToLinalg/Generic.h"

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/LowerToLinalg/ScalarBodies.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

namespace {

/// Every elementwise operation is a parallel loop nest over the broadcast of its operands.
struct LowerElementwise : ConversionPattern {
  LowerElementwise(const TypeConverter &converter, MLIRContext *context)
      : ConversionPattern(converter, MatchAnyOpTypeTag(), /*benefit=*/1, context) {}

  LogicalResult matchAndRewrite(Operation *op, ArrayRef<Value> operands,
                                ConversionPatternRewriter &rewriter) const override {
    if (!op->hasTrait<Elementwise>())
      return failure();
    ReifiedRankedShapedTypeDims shapes;
    if (failed(cast<ReifyRankedShapedTypeOpInterface>(op).reifyResultShapes(rewriter, shapes)))
      return failure();
    auto resultType = cast<RankedTensorType>(memoryType(op->getResult(0).getType()));
    SmallVector<AffineMap> maps;
    for (Value operand : operands)
      maps.push_back(broadcastMap(rewriter.getContext(), cast<RankedTensorType>(operand.getType()).getShape(),
                                  resultType.getShape()));
    Value init = createEmpty(rewriter, op->getLoc(), resultType, shapes[0]);
    rewriter.replaceOp(op, createParallel(rewriter, op->getLoc(), operands, maps, init,
                                          [&](OpBuilder &b, Location loc, ValueRange args) {
                                            SmallVector<Value> elements;
                                            for (auto [arg, type] : llvm::zip(args, op->getOperandTypes()))
                                              elements.push_back(fromMemory(b, loc, arg, getElementTypeOrSelf(type)));
                                            return buildScalar(b, op, elements);
                                          }));
    return success();
  }
};

struct LowerFromIndex : OpConversionPattern<FromIndexOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(FromIndexOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Value init = createEmpty(rewriter, op.getLoc(), op.getResult().getType(), {});
    Value size = adaptor.getSize();
    rewriter.replaceOp(
        op, createParallel(rewriter, op.getLoc(), {}, {}, init, [&](OpBuilder &b, Location loc, ValueRange) -> Value {
          return arith::IndexCastOp::create(b, loc, b.getI64Type(), size);
        }));
    return success();
  }
};

} // namespace

void tessera::populateElementwiseLowering(RewritePatternSet &patterns, const TypeConverter &converter) {
  patterns.add<LowerElementwise>(converter, patterns.getContext());
  patterns.add<LowerFromIndex>(converter, patterns.getContext());
}
