// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

LogicalResult MatmulOp::verify() {
  RankedTensorType lhs = getLhs().getType(), rhs = getRhs().getType(), result = getResult().getType();
  if (lhs.getRank() < 2 || rhs.getRank() < 2 || lhs.getElementType() != rhs.getElementType())
    return emitOpError("(C1) expected operands of rank 2 or more and one element type; got ") << lhs << " and " << rhs;
  int64_t left = lhs.getShape().back(), right = rhs.getShape().drop_back().back();
  if (!ShapedType::isDynamic(left) && !ShapedType::isDynamic(right) && left != right)
    return emitOpError("(C2) expected the inner dimensions to agree; got ") << left << " and " << right;
  FailureOr<SmallVector<int64_t>> expected =
      broadcastShapes({lhs.getShape().drop_back(2), rhs.getShape().drop_back(2)});
  if (failed(expected))
    return emitOpError("(C3) expected batch dimensions that broadcast; got ") << lhs << " and " << rhs;
  expected->push_back(lhs.getShape().drop_back().back());
  expected->push_back(rhs.getShape().back());
  if (result.getShape() != ArrayRef<int64_t>(*expected))
    return emitOpError("(C3) expected the result to be ")
           << RankedTensorType::get(*expected, result.getElementType()) << "; got " << result;
  Type element = lhs.getElementType();
  Type accumulator = isa<IntegerType>(element) ? Type(IntegerType::get(getContext(), element.isInteger(64) ? 64 : 32))
                     : element.isF64()         ? element
                                               : Type(Float32Type::get(getContext()));
  if (result.getElementType() != element && result.getElementType() != accumulator)
    return emitOpError("(C4) expected the result's element type to be ")
           << element << " or " << accumulator << "; got " << result.getElementType();
  return success();
}

LogicalResult MatmulOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  RankedTensorType result = getResult().getType();
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim = 0; dim < result.getRank(); ++dim) {
    if (!result.isDynamicDim(dim)) {
      sizes.push_back(builder.getIndexAttr(result.getDimSize(dim)));
      continue;
    }
    bool isColumn = dim == result.getRank() - 1;
    for (Value operand : getOperands()) {
      if (isColumn && operand == getLhs() && getLhs() != getRhs())
        continue;
      auto type = cast<RankedTensorType>(operand.getType());
      int64_t aligned = dim - (result.getRank() - type.getRank());
      if (aligned >= 0 && type.isDynamicDim(aligned)) {
        sizes.push_back(tensor::getMixedSize(builder, getLoc(), operand, aligned));
        break;
      }
    }
  }
  shapes.push_back(std::move(sizes));
  return success();
}
