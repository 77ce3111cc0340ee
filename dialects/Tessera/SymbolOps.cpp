// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

using namespace mlir;
using namespace tessera;

LogicalResult SymbolOp::verify() {
  if (getMin() && *getMin() < 0)
    return emitOpError("(C1) expected min >= 0; got ") << *getMin();
  if (getMax() && *getMax() < getMin().value_or(0))
    return emitOpError("(C1) expected max >= min; got max ") << *getMax() << " and min " << getMin().value_or(0);
  if (getMultipleOf() && *getMultipleOf() < 1)
    return emitOpError("(C2) expected multiple_of >= 1; got ") << *getMultipleOf();
  return success();
}

LogicalResult BindShapeOp::verify() {
  int64_t expected = cast<RankedTensorType>(getSource().getType()).getNumDynamicDims();
  if (expected != static_cast<int64_t>(getSizes().size()))
    return emitOpError("(C1) expected ") << expected << " sizes, one for each dynamic dimension; got "
                                         << getSizes().size();
  return success();
}

LogicalResult FromIndexOp::reifyResultShapes(OpBuilder &, ReifiedRankedShapedTypeDims &shapes) {
  shapes.emplace_back();
  return success();
}
