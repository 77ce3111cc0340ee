// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Access.h"

#include "mlir/Dialect/Linalg/Utils/Utils.h"

using namespace mlir;
using namespace tessera;

Access tessera::classifyAccess(linalg::LinalgOp op, OpOperand &operand, int64_t loop) {
  if (!isa<ShapedType>(operand.get().getType()))
    return Access::Uniform;
  auto buffer = dyn_cast<MemRefType>(operand.get().getType());
  bool hasUnitStride = !buffer || buffer.isLastDimUnitStride();
  AffineMap map = op.getMatchingIndexingMap(&operand);
  AffineExpr along = getAffineDimExpr(loop, map.getContext());
  Access access = Access::Uniform;
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    if (!expr.isFunctionOfDim(loop))
      continue;
    bool isLast = position + 1 == map.getNumResults();
    if (access != Access::Uniform || !isLast || expr != along || !hasUnitStride)
      return Access::Strided;
    access = Access::Adjacent;
  }
  return access;
}

int64_t tessera::findAdjacentLoop(linalg::LinalgOp op) {
  AffineMap widest;
  for (AffineMap map : op.getIndexingMapsArray())
    if (!widest || map.getNumResults() >= widest.getNumResults())
      widest = map;
  if (widest.getNumResults() > 0)
    if (auto dim = dyn_cast<AffineDimExpr>(widest.getResults().back()))
      return dim.getPosition();
  return -1;
}

int64_t tessera::findTransposedLoop(linalg::LinalgOp op, int64_t vectorLoop) {
  for (OpOperand *input : op.getDpsInputOperands()) {
    if (classifyAccess(op, *input, vectorLoop) != Access::Strided)
      continue;
    for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray()))
      if (linalg::isParallelIterator(iterator) && classifyAccess(op, *input, loop) == Access::Adjacent)
        return loop;
  }
  return -1;
}
