// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/LowerToLinalg/Generic.h"

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

/// The truth of a byte in a tensor of rank 0.
static Value readPredicate(OpBuilder &builder, Location loc, Value tensor) {
  return fromMemory(builder, loc, tensor::ExtractOp::create(builder, loc, tensor, ValueRange{}), builder.getI1Type());
}

/// Moves the only block of `source` to the end of `target`, its arguments becoming `arguments`, and returns what it
/// yielded, converted to the types of memory.
static SmallVector<Value> inlineBlock(ConversionPatternRewriter &rewriter, Block *source, Block *target,
                                      ValueRange arguments) {
  auto yield = cast<YieldOp>(source->getTerminator());
  SmallVector<Value> values;
  rewriter.setInsertionPoint(yield);
  for (Value value : yield.getValues()) {
    Value converted = rewriter.getRemappedValue(value);
    values.push_back(converted ? converted : value);
  }
  rewriter.eraseOp(yield);
  rewriter.inlineBlockBefore(source, target, target->end(), arguments);
  rewriter.setInsertionPointToEnd(target);
  return values;
}

namespace {

/// The terminators are converted by their parents, once the region's operations are.
template <typename OpTy> struct ControlPattern : OpConversionPattern<OpTy> {
  using OpConversionPattern<OpTy>::OpConversionPattern;

  SmallVector<Type> memoryTypes(TypeRange types) const {
    SmallVector<Type> result;
    for (Type type : types)
      result.push_back(memoryType(type));
    return result;
  }
};

struct LowerYield : OpConversionPattern<YieldOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(YieldOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    if (auto loop = dyn_cast<scf::WhileOp>(op->getParentOp()); loop && op->getParentRegion() == &loop.getBefore()) {
      Value predicate = readPredicate(rewriter, op.getLoc(), adaptor.getValues()[0]);
      rewriter.replaceOpWithNewOp<scf::ConditionOp>(op, predicate, loop.getBeforeArguments());
      return success();
    }
    if (!isa<scf::SCFDialect>(op->getParentOp()->getDialect()))
      return failure();
    rewriter.replaceOpWithNewOp<scf::YieldOp>(op, adaptor.getValues());
    return success();
  }
};

struct LowerCond : ControlPattern<CondOp> {
  using ControlPattern::ControlPattern;

  LogicalResult matchAndRewrite(CondOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Value predicate = readPredicate(rewriter, op.getLoc(), adaptor.getPredicate());
    auto branch = scf::IfOp::create(rewriter, op.getLoc(), memoryTypes(op.getResultTypes()), predicate,
                                    /*addThenBlock=*/false, /*addElseBlock=*/false);
    rewriter.inlineRegionBefore(op.getThenRegion(), branch.getThenRegion(), branch.getThenRegion().end());
    rewriter.inlineRegionBefore(op.getElseRegion(), branch.getElseRegion(), branch.getElseRegion().end());
    ValueRange sizes = adaptor.getSizes();
    for (Value result : branch.getResults())
      if (int64_t count = cast<RankedTensorType>(result.getType()).getNumDynamicDims()) {
        BindShapeOp::create(rewriter, op.getLoc(), result, sizes.take_front(count));
        sizes = sizes.drop_front(count);
      }
    rewriter.replaceOp(op, branch.getResults());
    return success();
  }
};

struct LowerWhileLoop : ControlPattern<WhileLoopOp> {
  using ControlPattern::ControlPattern;

  LogicalResult matchAndRewrite(WhileLoopOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    auto loop = scf::WhileOp::create(rewriter, op.getLoc(), memoryTypes(op.getResultTypes()), adaptor.getInits());
    rewriter.inlineRegionBefore(op.getCondition(), loop.getBefore(), loop.getBefore().end());
    rewriter.inlineRegionBefore(op.getBody(), loop.getAfter(), loop.getAfter().end());
    if (failed(rewriter.convertRegionTypes(&loop.getBefore(), *getTypeConverter())) ||
        failed(rewriter.convertRegionTypes(&loop.getAfter(), *getTypeConverter())))
      return failure();
    rewriter.replaceOp(op, loop.getResults());
    return success();
  }
};

/// A scan is a loop that carries its values and the stacked results, one slice of which it writes each time.
struct LowerScan : ControlPattern<ScanOp> {
  using ControlPattern::ControlPattern;

  static SmallVector<OpFoldResult> sliceOffsets(OpBuilder &b, Value step, int64_t rank) {
    SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0));
    offsets[0] = step;
    return offsets;
  }

  LogicalResult matchAndRewrite(ScanOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    size_t carry = op.getNumCarry();
    ValueRange inits = adaptor.getInputs().take_front(carry), stacked = adaptor.getInputs().drop_front(carry);
    SmallVector<Value> initial(inits);
    ValueRange sliceSizes = adaptor.getSizes();
    for (OpResult result : op.getResults().drop_front(carry)) {
      auto type = cast<RankedTensorType>(memoryType(result.getType()));
      SmallVector<Value> sizes(type.isDynamicDim(0) ? 1 : 0, adaptor.getLength());
      int64_t count = type.getNumDynamicDims() - sizes.size();
      llvm::append_range(sizes, sliceSizes.take_front(count));
      sliceSizes = sliceSizes.drop_front(count);
      initial.push_back(tensor::EmptyOp::create(rewriter, loc, type, sizes));
    }
    Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0),
          one = arith::ConstantIndexOp::create(rewriter, loc, 1);
    auto loop = scf::ForOp::create(rewriter, loc, zero, adaptor.getLength(), one, initial);
    Block *body = loop.getBody();
    rewriter.setInsertionPointToStart(body);
    SmallVector<Value> arguments(loop.getRegionIterArgs().take_front(carry));
    for (auto [source, argument] : llvm::zip(stacked, op.getBody().getArguments().drop_front(carry))) {
      auto type = cast<RankedTensorType>(memoryType(argument.getType()));
      SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, source);
      int64_t rank = sizes.size();
      sizes[0] = rewriter.getIndexAttr(1);
      SmallVector<OpFoldResult> strides(rank, rewriter.getIndexAttr(1));
      arguments.push_back(tensor::ExtractSliceOp::create(
          rewriter, loc, type, source, sliceOffsets(rewriter, loop.getInductionVar(), rank), sizes, strides));
    }
    if (failed(rewriter.convertRegionTypes(&op.getBody(), *getTypeConverter())))
      return failure();
    SmallVector<Value> values = inlineBlock(rewriter, &op.getBody().front(), body, arguments);
    for (size_t i = carry; i < values.size(); ++i) {
      Value target = loop.getRegionIterArgs()[i];
      SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, target);
      int64_t rank = sizes.size();
      sizes[0] = rewriter.getIndexAttr(1);
      SmallVector<OpFoldResult> strides(rank, rewriter.getIndexAttr(1));
      values[i] = tensor::InsertSliceOp::create(rewriter, loc, values[i], target,
                                                sliceOffsets(rewriter, loop.getInductionVar(), rank), sizes, strides);
    }
    scf::YieldOp::create(rewriter, loc, values);
    rewriter.replaceOp(op, loop.getResults());
    return success();
  }
};

} // namespace

void tessera::populateControlLowering(RewritePatternSet &patterns, const TypeConverter &converter) {
  patterns.add<LowerCond, LowerWhileLoop, LowerScan, LowerYield>(converter, patterns.getContext());
}
