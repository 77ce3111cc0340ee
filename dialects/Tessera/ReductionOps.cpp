// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

SmallVector<int64_t> tessera::reducedShape(ArrayRef<int64_t> shape, ArrayRef<int64_t> dims, bool keepdims) {
  SmallVector<int64_t> result;
  for (auto [dim, size] : llvm::enumerate(shape)) {
    if (!llvm::is_contained(dims, static_cast<int64_t>(dim)))
      result.push_back(size);
    else if (keepdims)
      result.push_back(1);
  }
  return result;
}

LogicalResult tessera::verifyReduction(Operation *op, ArrayRef<int64_t> dims, bool keepdims, Type elementType) {
  auto operand = cast<RankedTensorType>(op->getOperand(0).getType());
  auto result = cast<RankedTensorType>(op->getResult(0).getType());
  int64_t last = -1;
  for (int64_t dim : dims) {
    if (dim <= last || dim >= operand.getRank())
      return op->emitOpError("(C1) expected sorted, distinct dimensions below ")
             << operand.getRank() << "; got " << dims;
    last = dim;
  }
  if (result.getElementType() != elementType)
    return op->emitOpError("(C2) expected the result's element type to be ")
           << elementType << "; got " << result.getElementType();
  SmallVector<int64_t> expected = reducedShape(operand.getShape(), dims, keepdims);
  if (result.getShape() != ArrayRef<int64_t>(expected))
    return op->emitOpError("(C3) expected the result to be ")
           << RankedTensorType::get(expected, elementType) << "; got " << result;
  return success();
}

LogicalResult tessera::reifyReduction(OpBuilder &builder, Operation *op, ArrayRef<int64_t> dims, bool keepdims,
                                      ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes;
  for (auto [dim, size] : llvm::enumerate(mixedSizes(builder, op->getLoc(), op->getOperand(0)))) {
    if (!llvm::is_contained(dims, static_cast<int64_t>(dim)))
      sizes.push_back(size);
    else if (keepdims)
      sizes.push_back(builder.getIndexAttr(1));
  }
  shapes.push_back(std::move(sizes));
  return success();
}

static LogicalResult verifyDim(Operation *op, int64_t dim) {
  int64_t rank = cast<RankedTensorType>(op->getOperand(0).getType()).getRank();
  if (dim < 0 || dim >= rank)
    return op->emitOpError("(C1) expected dim in [0, ") << rank << "); got " << dim;
  return success();
}

LogicalResult CumSumOp::verify() { return verifyDim(*this, getDim()); }

LogicalResult CumSumOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedSizes(builder, getLoc(), getOperand()));
  return success();
}

/// (C2) of sort and topk: values and indices have `shape`, values has the operand's element type.
template <typename OpTy> static LogicalResult verifySorted(OpTy op, ArrayRef<int64_t> shape) {
  RankedTensorType values = op.getOperand().getType().clone(shape);
  if (op.getValues().getType() != values || op.getIndices().getType().getShape() != shape)
    return op.emitOpError("(C2) expected values to be ")
           << values << " and indices of that shape; got " << op.getResultTypes();
  return success();
}

LogicalResult SortOp::verify() {
  if (failed(verifyDim(*this, getDim())))
    return failure();
  return verifySorted(*this, getOperand().getType().getShape());
}

LogicalResult SortOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.assign(2, mixedSizes(builder, getLoc(), getOperand()));
  return success();
}

LogicalResult TopKOp::verify() {
  if (failed(verifyDim(*this, getDim())))
    return failure();
  SmallVector<int64_t> shape(getOperand().getType().getShape());
  int64_t k = getK(), size = shape[getDim()];
  if (k < 0 || (!ShapedType::isDynamic(size) && k > size))
    return emitOpError("(C1) expected k in [0, size of dimension ") << getDim() << "]; got " << k;
  shape[getDim()] = k;
  return verifySorted(*this, shape);
}

LogicalResult TopKOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes = mixedSizes(builder, getLoc(), getOperand());
  sizes[getDim()] = builder.getIndexAttr(getK());
  shapes.assign(2, sizes);
  return success();
}
