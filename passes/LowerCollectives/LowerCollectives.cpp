// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Shard/IR/ShardDialect.h"
#include "mlir/Dialect/Shard/IR/ShardOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERALOWERCOLLECTIVESPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {

using Sizes = SmallVector<OpFoldResult>;

/// Writes what one operation of `shard` is made of.
class CollectiveLowering {
public:
  CollectiveLowering(RewriterBase &rewriter, SymbolTableCollection &symbols) : b(rewriter), symbols(symbols) {}

  LogicalResult lower(Operation *op) {
    b.setInsertionPoint(op);
    loc = op->getLoc();
    return TypeSwitch<Operation *, LogicalResult>(op)
        .Case<shard::AllReduceOp, shard::ReduceScatterOp>([&](auto reduction) { return lowerReduction(reduction); })
        .Case([&](shard::AllGatherOp gather) {
          return replace(gather, [&](Value input) {
            return gatherAt(create(rt::CollectiveKind::all_gather, input, withFront(input, ranks)),
                            gather.getGatherAxis().getSExtValue());
          });
        })
        .Case([&](shard::AllToAllOp exchange) {
          return replace(exchange, [&](Value input) {
            Value pieces = splitAt(input, exchange.getSplitAxis().getSExtValue());
            Value received = create(rt::CollectiveKind::all_to_all, pieces);
            return gatherAt(received, exchange.getConcatAxis().getSExtValue());
          });
        })
        .Case([&](shard::BroadcastOp broadcast) {
          return replace(broadcast, [&](Value input) {
            for (auto [extent, place] : llvm::zip_equal(extents, broadcast.getRoot()))
              root = root * extent + place;
            return create(rt::CollectiveKind::broadcast, input);
          });
        })
        .Case([&](shard::ShiftOp shift) {
          offset = shift.getOffset();
          periodic = shift.getRotate();
          return replace(shift, [&](Value input) { return create(rt::CollectiveKind::shift, input); });
        })
        .Case([&](shard::AllSliceOp slice) {
          return replace(slice, [&](Value input) { return sliceAt(input, slice.getSliceAxis().getSExtValue()); });
        })
        .Case([&](shard::ProcessMultiIndexOp index) {
          SmallVector<Value> places;
          for (int16_t axis : index.getAxes())
            places.push_back(rt::AxisIndexOp::create(b, loc, axis));
          b.replaceOp(index, places);
          return success();
        })
        .Default([](Operation *other) {
          return other->emitOpError("expected an operation that NCCL and MPI have; got ") << other->getName();
        });
  }

private:
  /// Replaces an operation by what `lower` makes of its operand, as bytes where it is of booleans.
  template <typename OpTy> LogicalResult replace(OpTy op, function_ref<Value(Value)> lower) {
    axes.assign(op.getGridAxes().begin(), op.getGridAxes().end());
    auto grid = symbols.lookupNearestSymbolFrom<shard::GridOp>(op, op.getGridAttr());
    extents = llvm::map_to_vector(op.getGridAxes(), [&](int16_t axis) { return grid.getShape()[axis]; });
    ranks = shard::collectiveProcessGroupSize(op.getGridAxes(), grid);
    if (ranks == 1 && !isa<shard::ShiftOp>(op)) {
      b.replaceOp(op, cast(op.getInput(), op.getResult().getType()));
      return success();
    }
    Value input = op.getInput();
    bool isBool = getElementTypeOrSelf(input).isInteger(1);
    if (isBool)
      input = cast(input, memory(input));
    Value result = lower(input);
    b.replaceOp(op, isBool ? cast(result, op.getResult().getType()) : result);
    return success();
  }

  template <typename OpTy> LogicalResult lowerReduction(OpTy op) {
    std::optional<rt::ReductionKind> kind = convert(op.getReduction());
    if (!kind)
      return op.emitOpError("expected a reduction that NCCL and MPI have; got ")
             << shard::stringifyReductionKind(op.getReduction());
    reduction = *kind;
    return replace(op, [&](Value input) -> Value {
      Type element = getElementTypeOrSelf(op.getResult().getType());
      if (!element.isInteger(1)) // those are bytes by now
        input = cast(input, RankedTensorType::get(shapeOf(input), element));
      if constexpr (std::is_same_v<OpTy, shard::AllReduceOp>) {
        return create(rt::CollectiveKind::all_reduce, input);
      } else {
        Value pieces = splitAt(input, op.getScatterAxis().getSExtValue());
        return create(rt::CollectiveKind::reduce_scatter, pieces, ArrayRef(mixedSizes(b, loc, pieces)).drop_front());
      }
    });
  }

  static std::optional<rt::ReductionKind> convert(shard::ReductionKind kind) {
    switch (kind) {
    case shard::ReductionKind::Sum:
      return rt::ReductionKind::sum;
    case shard::ReductionKind::Max:
      return rt::ReductionKind::max;
    case shard::ReductionKind::Min:
      return rt::ReductionKind::min;
    case shard::ReductionKind::Product:
      return rt::ReductionKind::prod;
    default:
      return std::nullopt;
    }
  }

  static ArrayRef<int64_t> shapeOf(Value tensor) { return ::cast<RankedTensorType>(tensor.getType()).getShape(); }

  RankedTensorType memory(Value tensor) { return ::cast<RankedTensorType>(tensor.getType()).clone(b.getI8Type()); }

  Value cast(Value tensor, Type type) {
    return tensor.getType() == type ? tensor : CastOp::create(b, loc, type, tensor).getResult();
  }

  Value create(rt::CollectiveKind kind, Value source, ArrayRef<OpFoldResult> sizes) {
    Value init = tensor::EmptyOp::create(b, loc, sizes, getElementTypeOrSelf(source));
    auto what = rt::CollectiveAttr::get(b.getContext(), kind, axes, ranks, reduction, root, offset, periodic);
    return rt::CollectiveOp::create(b, loc, init.getType(), what, source, init);
  }

  /// One whose result is as large as its source.
  Value create(rt::CollectiveKind kind, Value source) { return create(kind, source, mixedSizes(b, loc, source)); }

  Sizes withFront(Value tensor, int64_t size) {
    Sizes sizes = mixedSizes(b, loc, tensor);
    sizes.insert(sizes.begin(), b.getIndexAttr(size));
    return sizes;
  }

  Value reshape(Value tensor, ArrayRef<OpFoldResult> sizes) {
    auto [shape, dynamic] = decomposeMixedValues(llvm::to_vector(sizes));
    return ReshapeOp::create(b, loc, RankedTensorType::get(shape, getElementTypeOrSelf(tensor)), tensor, dynamic);
  }

  Value transpose(Value tensor, ArrayRef<int64_t> permutation) {
    SmallVector<int64_t> shape = llvm::map_to_vector(permutation, [&](int64_t dim) { return shapeOf(tensor)[dim]; });
    return TransposeOp::create(b, loc, RankedTensorType::get(shape, getElementTypeOrSelf(tensor)), tensor, permutation);
  }

  OpFoldResult scale(OpFoldResult size, int64_t factor) {
    if (auto number = getConstantIntValue(size))
      return b.getIndexAttr(*number * factor);
    Value by = arith::ConstantIndexOp::create(b, loc, factor);
    return arith::MulIOp::create(b, loc, ::cast<Value>(size), by).getResult();
  }

  /// Whether a piece along the dimension is contiguous, because nothing lies outside of it.
  static bool isOutermost(Value tensor, int64_t dim) {
    return llvm::all_of(shapeOf(tensor).take_front(dim), [](int64_t size) { return size == 1; });
  }

  /// The pieces of a dimension, one for each rank, as the first dimension of the result.
  Value splitAt(Value tensor, int64_t dim) {
    Sizes sizes = mixedSizes(b, loc, tensor);
    sizes[dim] = divideSize(b, loc, sizes[dim], ranks);
    if (isOutermost(tensor, dim)) {
      sizes.insert(sizes.begin(), b.getIndexAttr(ranks));
      return reshape(tensor, sizes);
    }
    sizes.insert(sizes.begin() + dim, b.getIndexAttr(ranks));
    SmallVector<int64_t> permutation = llvm::to_vector(llvm::seq<int64_t>(sizes.size()));
    std::rotate(permutation.begin(), permutation.begin() + dim, permutation.begin() + dim + 1);
    return transpose(reshape(tensor, sizes), permutation);
  }

  /// The pieces that the first dimension counts, joined along a dimension of the rest.
  Value gatherAt(Value pieces, int64_t dim) {
    Sizes sizes = mixedSizes(b, loc, pieces);
    sizes.erase(sizes.begin());
    sizes[dim] = scale(sizes[dim], ranks);
    SmallVector<int64_t> permutation = llvm::to_vector(llvm::seq<int64_t>(sizes.size() + 1));
    std::rotate(permutation.begin(), permutation.begin() + 1, permutation.begin() + dim + 1);
    bool isInOrder = llvm::all_of(shapeOf(pieces).slice(1, dim), [](int64_t size) { return size == 1; });
    return reshape(isInOrder ? pieces : transpose(pieces, permutation), sizes);
  }

  Value sliceAt(Value tensor, int64_t dim) {
    Sizes sizes = mixedSizes(b, loc, tensor);
    sizes[dim] = divideSize(b, loc, sizes[dim], ranks);
    auto [shape, dynamic] = decomposeMixedValues(sizes);
    Value zero = arith::ConstantIndexOp::create(b, loc, 0);
    SmallVector<Value> offsets(sizes.size(), zero);
    offsets[dim] = arith::MulIOp::create(b, loc, place(), getValueOrCreateConstantIndexOp(b, loc, sizes[dim]));
    SmallVector<int64_t> strides(sizes.size(), 1);
    return SliceOp::create(b, loc, RankedTensorType::get(shape, getElementTypeOrSelf(tensor)), tensor, offsets, dynamic,
                           strides);
  }

  /// This rank's place in its group.
  Value place() {
    Value result;
    for (auto [axis, extent] : llvm::zip_equal(axes, extents)) {
      Value index = rt::AxisIndexOp::create(b, loc, axis);
      if (result) {
        Value by = arith::ConstantIndexOp::create(b, loc, extent);
        index = arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, result, by), index);
      }
      result = index;
    }
    return result;
  }

  RewriterBase &b;
  SymbolTableCollection &symbols;
  Location loc = UnknownLoc::get(b.getContext());
  SmallVector<int64_t> axes, extents;
  int64_t ranks = 1, root = 0, offset = 0;
  bool periodic = false;
  rt::ReductionKind reduction = rt::ReductionKind::sum;
};

struct LowerCollectivesPass : tessera::impl::TesseraLowerCollectivesPassBase<LowerCollectivesPass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SymbolTableCollection symbols;
    SmallVector<Operation *> collectives;
    getOperation()->walk([&](Operation *op) {
      if (isa<shard::ShardDialect>(op->getDialect()) && !isa<shard::GridOp>(op))
        collectives.push_back(op);
    });
    for (Operation *op : collectives)
      if (failed(CollectiveLowering(rewriter, symbols).lower(op)))
        return signalPassFailure();
    for (auto grid : llvm::make_early_inc_range(getOperation().getOps<shard::GridOp>()))
      rewriter.eraseOp(grid);
  }
};

} // namespace
