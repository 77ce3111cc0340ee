// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAWIDENPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {

struct FoldWideningOfNarrowed : OpRewritePattern<CastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(CastOp widen, PatternRewriter &rewriter) const override {
    auto narrow = widen.getOperand().getDefiningOp<CastOp>();
    if (!narrow || !narrow.getImplicit() || !widen.getImplicit() ||
        narrow.getOperand().getType() != widen.getResult().getType())
      return failure();
    rewriter.replaceOp(widen, narrow.getOperand());
    return success();
  }
};

/// Moving elements does not round them: widen(move(x)) is move(widen(x)), where the cast may then meet a narrowing.
template <typename MoveOp> struct MoveWideningUp : OpRewritePattern<CastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(CastOp widen, PatternRewriter &rewriter) const override {
    auto move = widen.getOperand().getDefiningOp<MoveOp>();
    if (!move || !widen.getImplicit() || !move->hasOneUse())
      return failure();
    auto narrow = move.getOperand().template getDefiningOp<CastOp>();
    Type wide = widen.getResult().getType().getElementType();
    if (!narrow || !narrow.getImplicit() || narrow.getOperand().getType().getElementType() != wide)
      return failure();
    Operation *moved = rewriter.clone(*move);
    moved->setOperand(0, narrow.getOperand());
    moved->getResult(0).setType(widen.getResult().getType());
    rewriter.replaceOp(widen, moved);
    return success();
  }
};

struct WidenPass : tessera::impl::TesseraWidenPassBase<WidenPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldWideningOfNarrowed, MoveWideningUp<BroadcastToOp>, MoveWideningUp<ReshapeOp>,
                 MoveWideningUp<TransposeOp>, MoveWideningUp<SliceOp>>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
