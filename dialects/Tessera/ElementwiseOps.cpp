// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace tessera;

FailureOr<SmallVector<int64_t>> tessera::broadcastShapes(ArrayRef<ArrayRef<int64_t>> shapes) {
  size_t rank = 0;
  for (ArrayRef<int64_t> shape : shapes)
    rank = std::max(rank, shape.size());
  SmallVector<int64_t> result(rank, 1);
  for (ArrayRef<int64_t> shape : shapes) {
    for (auto [fromRight, size] : llvm::enumerate(llvm::reverse(shape))) {
      int64_t &merged = result[rank - 1 - fromRight];
      if (size == 1 || size == merged)
        continue;
      if (merged == 1 || ShapedType::isDynamic(merged))
        merged = size;
      else if (!ShapedType::isDynamic(size))
        return failure();
    }
  }
  return result;
}

LogicalResult tessera::verifySameElements(Operation *op, ValueRange tensors) {
  if (llvm::all_equal(llvm::map_range(tensors, [](Value tensor) { return getElementTypeOrSelf(tensor); })))
    return success();
  return op->emitOpError("(C1) expected one element type; got ") << tensors.getTypes();
}

LogicalResult tessera::verifyBroadcast(Operation *op) {
  SmallVector<ArrayRef<int64_t>> shapes;
  for (Type type : op->getOperandTypes())
    shapes.push_back(cast<RankedTensorType>(type).getShape());
  FailureOr<SmallVector<int64_t>> expected = broadcastShapes(shapes);
  if (failed(expected))
    return op->emitOpError("(C2) expected operands whose shapes broadcast; got ") << op->getOperandTypes();
  auto result = cast<RankedTensorType>(op->getResult(0).getType());
  if (result.getShape() != ArrayRef<int64_t>(*expected))
    return op->emitOpError("(C2) expected the result to be ")
           << RankedTensorType::get(*expected, result.getElementType()) << "; got " << result;
  return success();
}

LogicalResult tessera::reifyBroadcast(OpBuilder &builder, Operation *op, ReifiedRankedShapedTypeDims &shapes) {
  auto result = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim = 0; dim < result.getRank(); ++dim) {
    if (!result.isDynamicDim(dim)) {
      sizes.push_back(builder.getIndexAttr(result.getDimSize(dim)));
      continue;
    }
    // A dynamic result dimension has a dynamic operand dimension behind it, and all of those are equal.
    for (Value operand : op->getOperands()) {
      auto type = cast<RankedTensorType>(operand.getType());
      int64_t aligned = dim - (result.getRank() - type.getRank());
      if (aligned >= 0 && type.isDynamicDim(aligned)) {
        sizes.push_back(tensor::getMixedSize(builder, op->getLoc(), operand, aligned));
        break;
      }
    }
  }
  shapes.push_back(std::move(sizes));
  return success();
}

// The unary operations and the cast keep their operand's shape.
#define TESSERA_REIFY_SAME_SHAPE(OP)                                                                                   \
  LogicalResult OP::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {                       \
    return reifyBroadcast(builder, getOperation(), shapes);                                                            \
  }
TESSERA_REIFY_SAME_SHAPE(NegOp)
TESSERA_REIFY_SAME_SHAPE(AbsOp)
TESSERA_REIFY_SAME_SHAPE(SignOp)
TESSERA_REIFY_SAME_SHAPE(NotOp)
TESSERA_REIFY_SAME_SHAPE(ExpOp)
TESSERA_REIFY_SAME_SHAPE(Exp2Op)
TESSERA_REIFY_SAME_SHAPE(Expm1Op)
TESSERA_REIFY_SAME_SHAPE(LogOp)
TESSERA_REIFY_SAME_SHAPE(Log1pOp)
TESSERA_REIFY_SAME_SHAPE(Log2Op)
TESSERA_REIFY_SAME_SHAPE(SqrtOp)
TESSERA_REIFY_SAME_SHAPE(RsqrtOp)
TESSERA_REIFY_SAME_SHAPE(TanhOp)
TESSERA_REIFY_SAME_SHAPE(ErfOp)
TESSERA_REIFY_SAME_SHAPE(SinOp)
TESSERA_REIFY_SAME_SHAPE(CosOp)
TESSERA_REIFY_SAME_SHAPE(SigmoidOp)
TESSERA_REIFY_SAME_SHAPE(FloorOp)
TESSERA_REIFY_SAME_SHAPE(CeilOp)
TESSERA_REIFY_SAME_SHAPE(RoundOp)
TESSERA_REIFY_SAME_SHAPE(CastOp)
TESSERA_REIFY_SAME_SHAPE(CompareOp)
TESSERA_REIFY_SAME_SHAPE(SelectOp)
#undef TESSERA_REIFY_SAME_SHAPE

LogicalResult CompareOp::verify() {
  if (!llvm::is_contained({"eq", "ne", "lt", "le", "gt", "ge"}, getPredicate()))
    return emitOpError("(C3) expected the predicate to be eq, ne, lt, le, gt or ge; got \"") << getPredicate() << '"';
  if (failed(verifySameElements(*this, {getLhs(), getRhs()})))
    return failure();
  return verifyBroadcast(*this);
}

LogicalResult SelectOp::verify() {
  if (failed(verifySameElements(*this, {getOnTrue(), getOnFalse(), getResult()})))
    return failure();
  return verifyBroadcast(*this);
}

OpFoldResult CastOp::fold(FoldAdaptor) {
  return getOperand().getType() == getResult().getType() ? getOperand() : Value();
}
