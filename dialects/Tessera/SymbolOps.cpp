// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

using namespace mlir;
using namespace tessera;

LogicalResult SymbolOp::verify() {
  // The attributes are signed; their accessors are not.
  int64_t min = getMin().value_or(0), max = getMax().value_or(min), multipleOf = getMultipleOf().value_or(1);
  if (min < 0)
    return emitOpError("(C1) expected min >= 0; got ") << min;
  if (max < min)
    return emitOpError("(C1) expected max >= min; got max ") << max << " and min " << min;
  if (multipleOf < 1)
    return emitOpError("(C2) expected multiple_of >= 1; got ") << multipleOf;
  return success();
}

void SymbolOp::populateBoundsForIndexValue(Value value, ValueBoundsConstraintSet &constraints) {
  constraints.bound(value) >= getMin().value_or(0);
  if (getMax())
    constraints.bound(value) <= *getMax();
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
