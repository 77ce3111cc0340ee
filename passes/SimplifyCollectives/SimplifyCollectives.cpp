// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Shard/IR/ShardDialect.h"
#include "mlir/Dialect/Shard/IR/ShardOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/LoopInvariantCodeMotionUtils.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERASIMPLIFYCOLLECTIVESPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;
using shard::AllGatherOp, shard::AllReduceOp, shard::AllSliceOp, shard::ReduceScatterOp;

using Axes = ArrayRef<shard::GridAxis>;

static bool isSubset(Axes inner, Axes outer) {
  return llvm::all_of(inner, [&](shard::GridAxis axis) { return llvm::is_contained(outer, axis); });
}

static bool isSameSet(Axes one, Axes other) { return isSubset(one, other) && isSubset(other, one); }

/// Whether the ranks along these axes hold the same tensor, as its operation says.
static bool isUniform(Value tensor, Axes axes) {
  Operation *op = tensor.getDefiningOp();
  if (auto reduce = dyn_cast_or_null<AllReduceOp>(op))
    return isSubset(axes, reduce.getGridAxes());
  if (auto gather = dyn_cast_or_null<AllGatherOp>(op))
    return isSubset(axes, gather.getGridAxes());
  if (auto broadcast = dyn_cast_or_null<shard::BroadcastOp>(op))
    return isSubset(axes, broadcast.getGridAxes());
  return op && op->hasTrait<OpTrait::ConstantLike>();
}

static bool keepsType(AllReduceOp reduce) { return reduce.getInput().getType() == reduce.getResult().getType(); }

/// A reduction of the same kind by the same ranks; the order of axes doesn't matter.
static bool isSameReduction(AllReduceOp one, AllReduceOp other) {
  return one.getGridAttr() == other.getGridAttr() && one.getReduction() == other.getReduction() &&
         isSameSet(one.getGridAxes(), other.getGridAxes()) && keepsType(one) && keepsType(other);
}

namespace {

/// A part of what was gathered from parts.
struct SliceOfGather : OpRewritePattern<AllSliceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AllSliceOp slice, PatternRewriter &rewriter) const override {
    auto gather = slice.getInput().getDefiningOp<AllGatherOp>();
    if (!gather || gather.getGridAxes() != slice.getGridAxes() || gather.getGatherAxis() != slice.getSliceAxis())
      return failure();
    rewriter.replaceOp(slice, gather.getInput());
    return success();
  }
};

/// A part of what was reduced for all.
struct SliceOfReduce : OpRewritePattern<AllSliceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AllSliceOp slice, PatternRewriter &rewriter) const override {
    auto reduce = slice.getInput().getDefiningOp<AllReduceOp>();
    if (!reduce || !reduce->hasOneUse() || !isSameSet(reduce.getGridAxes(), slice.getGridAxes()))
      return failure();
    rewriter.replaceOpWithNewOp<ReduceScatterOp>(slice, slice.getType(), slice.getGridAttr(), slice.getGridAxesAttr(),
                                                 reduce.getInput(), reduce.getReductionAttr(),
                                                 slice.getSliceAxisAttr());
    return success();
  }
};

/// All parts of what was scattered.
struct GatherOfScatter : OpRewritePattern<AllGatherOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AllGatherOp gather, PatternRewriter &rewriter) const override {
    auto scatter = gather.getInput().getDefiningOp<ReduceScatterOp>();
    if (!scatter || !scatter->hasOneUse() || scatter.getGridAxes() != gather.getGridAxes() ||
        scatter.getScatterAxis() != gather.getGatherAxis())
      return failure();
    rewriter.replaceOpWithNewOp<AllReduceOp>(gather, gather.getType(), gather.getGridAttr(), gather.getGridAxesAttr(),
                                             scatter.getInput(), scatter.getReductionAttr());
    return success();
  }
};

/// What all ranks of the group have in common already.
struct ReduceOfUniform : OpRewritePattern<AllReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AllReduceOp reduce, PatternRewriter &rewriter) const override {
    auto type = dyn_cast<RankedTensorType>(reduce.getResult().getType());
    if (!type || !keepsType(reduce) || !isUniform(reduce.getInput(), reduce.getGridAxes()))
      return failure();
    switch (reduce.getReduction()) {
    case shard::ReductionKind::Max:
    case shard::ReductionKind::Min:
      rewriter.replaceOp(reduce, reduce.getInput());
      return success();
    case shard::ReductionKind::Sum: {
      auto grid = SymbolTable::lookupNearestSymbolFrom<shard::GridOp>(reduce, reduce.getGridAttr());
      int64_t ranks = shard::collectiveProcessGroupSize(reduce.getGridAxes(), grid);
      Type element = type.getElementType();
      TypedAttr number = isa<FloatType>(element) ? TypedAttr(rewriter.getFloatAttr(element, ranks))
                                                 : TypedAttr(rewriter.getIntegerAttr(element, ranks));
      auto scalar = DenseElementsAttr::get(RankedTensorType::get({}, element), number);
      Value factor = ConstantOp::create(rewriter, reduce.getLoc(), scalar.getType(), scalar);
      rewriter.replaceOpWithNewOp<MulOp>(reduce, type, reduce.getInput(), factor);
      return success();
    }
    default:
      return failure();
    }
  }
};

/// One axis after another.
struct ReduceOfReduce : OpRewritePattern<AllReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AllReduceOp outer, PatternRewriter &rewriter) const override {
    auto inner = outer.getInput().getDefiningOp<AllReduceOp>();
    if (!inner || !inner->hasOneUse() || inner.getReduction() != outer.getReduction() || !keepsType(inner) ||
        llvm::any_of(outer.getGridAxes(),
                     [&](shard::GridAxis axis) { return llvm::is_contained(inner.getGridAxes(), axis); }))
      return failure();
    SmallVector<shard::GridAxis> axes(inner.getGridAxes());
    llvm::append_range(axes, outer.getGridAxes());
    llvm::sort(axes);
    rewriter.modifyOpInPlace(outer, [&] {
      outer.setGridAxes(axes);
      outer.getInputMutable().assign(inner.getInput());
    });
    return success();
  }
};

/// op(reduce(a), reduce(b)) is reduce(op(a, b)). Upstream's pattern for this takes the result's type from an operand,
/// which broadcasting forbids.
template <typename OpTy, shard::ReductionKind kind> struct CombineOfReduces : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    auto lhs = op.getLhs().template getDefiningOp<AllReduceOp>();
    auto rhs = op.getRhs().template getDefiningOp<AllReduceOp>();
    if (!lhs || !rhs || lhs == rhs || !lhs->hasOneUse() || !rhs->hasOneUse() || lhs.getReduction() != kind ||
        !isSameReduction(lhs, rhs) || lhs.getResult().getType() != rhs.getResult().getType())
      return failure();
    Value combined = OpTy::create(rewriter, op.getLoc(), op.getType(), lhs.getInput(), rhs.getInput());
    rewriter.replaceOpWithNewOp<AllReduceOp>(op, op.getType(), lhs.getGridAttr(), lhs.getGridAxesAttr(), combined,
                                             lhs.getReductionAttr());
    return success();
  }
};

/// Joins all_reduces of a block that are small, where latency is what they cost.
class Joining {
public:
  Joining(Block &block, int64_t smallBytes) : block(block), smallBytes(smallBytes) {}

  void run() {
    SmallVector<AllReduceOp> open;
    for (auto reduce : llvm::make_early_inc_range(block.getOps<AllReduceOp>())) {
      if (!isSmall(reduce))
        continue;
      SmallVector<AllReduceOp> joined;
      for (AllReduceOp earlier : open)
        if (isSameReduction(earlier, reduce) && elementOf(earlier) == elementOf(reduce) && isUsedAfter(earlier, reduce))
          joined.push_back(earlier);
      joined.push_back(reduce);
      if (joined.size() > 1 && bytesOf(joined) <= smallBytes) {
        llvm::erase_if(open, [&](AllReduceOp one) { return llvm::is_contained(joined, one); });
        join(joined);
      } else {
        open.push_back(reduce);
      }
    }
  }

private:
  static RankedTensorType typeOf(AllReduceOp reduce) { return cast<RankedTensorType>(reduce.getResult().getType()); }
  static Type elementOf(AllReduceOp reduce) { return typeOf(reduce).getElementType(); }

  static int64_t bytesOf(ArrayRef<AllReduceOp> reduces) {
    int64_t bytes = 0;
    for (AllReduceOp reduce : reduces)
      bytes += typeOf(reduce).getNumElements() * llvm::divideCeil(elementOf(reduce).getIntOrFloatBitWidth(), 8);
    return bytes;
  }

  bool isSmall(AllReduceOp reduce) const {
    auto type = dyn_cast<RankedTensorType>(reduce.getResult().getType());
    return type && type.hasStaticShape() && keepsType(reduce) && bytesOf(reduce) <= smallBytes;
  }

  bool isUsedAfter(AllReduceOp earlier, AllReduceOp later) {
    return llvm::all_of(earlier->getUsers(), [&](Operation *user) {
      Operation *ancestor = block.findAncestorOpInBlock(*user);
      return ancestor && later->isBeforeInBlock(ancestor);
    });
  }

  /// One all_reduce, where the last of them is, of all their elements in a row.
  void join(ArrayRef<AllReduceOp> reduces) {
    AllReduceOp last = reduces.back();
    OpBuilder b(last);
    SmallVector<Location> locations;
    for (AllReduceOp reduce : reduces)
      locations.push_back(reduce.getLoc());
    Location loc = b.getFusedLoc(locations);
    Type element = elementOf(last);
    SmallVector<Value> rows;
    int64_t total = 0;
    for (AllReduceOp reduce : reduces) {
      int64_t count = typeOf(reduce).getNumElements();
      auto row = RankedTensorType::get(count, element);
      rows.push_back(ReshapeOp::create(b, reduce.getLoc(), row, reduce.getInput(), ValueRange()));
      total += count;
    }
    auto type = RankedTensorType::get(total, element);
    Value all = ConcatOp::create(b, loc, type, rows, /*dim=*/0);
    Value reduced =
        AllReduceOp::create(b, loc, type, last.getGridAttr(), last.getGridAxesAttr(), all, last.getReductionAttr());
    int64_t start = 0;
    for (auto [index, row] : llvm::enumerate(rows)) {
      AllReduceOp reduce = reduces[index];
      Value offset = arith::ConstantIndexOp::create(b, loc, start);
      Value piece = SliceOp::create(b, loc, row.getType(), reduced, offset, ValueRange(), ArrayRef<int64_t>{1});
      Value result = ReshapeOp::create(b, loc, typeOf(reduce), piece, ValueRange());
      start += typeOf(reduce).getNumElements();
      reduce.getResult().replaceAllUsesWith(result);
      reduce.erase();
    }
  }

  Block &block;
  const int64_t smallBytes;
};

struct SimplifyCollectivesPass : tessera::impl::TesseraSimplifyCollectivesPassBase<SimplifyCollectivesPass> {
  using TesseraSimplifyCollectivesPassBase::TesseraSimplifyCollectivesPassBase;

  void runOnOperation() override {
    auto found = getOperation().walk([](Operation *op) {
      return isa_and_present<shard::ShardDialect>(op->getDialect()) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (!found.wasInterrupted())
      return;
    RewritePatternSet patterns(&getContext());
    patterns.add<SliceOfGather, SliceOfReduce, GatherOfScatter, ReduceOfUniform, ReduceOfReduce,
                 CombineOfReduces<AddOp, shard::ReductionKind::Sum>, CombineOfReduces<SubOp, shard::ReductionKind::Sum>,
                 CombineOfReduces<MaximumOp, shard::ReductionKind::Max>,
                 CombineOfReduces<MinimumOp, shard::ReductionKind::Min>>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    getOperation().walk([&](Operation *loop) {
      if (isa<WhileLoopOp, ScanOp>(loop))
        hoist(loop);
    });
    getOperation().walk([&](Block *block) { Joining(*block, smallBytes).run(); });
  }

  /// Moves collectives, and what they are computed from, out of a loop that does not change them. All ranks run a loop
  /// equally often, be it never.
  static void hoist(Operation *loop) {
    SetVector<Operation *> needed;
    BackwardSliceOptions options;
    options.inclusive = true;
    options.filter = [&](Operation *op) { return loop->isProperAncestor(op); };
    loop->walk([&](Operation *op) {
      if (isa_and_present<shard::ShardDialect>(op->getDialect()))
        (void)getBackwardSlice(op, &needed, options);
    });
    for (Region &region : loop->getRegions())
      moveLoopInvariantCode(
          &region, [&](Value value, Region *) { return !region.isAncestor(value.getParentRegion()); },
          [&](Operation *op, Region *) { return needed.contains(op) && isMemoryEffectFree(op) && isSpeculatable(op); },
          [&](Operation *op, Region *) { op->moveBefore(loop); });
  }
};

} // namespace
