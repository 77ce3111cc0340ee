// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Copies.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

void tessera::replaceCopies(RewriterBase &rewriter, Operation *root) {
  root->walk([&](memref::CopyOp copy) {
    rewriter.setInsertionPoint(copy);
    int64_t rank = cast<MemRefType>(copy.getSource().getType()).getRank();
    SmallVector<AffineMap> maps(2, rewriter.getMultiDimIdentityMap(rank));
    SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
    linalg::GenericOp::create(
        rewriter, copy.getLoc(), copy.getSource(), copy.getTarget(), maps, iterators,
        [](OpBuilder &b, Location loc, ValueRange args) { linalg::YieldOp::create(b, loc, args[0]); });
    rewriter.eraseOp(copy);
  });
}
