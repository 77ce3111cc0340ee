// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

Type tessera::accumulatorType(Type lhs, Type rhs) {
  MLIRContext *context = lhs.getContext();
  if (isa<IntegerType>(lhs) && isa<IntegerType>(rhs))
    return IntegerType::get(context, lhs.isInteger(64) ? 64 : 32);
  return lhs.isF64() ? lhs : Float32Type::get(context);
}

LogicalResult MatmulOp::verify() {
  RankedTensorType lhs = getLhs().getType(), rhs = getRhs().getType(), result = getResult().getType();
  Type element = lhs.getElementType(), other = rhs.getElementType();
  bool isMixed = element != other;
  bool mayMix = (isa<FloatType>(element) || isa<FloatType>(other)) && element.getIntOrFloatBitWidth() < 64 &&
                other.getIntOrFloatBitWidth() < 64;
  if (lhs.getRank() < 2 || rhs.getRank() < 2 || (isMixed && !mayMix))
    return emitOpError("(C1) expected operands of rank 2 or more and of types that multiply; got ")
           << lhs << " and " << rhs;
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
  Type accumulator = accumulatorType(element, other);
  if (result.getElementType() != accumulator && (isMixed || result.getElementType() != element))
    return emitOpError("(C4) expected the result's element type to be ")
           << (isMixed ? accumulator : element) << " or " << accumulator << "; got " << result.getElementType();
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
