// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/FuseElementwise/MovePieces.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAFUSEELEMENTWISEPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;

/// Whether computing an element again costs no more than reading it would: conversions, indices and a single cheap
/// operation.
static bool isCheap(linalg::LinalgOp op) {
  int arithmetic = 0;
  for (Operation &inner : op.getBlock()->without_terminator()) {
    if (isa<arith::ExtFOp, arith::ExtSIOp, arith::ExtUIOp, arith::ConstantOp, linalg::IndexOp, arith::IndexCastOp>(
            inner))
      continue;
    if (!isa<arith::ArithDialect>(inner.getDialect()) || isa<arith::DivFOp, arith::RemFOp, arith::DivSIOp>(inner))
      return false;
    ++arithmetic;
  }
  return arithmetic <= 1;
}

/// Whether a product can read what a transposition moves where it is: along one of its own dimensions, not along one
/// that only numbers its matrices.
static bool isTransposedMatrix(linalg::LinalgOp producer, linalg::LinalgOp product, OpOperand *operand) {
  if (producer.getNumDpsInputs() != 1 || !llvm::hasSingleElement(*producer.getBlock()) ||
      producer.getBlock()->getTerminator()->getOperand(0) != producer.getBlock()->getArgument(0))
    return false;
  AffineMap read = producer.getMatchingIndexingMap(producer.getDpsInputOperand(0));
  AffineMap write = producer.getIndexingMapMatchingResult(producer->getResult(0));
  FailureOr<linalg::ContractionDimensions> dims = linalg::inferContractionDims(product);
  if (!read.isPermutation() || !write.isPermutation() || failed(dims))
    return false;
  AffineMap moved = read.compose(inversePermutation(write)).compose(product.getMatchingIndexingMap(operand));
  auto innermost = dyn_cast<AffineDimExpr>(moved.getResults().back());
  return innermost && !llvm::is_contained(dims->batch, innermost.getPosition());
}

/// Whether the consumer's loops visit each element once. A loop of one iteration need not be in the map.
static bool readsOnce(linalg::LinalgOp consumer, OpOperand *operand) {
  AffineMap map = consumer.getMatchingIndexingMap(operand);
  SmallVector<int64_t> extents = consumer.getStaticLoopRanges();
  for (unsigned loop = 0; loop < map.getNumDims(); ++loop)
    if (!map.isFunctionOfDim(loop) && extents[loop] != 1)
      return false;
  return map.isProjectedPermutation(/*allowZeroInResults=*/true);
}

static bool shouldFuse(OpOperand *operand) {
  auto producer = operand->get().getDefiningOp<linalg::LinalgOp>();
  auto consumer = dyn_cast<linalg::LinalgOp>(operand->getOwner());
  if (!producer || !consumer)
    return false;
  // A matrix product reads its operands many times.
  if (linalg::isaContractionOpInterface(consumer))
    return isTransposedMatrix(producer, consumer, operand);
  if (isCheap(producer))
    return true;
  bool onlyReader = llvm::all_of(producer->getUsers(), [&](Operation *user) { return user == consumer; });
  return readsOnce(consumer, operand) && onlyReader;
}

namespace {
struct FuseElementwisePass : tessera::impl::TesseraFuseElementwisePassBase<FuseElementwisePass> {
  void runOnOperation() override {
    // An operation that fuses with its readers stays with them; only what is left then goes to the pieces it reads.
    if (failed(fuse(/*movePieces=*/false)) || failed(fuse(/*movePieces=*/true)))
      signalPassFailure();
  }

  LogicalResult fuse(bool movePieces) {
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    if (movePieces)
      tessera::populateMovePiecesPatterns(patterns);
    linalg::populateElementwiseOpsFusionPatterns(patterns, shouldFuse);
    linalg::populateEraseUnusedOperandsAndResultsPatterns(patterns);
    linalg::GenericOp::getCanonicalizationPatterns(patterns, context);
    affine::AffineApplyOp::getCanonicalizationPatterns(patterns, context);
    return applyPatternsGreedily(getOperation(), std::move(patterns),
                                 GreedyRewriteConfig().setUseTopDownTraversal(true));
  }
};
} // namespace
