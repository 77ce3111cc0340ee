// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations whose result depends on the order of elements along a dimension. They compare every pair of elements, which
// is vector arithmetic on any target and takes time quadratic in the dimension.

#include "passes/LowerToLinalg/Generic.h"

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

using BodyFn = llvm::function_ref<Value(OpBuilder &, Location, ValueRange)>;

/// A nest over the result and, innermost, over all elements along `dim`: inputs are read at the result's position
/// (`atResult`) or at the innermost loop's.
static Value createPairwise(OpBuilder &b, Location loc, ArrayRef<std::pair<Value, bool>> inputs, Value init, int64_t dim,
                            BodyFn body) {
  MLIRContext *context = b.getContext();
  int64_t rank = cast<RankedTensorType>(init.getType()).getRank();
  AffineMap result = AffineMap::getMultiDimIdentityMap(rank + 1, context).dropResult(rank);
  SmallVector<AffineExpr> exprs(result.getResults());
  exprs[dim] = getAffineDimExpr(rank, context);
  AffineMap other = AffineMap::get(rank + 1, 0, exprs, context);
  SmallVector<AffineMap> maps;
  SmallVector<Value> tensors;
  for (auto [tensor, atResult] : inputs) {
    tensors.push_back(tensor);
    maps.push_back(atResult ? result : other);
  }
  maps.push_back(result);
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  iterators.push_back(utils::IteratorType::reduction);
  return linalg::GenericOp::create(b, loc, init.getType(), tensors, init, maps, iterators,
                                   [&](OpBuilder &nested, Location l, ValueRange args) {
                                     Value term = body(nested, l, args.drop_back());
                                     Value sum = isa<FloatType>(term.getType())
                                                     ? arith::AddFOp::create(nested, l, term, args.back()).getResult()
                                                     : arith::AddIOp::create(nested, l, term, args.back()).getResult();
                                     linalg::YieldOp::create(nested, l, sum);
                                   })
      .getResult(0);
}

static Value compareIndices(OpBuilder &b, Location loc, arith::CmpIPredicate predicate, int64_t left, int64_t right) {
  return arith::CmpIOp::create(b, loc, predicate, linalg::IndexOp::create(b, loc, left),
                               linalg::IndexOp::create(b, loc, right));
}

static Value zeroOf(OpBuilder &b, Location loc, Type type) {
  return arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
}

/// Whether `other`, at the innermost loop, comes before `mine`, at the result's position: by value, NaN above all
/// numbers, and among equals by position.
static Value comesBefore(OpBuilder &b, Location loc, Value mine, Value other, int64_t dim, int64_t inner,
                         bool descending) {
  Value first = descending ? mine : other, second = descending ? other : mine;
  Value earlier = compareIndices(b, loc, arith::CmpIPredicate::ult, inner, dim);
  Value less, equal;
  if (isa<FloatType>(mine.getType())) {
    auto compare = [&](arith::CmpFPredicate p, Value x, Value y) -> Value {
      return arith::CmpFOp::create(b, loc, p, x, y);
    };
    Value firstNaN = compare(arith::CmpFPredicate::UNO, first, first);
    Value secondNaN = compare(arith::CmpFPredicate::UNO, second, second);
    Value isTrue = arith::ConstantIntOp::create(b, loc, 1, 1);
    Value firstNumber = arith::XOrIOp::create(b, loc, firstNaN, isTrue);
    less = arith::OrIOp::create(b, loc, compare(arith::CmpFPredicate::OLT, first, second),
                                arith::AndIOp::create(b, loc, firstNumber, secondNaN));
    equal = arith::OrIOp::create(b, loc, compare(arith::CmpFPredicate::OEQ, first, second),
                                 arith::AndIOp::create(b, loc, firstNaN, secondNaN));
  } else {
    less = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, first, second);
    equal = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, first, second);
  }
  return arith::OrIOp::create(b, loc, less, arith::AndIOp::create(b, loc, equal, earlier));
}

/// The first elements along `dim` in order, and where they were: each element counts those before it, each place of the
/// result finds the element with its count, and reads it.
static std::pair<Value, Value> createSorted(OpBuilder &b, Location loc, Value tensor, int64_t dim, bool descending,
                                            ArrayRef<OpFoldResult> sizes, RankedTensorType resultType) {
  auto type = cast<RankedTensorType>(tensor.getType());
  int64_t rank = type.getRank();
  Type i64 = b.getI64Type();
  Value ranks = createPairwise(
      b, loc, {{tensor, true}, {tensor, false}},
      createFilled(b, loc, type.clone(i64), tensor::getMixedSizes(b, loc, tensor), b.getI64IntegerAttr(0)), dim,
      [&](OpBuilder &nested, Location l, ValueRange args) -> Value {
        Value before = comesBefore(nested, l, args[0], args[1], dim, rank, descending);
        return arith::ExtUIOp::create(nested, l, i64, before);
      });
  Value indices = createPairwise(
      b, loc, {{ranks, false}}, createFilled(b, loc, resultType.clone(i64), sizes, b.getI64IntegerAttr(0)), dim,
      [&](OpBuilder &nested, Location l, ValueRange args) -> Value {
        Value place = arith::IndexCastOp::create(nested, l, i64, linalg::IndexOp::create(nested, l, dim));
        Value isHere = arith::CmpIOp::create(nested, l, arith::CmpIPredicate::eq, args[0], place);
        Value index = arith::IndexCastOp::create(nested, l, i64, linalg::IndexOp::create(nested, l, rank));
        return arith::SelectOp::create(nested, l, isHere, index, zeroOf(nested, l, i64));
      });
  Value values = createParallel(b, loc, indices, b.getMultiDimIdentityMap(rank), createEmpty(b, loc, resultType, sizes),
                                [&](OpBuilder &nested, Location l, ValueRange args) -> Value {
                                  SmallVector<Value> position;
                                  for (int64_t i = 0; i < rank; ++i)
                                    position.push_back(linalg::IndexOp::create(nested, l, i));
                                  position[dim] =
                                      arith::IndexCastOp::create(nested, l, nested.getIndexType(), args[0]);
                                  return tensor::ExtractOp::create(nested, l, tensor, position);
                                });
  return {values, indices};
}

namespace {

struct LowerCumSum : OpConversionPattern<CumSumOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(CumSumOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    RankedTensorType type = op.getOperand().getType();
    int64_t dim = op.getDim(), rank = type.getRank();
    Value init = createFilled(b, loc, type, tensor::getMixedSizes(b, loc, adaptor.getOperand()),
                              b.getZeroAttr(type.getElementType()));
    b.replaceOp(op, createPairwise(b, loc, {{adaptor.getOperand(), false}}, init, dim,
                                   [&](OpBuilder &nested, Location l, ValueRange args) -> Value {
                                     Value upTo = compareIndices(nested, l, arith::CmpIPredicate::ule, rank, dim);
                                     Value zero = zeroOf(nested, l, type.getElementType());
                                     return arith::SelectOp::create(nested, l, upTo, args[0], zero);
                                   }));
    return success();
  }
};

template <typename OpTy>
struct LowerSorted : OpConversionPattern<OpTy> {
  using OpConversionPattern<OpTy>::OpConversionPattern;

  LogicalResult matchAndRewrite(OpTy op, typename OpTy::Adaptor adaptor, ConversionPatternRewriter &b) const override {
    ReifiedRankedShapedTypeDims shapes;
    if (failed(op.reifyResultShapes(b, shapes)))
      return failure();
    bool descending = true;
    if constexpr (std::is_same_v<OpTy, SortOp>)
      descending = op.getDescending();
    auto [values, indices] = createSorted(b, op.getLoc(), adaptor.getOperand(), op.getDim(), descending, shapes[0],
                                          op.getValues().getType());
    b.replaceOp(op, {values, indices});
    return success();
  }
};

} // namespace

void tessera::populateOrderLowering(RewritePatternSet &patterns, const TypeConverter &converter) {
  patterns.add<LowerCumSum, LowerSorted<SortOp>, LowerSorted<TopKOp>>(converter, patterns.getContext());
}
