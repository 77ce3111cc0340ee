// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reductions and matrix products.

#include "passes/LowerToLinalg/Generic.h"

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/LowerToLinalg/ScalarBodies.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tessera;

/// The map from a loop nest over the operand to the result, which has no reduced dimensions.
static AffineMap reductionMap(MLIRContext *context, int64_t rank, ArrayRef<int64_t> dims) {
  return AffineMap::getMultiDimIdentityMap(rank, context).dropResults(dims);
}

/// The destination type and sizes of a loop nest that reduces \p dims of a result which may keep them.
static RankedTensorType dropDims(RankedTensorType result, ArrayRef<int64_t> dims, bool keepdims,
                                 SmallVector<OpFoldResult> &sizes) {
  if (!keepdims)
    return result;
  SmallVector<int64_t> shape;
  SmallVector<OpFoldResult> kept;
  for (auto [dim, size] : llvm::enumerate(result.getShape())) {
    if (llvm::is_contained(dims, static_cast<int64_t>(dim)))
      continue;
    shape.push_back(size);
    kept.push_back(sizes[dim]);
  }
  sizes = kept;
  return result.clone(shape);
}

/// Puts dimensions of size 1 back in the place of the reduced ones.
static Value restoreDims(OpBuilder &b, Location loc, Value reduced, RankedTensorType type, ArrayRef<int64_t> dims,
                         ArrayRef<OpFoldResult> sizes) {
  if (reduced.getType() == type)
    return reduced;
  return createParallel(b, loc, reduced, reductionMap(b.getContext(), type.getRank(), dims),
                        createEmpty(b, loc, type, sizes),
                        [](OpBuilder &, Location, ValueRange args) { return args[0]; });
}

static SmallVector<utils::IteratorType> reductionIterators(int64_t rank, ArrayRef<int64_t> dims) {
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  for (int64_t dim : dims)
    iterators[dim] = utils::IteratorType::reduction;
  return iterators;
}

/// What max (or min) is of nothing.
static TypedAttr extreme(Type type, bool isMax) {
  if (auto floatType = dyn_cast<FloatType>(type)) {
    const llvm::fltSemantics &semantics = floatType.getFloatSemantics();
    // fp8_e4m3 has no infinity.
    bool hasInfinity = APFloat::getInf(semantics).isInfinity();
    return FloatAttr::get(type,
                          hasInfinity ? APFloat::getInf(semantics, isMax) : APFloat::getLargest(semantics, isMax));
  }
  unsigned width = type.getIntOrFloatBitWidth();
  return IntegerAttr::get(type, isMax ? APInt::getSignedMinValue(width) : APInt::getSignedMaxValue(width));
}

namespace {

template <typename OpTy> struct LowerReduction : OpConversionPattern<OpTy> {
  using OpConversionPattern<OpTy>::OpConversionPattern;

  static TypedAttr neutral(Type type) {
    OpBuilder b(type.getContext());
    if constexpr (std::is_same_v<OpTy, ReduceMaxOp> || std::is_same_v<OpTy, ReduceMinOp>)
      return extreme(type, std::is_same_v<OpTy, ReduceMaxOp>);
    if constexpr (std::is_same_v<OpTy, ReduceProdOp> || std::is_same_v<OpTy, ReduceAllOp>)
      return b.getOneAttr(type);
    return b.getZeroAttr(type);
  }

  static Value combine(OpBuilder &b, Location loc, Value x, Value acc) {
    auto pick = [&](auto floatOp, auto intOp) -> Value {
      if (isa<FloatType>(x.getType()))
        return decltype(floatOp)::create(b, loc, x, acc);
      return decltype(intOp)::create(b, loc, x, acc);
    };
    if constexpr (std::is_same_v<OpTy, ReduceSumOp>)
      return pick(arith::AddFOp(), arith::AddIOp());
    if constexpr (std::is_same_v<OpTy, ReduceProdOp>)
      return pick(arith::MulFOp(), arith::MulIOp());
    if constexpr (std::is_same_v<OpTy, ReduceMaxOp>)
      return pick(arith::MaximumFOp(), arith::MaxSIOp());
    if constexpr (std::is_same_v<OpTy, ReduceMinOp>)
      return pick(arith::MinimumFOp(), arith::MinSIOp());
    // Booleans are bytes of 0 and 1.
    if constexpr (std::is_same_v<OpTy, ReduceAnyOp>)
      return arith::OrIOp::create(b, loc, x, acc);
    if constexpr (std::is_same_v<OpTy, ReduceAllOp>)
      return arith::AndIOp::create(b, loc, x, acc);
  }

  LogicalResult matchAndRewrite(OpTy op, typename OpTy::Adaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    ReifiedRankedShapedTypeDims shapes;
    if (failed(op.reifyResultShapes(rewriter, shapes)))
      return failure();
    Location loc = op.getLoc();
    auto operandType = cast<RankedTensorType>(adaptor.getOperand().getType());
    auto resultType = cast<RankedTensorType>(memoryType(op.getResult().getType()));
    SmallVector<OpFoldResult> sizes = shapes[0];
    RankedTensorType reducedType = dropDims(resultType, op.getDims(), op.getKeepdims(), sizes);
    Value init = createFilled(rewriter, loc, reducedType, sizes, neutral(resultType.getElementType()));
    int64_t rank = operandType.getRank();
    auto reduced = linalg::GenericOp::create(
        rewriter, loc, reducedType, adaptor.getOperand(), init,
        ArrayRef<AffineMap>{rewriter.getMultiDimIdentityMap(rank),
                            reductionMap(rewriter.getContext(), rank, op.getDims())},
        reductionIterators(rank, op.getDims()), [](OpBuilder &b, Location l, ValueRange args) {
          linalg::YieldOp::create(b, l, combine(b, l, args[0], args[1]));
        });
    rewriter.replaceOp(op, restoreDims(rewriter, loc, reduced.getResult(0), resultType, op.getDims(), shapes[0]));
    return success();
  }
};

/// The largest element is found first, and then the first place that holds it: two reductions by one operation each,
/// which vectors can do. NaN counts as larger than all numbers.
template <typename OpTy, bool isMax> struct LowerArgReduction : OpConversionPattern<OpTy> {
  using OpConversionPattern<OpTy>::OpConversionPattern;

  LogicalResult matchAndRewrite(OpTy op, typename OpTy::Adaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    ReifiedRankedShapedTypeDims shapes;
    if (failed(op.reifyResultShapes(rewriter, shapes)))
      return failure();
    Location loc = op.getLoc();
    RankedTensorType resultType = op.getResult().getType();
    Type element = cast<RankedTensorType>(adaptor.getOperand().getType()).getElementType();
    bool isFloat = isa<FloatType>(element), isNarrow = isFloat && element.getIntOrFloatBitWidth() < 32;
    Type compared = isNarrow ? Type(rewriter.getF32Type()) : element;
    auto read = [&](OpBuilder &b, Location l, Value x) { return isNarrow ? buildScalarCast(b, l, x, compared) : x; };
    int64_t rank = op.getOperand().getType().getRank(), dim = op.getDim();
    SmallVector<OpFoldResult> sizes = shapes[0];
    RankedTensorType reducedType = dropDims(resultType, dim, op.getKeepdims(), sizes);
    AffineMap whole = rewriter.getMultiDimIdentityMap(rank), reduced = reductionMap(rewriter.getContext(), rank, dim);
    SmallVector<utils::IteratorType> iterators = reductionIterators(rank, dim);

    Value lowest = createFilled(rewriter, loc, reducedType.clone(compared), sizes, extreme(compared, isMax));
    auto best = linalg::GenericOp::create(
        rewriter, loc, lowest.getType(), adaptor.getOperand(), lowest, ArrayRef<AffineMap>{whole, reduced}, iterators,
        [&](OpBuilder &b, Location l, ValueRange args) {
          Value x = read(b, l, args[0]);
          Value better = isFloat ? (isMax ? arith::MaximumFOp::create(b, l, x, args[1]).getResult()
                                          : arith::MinimumFOp::create(b, l, x, args[1]).getResult())
                                 : (isMax ? arith::MaxSIOp::create(b, l, x, args[1]).getResult()
                                          : arith::MinSIOp::create(b, l, x, args[1]).getResult());
          linalg::YieldOp::create(b, l, better);
        });
    IntegerAttr nowhere = rewriter.getI64IntegerAttr(std::numeric_limits<int64_t>::max());
    Value last = createFilled(rewriter, loc, reducedType, sizes, nowhere);
    auto where = linalg::GenericOp::create(
        rewriter, loc, reducedType, ValueRange{adaptor.getOperand(), best.getResult(0)}, last,
        ArrayRef<AffineMap>{whole, reduced, reduced}, iterators, [&](OpBuilder &b, Location l, ValueRange args) {
          Value x = read(b, l, args[0]), isBest;
          if (isFloat) {
            // If the largest is NaN, no number equals it; if it is not, there is no NaN.
            Value isNaN = arith::CmpFOp::create(b, l, arith::CmpFPredicate::UNO, x, x);
            Value isEqual = arith::CmpFOp::create(b, l, arith::CmpFPredicate::OEQ, x, args[1]);
            isBest = arith::OrIOp::create(b, l, isEqual, isNaN);
          } else {
            isBest = arith::CmpIOp::create(b, l, arith::CmpIPredicate::eq, x, args[1]);
          }
          Value index = arith::IndexCastOp::create(b, l, b.getI64Type(), linalg::IndexOp::create(b, l, dim));
          Value candidate =
              arith::SelectOp::create(b, l, isBest, index, arith::ConstantOp::create(b, l, nowhere).getResult());
          linalg::YieldOp::create(b, l, arith::MinSIOp::create(b, l, candidate, args[2]).getResult());
        });
    rewriter.replaceOp(op, restoreDims(rewriter, loc, where.getResult(0), resultType, dim, shapes[0]));
    return success();
  }
};

/// A matrix product is one contraction over (batch..., m, n, k), in the accumulator's type.
struct LowerMatmul : OpConversionPattern<MatmulOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(MatmulOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    ReifiedRankedShapedTypeDims shapes;
    if (failed(op.reifyResultShapes(rewriter, shapes)))
      return failure();
    Location loc = op.getLoc();
    MLIRContext *context = rewriter.getContext();
    RankedTensorType resultType = op.getResult().getType();
    Type accumulator = accumulatorType(op.getLhs().getType().getElementType(), op.getRhs().getType().getElementType());
    bool isInteger = isa<IntegerType>(accumulator);
    int64_t rank = resultType.getRank(), batch = rank - 2;
    auto operandMap = [&](RankedTensorType type, AffineExpr row, AffineExpr column) {
      SmallVector<AffineExpr> exprs(
          broadcastMap(context, type.getShape().drop_back(2), resultType.getShape().drop_back(2)).getResults());
      exprs.append({row, column});
      return AffineMap::get(rank + 1, 0, exprs, context);
    };
    AffineExpr m = rewriter.getAffineDimExpr(batch), n = rewriter.getAffineDimExpr(batch + 1),
               k = rewriter.getAffineDimExpr(rank);
    SmallVector<AffineMap> maps = {operandMap(op.getLhs().getType(), m, k), operandMap(op.getRhs().getType(), k, n),
                                   AffineMap::getMultiDimIdentityMap(rank, context)};
    maps.back() = AffineMap::get(rank + 1, 0, maps.back().getResults(), context);
    Value init =
        createFilled(rewriter, loc, resultType.clone(accumulator), shapes[0], rewriter.getZeroAttr(accumulator));
    auto product = linalg::GenericOp::create(
        rewriter, loc, init.getType(), ValueRange{adaptor.getLhs(), adaptor.getRhs()}, init, maps,
        reductionIterators(rank + 1, rank), [&](OpBuilder &b, Location l, ValueRange args) {
          Value x = buildScalarCast(b, l, args[0], accumulator), y = buildScalarCast(b, l, args[1], accumulator);
          Value sum;
          if (isInteger)
            sum = arith::AddIOp::create(b, l, args[2], arith::MulIOp::create(b, l, x, y));
          else
            sum = arith::AddFOp::create(b, l, args[2], arith::MulFOp::create(b, l, x, y));
          linalg::YieldOp::create(b, l, sum);
        });
    Value result = product.getResult(0);
    if (resultType.getElementType() != accumulator)
      result = createParallel(rewriter, loc, result, rewriter.getMultiDimIdentityMap(rank),
                              createEmpty(rewriter, loc, resultType, shapes[0]),
                              [&](OpBuilder &b, Location l, ValueRange args) {
                                return buildScalarCast(b, l, args[0], resultType.getElementType());
                              });
    rewriter.replaceOp(op, result);
    return success();
  }
};

} // namespace

void tessera::populateReductionLowering(RewritePatternSet &patterns, const TypeConverter &converter) {
  patterns.add<LowerReduction<ReduceSumOp>, LowerReduction<ReduceProdOp>, LowerReduction<ReduceMaxOp>,
               LowerReduction<ReduceMinOp>, LowerReduction<ReduceAnyOp>, LowerReduction<ReduceAllOp>,
               LowerArgReduction<ArgMaxOp, true>, LowerArgReduction<ArgMinOp, false>, LowerMatmul>(
      converter, patterns.getContext());
}
