// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations that make or move elements.

#include "passes/LowerToLinalg/Generic.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/LowerToLinalg/ScalarBodies.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace tessera;

/// A destination for the only result of `op`.
template <typename OpTy> static Value createDestination(OpBuilder &builder, OpTy op) {
  ReifiedRankedShapedTypeDims shapes;
  LogicalResult reified = op.reifyResultShapes(builder, shapes);
  (void)reified;
  assert(succeeded(reified) && "the operations of the dialect know their sizes");
  return createEmpty(builder, op.getLoc(), cast<RankedTensorType>(memoryType(op.getResult().getType())), shapes[0]);
}

static Value same(OpBuilder &, Location, ValueRange args) { return args[0]; }

/// With two or more dynamic dimensions, [a, b] and [c, d] may hold equally many elements and differ: each size of the
/// result must be the operand's own.
static bool sameDynamicSizes(ReshapeOp op, ArrayRef<AffineExpr> exprs) {
  if (op.getResult().getType().getNumDynamicDims() <= 1)
    return true;
  for (auto [dim, expr] : llvm::enumerate(exprs)) {
    if (!op.getOperand().getType().isDynamicDim(dim))
      continue;
    unsigned target = cast<AffineDimExpr>(expr).getPosition();
    Value size = op.getSizes()[op.getResult().getType().getDynamicDimIndex(target)];
    if (findSize(op.getOperand(), dim) != OpFoldResult(size))
      return false;
  }
  return true;
}

std::optional<AffineMap> tessera::findUnitReshape(ReshapeOp op) {
  // Whatever else reads it would need a copy, where a view is enough.
  if (!llvm::all_of(op->getUsers(), [](Operation *user) {
        return user->hasTrait<Elementwise>() || isa<BroadcastToOp, ConcatOp>(user);
      }))
    return std::nullopt;
  Builder b(op.getContext());
  ArrayRef<int64_t> from = op.getOperand().getType().getShape(), to = op.getResult().getType().getShape();
  SmallVector<AffineExpr> exprs(from.size(), b.getAffineConstantExpr(0));
  size_t target = 0;
  for (size_t source = 0; source < from.size(); ++source) {
    if (from[source] == 1)
      continue;
    while (target < to.size() && to[target] == 1)
      ++target;
    // Dynamic sizes in the same order are the same only if there is no more than one to confuse.
    if (target == to.size() || to[target] != from[source])
      return std::nullopt;
    exprs[source] = b.getAffineDimExpr(target++);
  }
  while (target < to.size() && to[target] == 1)
    ++target;
  if (target != to.size() || !sameDynamicSizes(op, exprs))
    return std::nullopt;
  return AffineMap::get(to.size(), 0, exprs, op.getContext());
}

namespace {

struct LowerConstant : OpConversionPattern<ConstantOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(ConstantOp op, OpAdaptor, ConversionPatternRewriter &rewriter) const override {
    auto value = dyn_cast<DenseElementsAttr>(op.getValue());
    if (!value)
      return op.emitOpError("expected a dense constant");
    if (value.getElementType().isInteger(1))
      value = cast<DenseIntElementsAttr>(value).mapValues(
          rewriter.getI8Type(), [](const APInt &bit) { return APInt(8, bit.getZExtValue()); });
    rewriter.replaceOpWithNewOp<arith::ConstantOp>(op, value);
    return success();
  }
};

struct LowerBroadcastTo : OpConversionPattern<BroadcastToOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(BroadcastToOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    AffineMap map =
        broadcastMap(rewriter.getContext(), op.getOperand().getType().getShape(), op.getResult().getType().getShape());
    rewriter.replaceOp(
        op, createParallel(rewriter, op.getLoc(), adaptor.getOperand(), map, createDestination(rewriter, op), same));
    return success();
  }
};

struct LowerIota : OpConversionPattern<IotaOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(IotaOp op, OpAdaptor, ConversionPatternRewriter &rewriter) const override {
    Type element = op.getResult().getType().getElementType();
    rewriter.replaceOp(op, createParallel(rewriter, op.getLoc(), {}, {}, createDestination(rewriter, op),
                                          [&](OpBuilder &b, Location loc, ValueRange) {
                                            Value index = linalg::IndexOp::create(b, loc, op.getDim());
                                            Value number = arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
                                            return buildScalarCast(b, loc, number, element);
                                          }));
    return success();
  }
};

/// A reshape that only adds and removes dimensions of size 1, where something elementwise reads it.
struct LowerUnitReshape : OpConversionPattern<ReshapeOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(ReshapeOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    std::optional<AffineMap> map = findUnitReshape(op);
    if (!map)
      return failure();
    rewriter.replaceOp(
        op, createParallel(rewriter, op.getLoc(), adaptor.getOperand(), *map, createDestination(rewriter, op), same));
    return success();
  }
};

struct LowerTranspose : OpConversionPattern<TransposeOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(TransposeOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    SmallVector<AffineExpr> exprs(op.getPermutation().size());
    for (auto [result, operand] : llvm::enumerate(op.getPermutation()))
      exprs[operand] = rewriter.getAffineDimExpr(result);
    AffineMap map = AffineMap::get(exprs.size(), 0, exprs, rewriter.getContext());
    rewriter.replaceOp(
        op, createParallel(rewriter, op.getLoc(), adaptor.getOperand(), map, createDestination(rewriter, op), same));
    return success();
  }
};

/// A slice is a view; one that goes backwards, which upstream's subviews cannot, reads at computed positions.
struct LowerSlice : OpConversionPattern<SliceOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(SliceOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto resultType = cast<RankedTensorType>(memoryType(op.getResult().getType()));
    if (llvm::all_of(op.getStrides(), [](int64_t stride) { return stride > 0; })) {
      SmallVector<OpFoldResult> offsets = getAsOpFoldResult(adaptor.getOffsets()), sizes, strides;
      ReifiedRankedShapedTypeDims shapes;
      if (failed(op.reifyResultShapes(rewriter, shapes)))
        return failure();
      for (int64_t stride : op.getStrides())
        strides.push_back(rewriter.getIndexAttr(stride));
      rewriter.replaceOpWithNewOp<tensor::ExtractSliceOp>(op, resultType, adaptor.getOperand(), offsets, shapes[0],
                                                          strides);
      return success();
    }
    rewriter.replaceOp(op, createParallel(rewriter, loc, {}, {}, createDestination(rewriter, op),
                                          [&](OpBuilder &b, Location l, ValueRange) -> Value {
                                            SmallVector<Value> position;
                                            for (auto [dim, offset] : llvm::enumerate(adaptor.getOffsets())) {
                                              Value index = linalg::IndexOp::create(b, l, dim);
                                              Value stride = arith::ConstantIndexOp::create(b, l, op.getStrides()[dim]);
                                              position.push_back(arith::AddIOp::create(
                                                  b, l, offset, arith::MulIOp::create(b, l, index, stride)));
                                            }
                                            return tensor::ExtractOp::create(b, l, adaptor.getOperand(), position);
                                          }));
    return success();
  }
};

struct LowerConcat : OpConversionPattern<ConcatOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(ConcatOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value result = createDestination(rewriter, op);
    int64_t rank = op.getResult().getType().getRank();
    SmallVector<OpFoldResult> offsets(rank, rewriter.getIndexAttr(0)), strides(rank, rewriter.getIndexAttr(1));
    Value offset = arith::ConstantIndexOp::create(rewriter, loc, 0);
    for (Value input : adaptor.getInputs()) {
      SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, loc, input);
      if (isConstantIntValue(sizes[op.getDim()], 0))
        continue;
      offsets[op.getDim()] = getAsOpFoldResult(offset);
      result = tensor::InsertSliceOp::create(rewriter, loc, input, result, offsets, sizes, strides);
      Value size = getValueOrCreateConstantIndexOp(rewriter, loc, sizes[op.getDim()]);
      offset = rewriter.createOrFold<arith::AddIOp>(loc, offset, size);
    }
    rewriter.replaceOp(op, result);
    return success();
  }
};

/// Positions are checked before anything is read, by a reduction whose result the host looks at; the reads then stay
/// within the table whatever the positions are.
struct LowerGather : OpConversionPattern<GatherOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(GatherOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    MLIRContext *context = rewriter.getContext();
    Location loc = op.getLoc();
    int64_t dim = op.getDim(), rank = op.getResult().getType().getRank();
    int64_t indexRank = op.getIndices().getType().getRank();
    Value size =
        getValueOrCreateConstantIndexOp(rewriter, loc, tensor::getMixedSize(rewriter, loc, adaptor.getOperand(), dim));
    check(rewriter, op, adaptor.getIndices(), size);
    Value last = arith::SubIOp::create(rewriter, loc, size, arith::ConstantIndexOp::create(rewriter, loc, 1));
    SmallVector<AffineExpr> exprs;
    for (int64_t i = 0; i < indexRank; ++i)
      exprs.push_back(getAffineDimExpr(dim + i, context));
    AffineMap map = AffineMap::get(rank, 0, exprs, context);
    Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0);
    rewriter.replaceOp(op, createParallel(rewriter, loc, adaptor.getIndices(), map, createDestination(rewriter, op),
                                          [&](OpBuilder &b, Location l, ValueRange args) -> Value {
                                            SmallVector<Value> position;
                                            for (int64_t i = 0; i < op.getOperand().getType().getRank(); ++i) {
                                              if (i != dim) {
                                                position.push_back(
                                                    linalg::IndexOp::create(b, l, i < dim ? i : i + indexRank - 1));
                                                continue;
                                              }
                                              Value index = arith::IndexCastOp::create(b, l, b.getIndexType(), args[0]);
                                              Value low = arith::MaxSIOp::create(b, l, index, zero);
                                              position.push_back(arith::MinSIOp::create(b, l, low, last));
                                            }
                                            return tensor::ExtractOp::create(b, l, adaptor.getOperand(), position);
                                          }));
    return success();
  }

  /// Ends the call with an error if a position is outside [0, size): finds the smallest and largest position.
  static void check(OpBuilder &b, GatherOp op, Value indices, Value size) {
    Location loc = op.getLoc();
    int64_t rank = op.getIndices().getType().getRank();
    Type i64 = b.getI64Type();
    auto scalar = RankedTensorType::get({}, i64);
    Value low = createFilled(b, loc, scalar, {}, b.getI64IntegerAttr(0));
    Value high = createFilled(b, loc, scalar, {}, b.getI64IntegerAttr(-1));
    SmallVector<AffineMap> maps = {b.getMultiDimIdentityMap(rank), AffineMap::get(rank, 0, b.getContext()),
                                   AffineMap::get(rank, 0, b.getContext())};
    SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::reduction);
    auto range =
        linalg::GenericOp::create(b, loc, TypeRange{scalar, scalar}, indices, ValueRange{low, high}, maps, iterators,
                                  [&](OpBuilder &b, Location l, ValueRange args) {
                                    Value index = buildScalarCast(b, l, args[0], i64);
                                    linalg::YieldOp::create(b, l,
                                                            ValueRange{arith::MinSIOp::create(b, l, index, args[1]),
                                                                       arith::MaxSIOp::create(b, l, index, args[2])});
                                  });
    Value smallest = tensor::ExtractOp::create(b, loc, range.getResult(0), ValueRange{});
    Value largest = tensor::ExtractOp::create(b, loc, range.getResult(1), ValueRange{});
    Value bound = arith::IndexCastOp::create(b, loc, i64, size);
    Value zero = arith::ConstantIntOp::create(b, loc, 0, 64);
    auto fail = [&](Value isWrong, Value index) {
      rt::FailOp::create(b, loc, isWrong, kIndexOutOfRange, messageAt(loc), index, bound);
    };
    fail(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, smallest, zero), smallest);
    fail(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, largest, bound), largest);
  }

  // runtime/errors.def
  static constexpr int32_t kIndexOutOfRange = 2030;

  /// The message with the user's line, if the location has one.
  static std::string messageAt(Location loc) {
    std::string message = "index out of range: expected 0 <= index < %1, got %0";
    FileLineColLoc line;
    loc->walk([&](Location inner) {
      line = dyn_cast<FileLineColLoc>(inner);
      return line ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (line)
      message +=
          (" (" + llvm::sys::path::filename(line.getFilename().getValue()) + ":" + Twine(line.getLine()) + ")").str();
    return message;
  }
};

/// A reshape that stays still takes and gives bytes for booleans.
struct ConvertReshape : OpConversionPattern<ReshapeOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(ReshapeOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, memoryType(op.getResult().getType()), adaptor.getOperand(),
                                           adaptor.getSizes());
    return success();
  }
};

/// Attention and scatter are computed by kernels of their own; a mask, or what is scattered, may be of booleans.
template <typename OpTy> struct ConvertKernelOp : OpConversionPattern<OpTy> {
  using OpConversionPattern<OpTy>::OpConversionPattern;

  LogicalResult matchAndRewrite(OpTy op, typename OpTy::Adaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    SmallVector<Type> types = llvm::map_to_vector(op->getResultTypes(), memoryType);
    rewriter.replaceOpWithNewOp<OpTy>(op, types, adaptor.getOperands(), op->getAttrs());
    return success();
  }
};

/// A size asked of a tensor of booleans.
struct ConvertDim : OpConversionPattern<tensor::DimOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(tensor::DimOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tensor::DimOp>(op, adaptor.getSource(), adaptor.getIndex());
    return success();
  }
};

struct ConvertBindShape : OpConversionPattern<BindShapeOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(BindShapeOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<BindShapeOp>(op, adaptor.getSource(), adaptor.getSizes());
    return success();
  }
};

} // namespace

void tessera::populateShapeLowering(RewritePatternSet &patterns, const TypeConverter &converter) {
  patterns
      .add<LowerConstant, LowerBroadcastTo, LowerIota, LowerTranspose, LowerSlice, LowerConcat, LowerGather,
           ConvertReshape, ConvertBindShape, ConvertDim, ConvertKernelOp<FlashAttentionOp>, ConvertKernelOp<ScatterOp>>(
          converter, patterns.getContext());
  patterns.add<LowerUnitReshape>(converter, patterns.getContext(), /*benefit=*/2);
}
