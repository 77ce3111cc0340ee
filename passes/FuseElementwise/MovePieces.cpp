// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/FuseElementwise/MovePieces.h"

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Utils/Insertions.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Affine/ViewLikeInterfaceUtils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

using Insertions = SmallVector<tensor::InsertSliceOp>;
using Sizes = SmallVector<OpFoldResult>;

/// The pieces of a tensor that is nothing else, and is read once.
static Insertions findPieces(Value tensor) {
  auto last = tensor.getDefiningOp<tensor::InsertSliceOp>();
  if (!last || !last->hasOneUse())
    return {};
  Insertions pieces = findInsertions(last);
  bool isWhole = pieces.front().getDest().getDefiningOp<tensor::EmptyOp>();
  return isWhole && pieces.size() > 1 ? pieces : Insertions();
}

static bool isElementwise(linalg::GenericOp op) {
  return op.hasPureTensorSemantics() && op->getNumResults() == 1 && op.getNumParallelLoops() == op.getNumLoops() &&
         op.getIndexingMapMatchingResult(op->getResult(0)).isPermutation() &&
         op.getRegionOutputArgs().front().use_empty();
}

namespace {

/// A piece that is made of pieces itself: those go to where the whole one went.
struct InsertPieces : OpRewritePattern<tensor::InsertSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::InsertSliceOp outer, PatternRewriter &b) const override {
    Insertions pieces = findPieces(outer.getSource());
    if (pieces.empty())
      return failure();
    Value result = outer.getDest();
    for (tensor::InsertSliceOp piece : pieces) {
      Sizes offsets, sizes, strides;
      if (failed(affine::mergeOffsetsSizesAndStrides(b, outer.getLoc(), outer, piece, outer.getDroppedDims(), offsets,
                                                     sizes, strides)))
        return failure();
      result = tensor::InsertSliceOp::create(b, piece.getLoc(), piece.getSource(), result, offsets, sizes, strides);
    }
    b.replaceOp(outer, result);
    return success();
  }
};

/// A slice that is one of the pieces is that piece.
struct ReadPiece : OpRewritePattern<tensor::ExtractSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ExtractSliceOp slice, PatternRewriter &b) const override {
    auto piece = slice.getSource().getDefiningOp<tensor::InsertSliceOp>();
    while (piece && !slice.isSameAs(piece, isEqualConstantIntOrValue)) {
      if (!areDisjoint(slice, piece))
        return failure();
      piece = piece.getDest().getDefiningOp<tensor::InsertSliceOp>();
    }
    if (!piece || piece.getSourceType() != slice.getType())
      return failure();
    b.replaceOp(slice, piece.getSource());
    return success();
  }
};

/// What is computed from the elements of a concatenation that nothing else reads is computed from those of each piece,
/// and then concatenated.
class SplitReader : public OpRewritePattern<linalg::GenericOp> {
public:
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &b) const override {
    if (!isElementwise(op))
      return failure();
    for (OpOperand *operand : op.getDpsInputOperands()) {
      Insertions pieces = findPieces(operand->get());
      if (!pieces.empty() && canSplit(op, *operand, pieces)) {
        split(b, op, *operand, pieces);
        return success();
      }
    }
    return failure();
  }

private:
  /// The loops that walk dimensions along which a piece is not whole.
  static llvm::SmallBitVector findDividedLoops(linalg::GenericOp op, OpOperand &operand,
                                               ArrayRef<tensor::InsertSliceOp> pieces) {
    llvm::SmallBitVector divided(op.getNumLoops());
    for (tensor::InsertSliceOp piece : pieces)
      for (auto [dim, size] : llvm::enumerate(piece.getMixedSizes()))
        if (!isEqualConstantIntOrValue(size, findSize(operand.get(), dim)))
          divided.set(op.getMatchingIndexingMap(&operand).getDimPosition(dim));
    return divided;
  }

  static bool canSplit(linalg::GenericOp op, OpOperand &operand, ArrayRef<tensor::InsertSliceOp> pieces) {
    if (!op.getMatchingIndexingMap(&operand).isProjectedPermutation() ||
        !llvm::all_of(
            pieces, [](tensor::InsertSliceOp piece) { return piece.hasUnitStride() && piece.getDroppedDims().none(); }))
      return false;
    llvm::SmallBitVector divided = findDividedLoops(op, operand, pieces);
    return llvm::all_of(op.getDpsInputOperands(), [&](OpOperand *other) {
      bool isSliced = false;
      for (AffineExpr expr : op.getMatchingIndexingMap(other).getResults())
        for (unsigned loop : divided.set_bits())
          if (expr.isFunctionOfDim(loop)) {
            isSliced = true;
            if (!isa<AffineDimExpr>(expr))
              return false;
          }
      // What is computed for this operation alone could be computed beside it, but not beside each of its slices.
      auto producer = other->get().getDefiningOp<linalg::LinalgOp>();
      return !isSliced || !producer || !producer->hasOneUse();
    });
  }

  static void split(PatternRewriter &b, linalg::GenericOp op, OpOperand &operand,
                    ArrayRef<tensor::InsertSliceOp> pieces) {
    Location loc = op.getLoc();
    auto type = cast<RankedTensorType>(op.getResultTypes().front());
    AffineMap write = op.getIndexingMapMatchingResult(op->getResult(0));
    llvm::SmallBitVector divided = findDividedLoops(op, operand, pieces);
    Sizes sizes(op.getNumLoops()), ones(type.getRank(), b.getIndexAttr(1));
    for (unsigned dim = 0; dim < write.getNumResults(); ++dim)
      sizes[write.getDimPosition(dim)] = findSize(op->getResult(0), dim);
    auto applyTo = [](AffineMap map, ArrayRef<OpFoldResult> loops) {
      return llvm::map_to_vector(map.getResults(),
                                 [&](AffineExpr e) { return loops[cast<AffineDimExpr>(e).getPosition()]; });
    };
    Value result = op.getDpsInits().front();
    for (tensor::InsertSliceOp piece : pieces) {
      Sizes offsets(op.getNumLoops(), b.getIndexAttr(0));
      AffineMap read = op.getMatchingIndexingMap(&operand);
      for (unsigned dim = 0; dim < read.getNumResults(); ++dim) {
        offsets[read.getDimPosition(dim)] = piece.getMixedOffsets()[dim];
        sizes[read.getDimPosition(dim)] = piece.getMixedSizes()[dim];
      }
      SmallVector<Value> operands;
      for (OpOperand *other : op.getDpsInputOperands())
        operands.push_back(other == &operand ? piece.getSource() : slice(b, op, *other, divided, offsets, sizes));
      operands.push_back(tensor::EmptyOp::create(b, loc, applyTo(write, sizes), type.getElementType()));
      auto part = cast<linalg::GenericOp>(clone(b, op, operands.back().getType(), operands));
      offsetIndices(b, part, divided, offsets);
      result = tensor::InsertSliceOp::create(b, loc, part->getResult(0), result, applyTo(write, offsets),
                                             applyTo(write, sizes), ones);
    }
    b.replaceOp(op, result);
  }

  /// Counts from where the part begins. Unlike what upstream's function of this name makes, a sum can be one of
  /// vectors.
  static void offsetIndices(PatternRewriter &b, linalg::GenericOp part, const llvm::SmallBitVector &divided,
                            ArrayRef<OpFoldResult> offsets) {
    OpBuilder::InsertionGuard guard(b);
    for (auto index : llvm::to_vector(part.getBlock()->getOps<linalg::IndexOp>())) {
      if (!divided.test(index.getDim()))
        continue;
      b.setInsertionPointAfter(index);
      Value begin = getValueOrCreateConstantIndexOp(b, index.getLoc(), offsets[index.getDim()]);
      Value position = arith::AddIOp::create(b, index.getLoc(), index, begin);
      b.replaceAllUsesExcept(index, position, position.getDefiningOp());
    }
  }

  /// The part of an operand that belongs to a part of the loops.
  static Value slice(PatternRewriter &b, linalg::GenericOp op, OpOperand &operand, const llvm::SmallBitVector &divided,
                     ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes) {
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type)
      return operand.get();
    Sizes from(type.getRank(), b.getIndexAttr(0)), count, ones(type.getRank(), b.getIndexAttr(1));
    bool isWhole = true;
    for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults())) {
      count.push_back(findSize(operand.get(), dim));
      auto loop = dyn_cast<AffineDimExpr>(expr);
      if (!loop || !divided.test(loop.getPosition()))
        continue;
      from[dim] = offsets[loop.getPosition()];
      count[dim] = sizes[loop.getPosition()];
      isWhole = false;
    }
    return isWhole ? operand.get()
                   : tensor::ExtractSliceOp::create(b, op.getLoc(), operand.get(), from, count, ones).getResult();
  }
};

/// What is computed from a reshaped concatenation alone is computed before it is reshaped.
struct ReadBeforeReshape : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op, PatternRewriter &b) const override {
    if (!isElementwise(op) || op.getNumDpsInputs() != 1 || op.hasIndexSemantics() ||
        !llvm::all_of(op.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }))
      return failure();
    auto reshape = op.getDpsInputs().front().getDefiningOp<ReshapeOp>();
    if (!reshape || !reshape->hasOneUse() || findPieces(reshape.getOperand()).empty())
      return failure();
    FailureOr<SmallVector<Value>> sizes = findDynamicSizes(reshape.getOperand());
    if (failed(sizes))
      return failure();
    Location loc = op.getLoc();
    auto type = cast<RankedTensorType>(op.getResultTypes().front());
    auto before = cast<RankedTensorType>(reshape.getOperand().getType()).clone(type.getElementType());
    Value empty = tensor::EmptyOp::create(b, loc, before, *sizes);
    SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(before.getRank()));
    SmallVector<utils::IteratorType> iterators(before.getRank(), utils::IteratorType::parallel);
    auto moved = linalg::GenericOp::create(b, loc, before, reshape.getOperand(), empty, maps, iterators);
    b.inlineRegionBefore(op.getRegion(), moved.getRegion(), moved.getRegion().begin());
    b.replaceOpWithNewOp<ReshapeOp>(op, type, moved.getResult(0), reshape.getSizes());
    return success();
  }
};

} // namespace

void tessera::populateMovePiecesPatterns(RewritePatternSet &patterns) {
  patterns.add<InsertPieces, ReadPiece, SplitReader, ReadBeforeReshape>(patterns.getContext());
}
