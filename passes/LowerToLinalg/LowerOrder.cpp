// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations whose result depends on the order of elements along a dimension, as steps over whole tensors: each step is
// elementwise and reads one more element, so it is vector arithmetic on a CPU and a launch on a GPU.

#include "passes/LowerToLinalg/Generic.h"

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

/// The number k with 2^(k-1) < n <= 2^k; 0 for n <= 1.
static Value createLog2Ceil(OpBuilder &b, Location loc, Value n) {
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  Value atLeastOne = arith::MaxSIOp::create(b, loc, n, one);
  Value last = arith::IndexCastOp::create(b, loc, b.getI64Type(), arith::SubIOp::create(b, loc, atLeastOne, one));
  Value zeros =
      arith::IndexCastOp::create(b, loc, b.getIndexType(), math::CountLeadingZerosOp::create(b, loc, last).getResult());
  return arith::SubIOp::create(b, loc, arith::ConstantIndexOp::create(b, loc, 64), zeros);
}

/// One elementwise step: the body gets the elements of `inputs` at its place, and computes one for each of `types`.
static SmallVector<Value> createStep(OpBuilder &b, Location loc, ValueRange inputs, ArrayRef<RankedTensorType> types,
                                     ArrayRef<OpFoldResult> sizes,
                                     llvm::function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)> body) {
  int64_t rank = types.front().getRank();
  SmallVector<Value> inits;
  for (RankedTensorType type : types)
    inits.push_back(createEmpty(b, loc, type, sizes));
  SmallVector<AffineMap> maps(inputs.size() + inits.size(), b.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  auto step =
      linalg::GenericOp::create(b, loc, ValueRange(inits).getTypes(), inputs, inits, maps, iterators,
                                [&](OpBuilder &nested, Location l, ValueRange args) {
                                  linalg::YieldOp::create(nested, l, body(nested, l, args.take_front(inputs.size())));
                                });
  return llvm::to_vector_of<Value>(step.getResults());
}

/// The element of `tensor` at this place but for its position along `dim`.
static Value readAt(OpBuilder &b, Location loc, Value tensor, int64_t dim, Value position) {
  SmallVector<Value> indices;
  for (int64_t i = 0; i < cast<RankedTensorType>(tensor.getType()).getRank(); ++i)
    indices.push_back(i == dim ? position : linalg::IndexOp::create(b, loc, i).getResult());
  return tensor::ExtractOp::create(b, loc, tensor, indices);
}

/// Whether `x`, once at `xIndex`, comes before `y`, once at `yIndex`: by value, NaN above all numbers, and among equals
/// by index.
static Value comesBefore(OpBuilder &b, Location loc, Value x, Value xIndex, Value y, Value yIndex, bool descending) {
  Value first = descending ? y : x, second = descending ? x : y;
  Value earlier = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, xIndex, yIndex);
  Value less, equal;
  if (isa<FloatType>(x.getType())) {
    auto compare = [&](arith::CmpFPredicate p, Value l, Value r) -> Value {
      return arith::CmpFOp::create(b, loc, p, l, r);
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

/// One step of a bitonic merge (K. E. Batcher, Sorting networks and their applications, 1968): each element meets that
/// whose position differs in the bits of `mask`, and the lower position keeps what comes first. Where the other
/// position is past the end, it would hold the last of all elements, and nothing changes.
static SmallVector<Value> createExchange(OpBuilder &b, Location loc, ValueRange tensors, int64_t dim, Value mask,
                                         ArrayRef<OpFoldResult> sizes, bool descending) {
  SmallVector<RankedTensorType> types;
  for (Value tensor : tensors)
    types.push_back(cast<RankedTensorType>(tensor.getType()));
  Value size = getValueOrCreateConstantIndexOp(b, loc, sizes[dim]);
  return createStep(b, loc, tensors, types, sizes, [&](OpBuilder &nested, Location l, ValueRange args) {
    Value mine = linalg::IndexOp::create(nested, l, dim);
    Value other = arith::XOrIOp::create(nested, l, mine, mask);
    Value exists = arith::CmpIOp::create(nested, l, arith::CmpIPredicate::ult, other, size);
    Value partner = arith::SelectOp::create(nested, l, exists, other, mine);
    Value value = readAt(nested, l, tensors[0], dim, partner), index = readAt(nested, l, tensors[1], dim, partner);
    Value otherFirst = comesBefore(nested, l, value, index, args[0], args[1], descending);
    Value isLower = arith::CmpIOp::create(nested, l, arith::CmpIPredicate::ult, mine, partner);
    // The lower position takes what is first, the upper one what is not; an element never comes before itself.
    Value mineFirst = comesBefore(nested, l, args[0], args[1], value, index, descending);
    Value takes = arith::SelectOp::create(nested, l, isLower, otherFirst, mineFirst);
    return SmallVector<Value>{arith::SelectOp::create(nested, l, takes, value, args[0]),
                              arith::SelectOp::create(nested, l, takes, index, args[1])};
  });
}

/// The elements along `dim` in order, and where they were. Runs of 2^k elements become sorted for k = 1, 2, ...: the
/// first step of a merge compares each run with the mirror image of its neighbour.
static SmallVector<Value> createSorted(OpBuilder &b, Location loc, Value tensor, int64_t dim, bool descending) {
  auto type = cast<RankedTensorType>(tensor.getType());
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, tensor);
  SmallVector<RankedTensorType> types = {type, type.clone(b.getI64Type())};
  SmallVector<Value> start =
      createStep(b, loc, tensor, types, sizes, [&](OpBuilder &nested, Location l, ValueRange args) {
        Value index = linalg::IndexOp::create(nested, l, dim);
        return SmallVector<Value>{args[0], arith::IndexCastOp::create(nested, l, nested.getI64Type(), index)};
      });
  Value zero = arith::ConstantIndexOp::create(b, loc, 0), one = arith::ConstantIndexOp::create(b, loc, 1);
  Value levels = createLog2Ceil(b, loc, getValueOrCreateConstantIndexOp(b, loc, sizes[dim]));
  auto merges = scf::ForOp::create(
      b, loc, zero, levels, one, start, [&](OpBuilder &outer, Location l, Value level, ValueRange tensors) {
        Value half = arith::ShLIOp::create(outer, l, one, level);
        Value mirror = arith::SubIOp::create(outer, l, arith::ShLIOp::create(outer, l, half, one), one);
        SmallVector<Value> crossed = createExchange(outer, l, tensors, dim, mirror, sizes, descending);
        auto steps = scf::ForOp::create(
            outer, l, zero, level, one, crossed, [&](OpBuilder &inner, Location m, Value step, ValueRange now) {
              Value shift = arith::SubIOp::create(inner, m, arith::SubIOp::create(inner, m, level, one), step);
              Value distance = arith::ShLIOp::create(inner, m, one, shift);
              scf::YieldOp::create(inner, m, createExchange(inner, m, now, dim, distance, sizes, descending));
            });
        scf::YieldOp::create(outer, l, steps.getResults());
      });
  return llvm::to_vector_of<Value>(merges.getResults());
}

namespace {

/// Prefix sums by doubling (W. D. Hillis and G. L. Steele, Data parallel algorithms, 1986): after k steps each element
/// holds the sum of the 2^k up to it.
struct LowerCumSum : OpConversionPattern<CumSumOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(CumSumOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    Value tensor = adaptor.getOperand();
    RankedTensorType type = op.getOperand().getType();
    int64_t dim = op.getDim();
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, tensor);
    Value zero = arith::ConstantIndexOp::create(b, loc, 0), one = arith::ConstantIndexOp::create(b, loc, 1);
    Value levels = createLog2Ceil(b, loc, getValueOrCreateConstantIndexOp(b, loc, sizes[dim]));
    auto loop = scf::ForOp::create(
        b, loc, zero, levels, one, tensor, [&](OpBuilder &outer, Location l, Value level, ValueRange sums) {
          Value distance = arith::ShLIOp::create(outer, l, one, level);
          auto add = [&](OpBuilder &nested, Location m, ValueRange args) {
            Value mine = linalg::IndexOp::create(nested, m, dim);
            Value exists = arith::CmpIOp::create(nested, m, arith::CmpIPredicate::uge, mine, distance);
            Value before = arith::SubIOp::create(nested, m, mine, distance);
            Value other = readAt(nested, m, sums[0], dim, arith::SelectOp::create(nested, m, exists, before, zero));
            Value sum = isa<FloatType>(other.getType()) ? arith::AddFOp::create(nested, m, args[0], other).getResult()
                                                        : arith::AddIOp::create(nested, m, args[0], other).getResult();
            return SmallVector<Value>{arith::SelectOp::create(nested, m, exists, sum, args[0])};
          };
          scf::YieldOp::create(outer, l, createStep(outer, l, sums, type, sizes, add));
        });
    b.replaceOp(op, loop.getResults());
    return success();
  }
};

struct LowerSort : OpConversionPattern<SortOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(SortOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    b.replaceOp(op, createSorted(b, op.getLoc(), adaptor.getOperand(), op.getDim(), op.getDescending()));
    return success();
  }
};

struct LowerTopK : OpConversionPattern<TopKOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(TopKOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    ReifiedRankedShapedTypeDims shapes;
    if (failed(op.reifyResultShapes(b, shapes)))
      return failure();
    Location loc = op.getLoc();
    int64_t rank = op.getOperand().getType().getRank();
    SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0)), strides(rank, b.getIndexAttr(1));
    SmallVector<Value> results;
    for (auto [sorted, result] :
         llvm::zip_equal(createSorted(b, loc, adaptor.getOperand(), op.getDim(), /*descending=*/true), op.getResults()))
      results.push_back(tensor::ExtractSliceOp::create(b, loc, cast<RankedTensorType>(result.getType()), sorted,
                                                       offsets, shapes[0], strides));
    b.replaceOp(op, results);
    return success();
  }
};

} // namespace

void tessera::populateOrderLowering(RewritePatternSet &patterns, const TypeConverter &converter) {
  patterns.add<LowerCumSum, LowerSort, LowerTopK>(converter, patterns.getContext());
}
