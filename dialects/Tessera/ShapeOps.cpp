// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace tessera;

/// One index operand stands for each dynamic dimension of a result.
static LogicalResult verifySizes(Operation *op, RankedTensorType result, ValueRange sizes, StringRef label) {
  if (result.getNumDynamicDims() != static_cast<int64_t>(sizes.size()))
    return op->emitOpError("(") << label << ") expected " << result.getNumDynamicDims()
                                << " sizes, one for each dynamic dimension of the result; got " << sizes.size();
  return success();
}

static void reifySizes(OpBuilder &builder, RankedTensorType type, ValueRange sizes,
                       ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> result;
  for (int64_t size : type.getShape()) {
    if (ShapedType::isDynamic(size)) {
      result.push_back(sizes.front());
      sizes = sizes.drop_front();
    } else {
      result.push_back(builder.getIndexAttr(size));
    }
  }
  shapes.push_back(std::move(result));
}

static LogicalResult verifyElementType(Operation *op, StringRef label) {
  Type operand = getElementTypeOrSelf(op->getOperand(0)), result = getElementTypeOrSelf(op->getResult(0));
  if (operand != result)
    return op->emitOpError("(") << label << ") expected operand and result of one element type; got " << operand
                                << " and " << result;
  return success();
}

static LogicalResult verifyDim(Operation *op, int64_t dim, int64_t rank, StringRef label) {
  if (dim < 0 || dim >= rank)
    return op->emitOpError("(") << label << ") expected dim in [0, " << rank << "); got " << dim;
  return success();
}

//===-- constant ------------------------------------------------------------------------------------------------===//

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

LogicalResult ConstantOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  reifySizes(builder, cast<RankedTensorType>(getType()), {}, shapes);
  return success();
}

//===-- broadcast_to --------------------------------------------------------------------------------------------===//

LogicalResult BroadcastToOp::verify() {
  RankedTensorType result = getResult().getType();
  if (failed(verifySizes(*this, result, getSizes(), "C1")) || failed(verifyElementType(*this, "C3")))
    return failure();
  ArrayRef<int64_t> operand = getOperand().getType().getShape();
  // Only a 1 may become another size; a 1 in the result comes from a 1.
  bool fits =
      operand.size() <= result.getShape().size() &&
      llvm::all_of(llvm::zip(operand, result.getShape().take_back(operand.size())), [](auto sizes) {
        auto [from, to] = sizes;
        return from == 1 || from == to || (to != 1 && (ShapedType::isDynamic(from) || ShapedType::isDynamic(to)));
      });
  if (!fits)
    return emitOpError("(C2) expected the operand's shape to broadcast to the result's; got ")
           << getOperand().getType() << " and " << result;
  return success();
}

LogicalResult BroadcastToOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  reifySizes(builder, getResult().getType(), getSizes(), shapes);
  return success();
}

//===-- iota ----------------------------------------------------------------------------------------------------===//

LogicalResult IotaOp::verify() {
  if (failed(verifySizes(*this, getResult().getType(), getSizes(), "C1")))
    return failure();
  return verifyDim(*this, getDim(), getResult().getType().getRank(), "C2");
}

LogicalResult IotaOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  reifySizes(builder, getResult().getType(), getSizes(), shapes);
  return success();
}

//===-- reshape -------------------------------------------------------------------------------------------------===//

LogicalResult ReshapeOp::verify() {
  RankedTensorType operand = getOperand().getType(), result = getResult().getType();
  if (failed(verifySizes(*this, result, getSizes(), "C1")) || failed(verifyElementType(*this, "C3")))
    return failure();
  if (operand.hasStaticShape() && result.hasStaticShape() && operand.getNumElements() != result.getNumElements())
    return emitOpError("(C2) expected equally many elements; got ") << operand << " and " << result;
  return success();
}

OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  bool same = getOperand().getType() == getResult().getType() && getResult().getType().getNumDynamicDims() <= 1;
  return same ? getOperand() : Value();
}

LogicalResult ReshapeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  reifySizes(builder, getResult().getType(), getSizes(), shapes);
  return success();
}

//===-- transpose -----------------------------------------------------------------------------------------------===//

LogicalResult TransposeOp::verify() {
  RankedTensorType operand = getOperand().getType(), result = getResult().getType();
  if (!isPermutationVector(getPermutation()) || static_cast<int64_t>(getPermutation().size()) != operand.getRank())
    return emitOpError("(C1) expected a permutation of ")
           << operand.getRank() << " dimensions; got " << getPermutation();
  RankedTensorType expected = operand.clone(applyPermutation(operand.getShape(), getPermutation()));
  if (result != expected)
    return emitOpError("(C2) expected the result to be ") << expected << "; got " << result;
  return success();
}

OpFoldResult TransposeOp::fold(FoldAdaptor) { return isIdentityPermutation(getPermutation()) ? getOperand() : Value(); }

LogicalResult TransposeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(applyPermutation(mixedSizes(builder, getLoc(), getOperand()), getPermutation()));
  return success();
}

//===-- slice ---------------------------------------------------------------------------------------------------===//

LogicalResult SliceOp::verify() {
  RankedTensorType operand = getOperand().getType(), result = getResult().getType();
  size_t rank = operand.getRank();
  if (getOffsets().size() != rank || getStrides().size() != rank || llvm::is_contained(getStrides(), 0))
    return emitOpError("(C1) expected ") << rank << " offsets and " << rank << " strides other than 0; got "
                                         << getOffsets().size() << " offsets and strides " << getStrides();
  if (failed(verifySizes(*this, result, getSizes(), "C2")))
    return failure();
  if (operand.getRank() != result.getRank())
    return emitOpError("(C3) expected operand and result of one rank; got ") << operand << " and " << result;
  return verifyElementType(*this, "C3");
}

LogicalResult SliceOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  reifySizes(builder, getResult().getType(), getSizes(), shapes);
  return success();
}

//===-- concat --------------------------------------------------------------------------------------------------===//

LogicalResult ConcatOp::verify() {
  RankedTensorType result = getResult().getType();
  if (getInputs().empty())
    return emitOpError("(C1) expected at least one operand");
  for (Value operand : getInputs()) {
    auto type = cast<RankedTensorType>(operand.getType());
    if (type.getRank() != result.getRank() || type.getElementType() != result.getElementType())
      return emitOpError("(C1) expected operands of the result's rank and element type; got ")
             << type << " for " << result;
  }
  if (failed(verifyDim(*this, getDim(), result.getRank(), "C2")))
    return failure();
  int64_t total = 0;
  for (Value operand : getInputs()) {
    ArrayRef<int64_t> shape = cast<RankedTensorType>(operand.getType()).getShape();
    int64_t size = shape[getDim()];
    total = ShapedType::isDynamic(size) || ShapedType::isDynamic(total) ? ShapedType::kDynamic : total + size;
    for (auto [dim, sizes] : llvm::enumerate(llvm::zip(shape, result.getShape()))) {
      auto [mine, expected] = sizes;
      if (dim != getDim() && mine != expected && !ShapedType::isDynamic(mine) && !ShapedType::isDynamic(expected))
        return emitOpError("(C3) expected dimension ") << dim << " to be " << expected << "; got " << mine;
    }
  }
  if (total != result.getDimSize(getDim()))
    return emitOpError("(C2) expected dimension ")
           << getDim() << " of the result to be the operands' sum; got " << result;
  return success();
}

LogicalResult ConcatOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  RankedTensorType result = getResult().getType();
  SmallVector<OpFoldResult> sizes = mixedSizes(builder, getLoc(), getInputs().front());
  // Another operand may know a size that the first does not.
  for (auto [dim, size] : llvm::enumerate(result.getShape()))
    if (!ShapedType::isDynamic(size))
      sizes[dim] = builder.getIndexAttr(size);
  if (result.isDynamicDim(getDim())) {
    Value total;
    for (Value operand : getInputs()) {
      Value size = getValueOrCreateConstantIndexOp(builder, getLoc(),
                                                   tensor::getMixedSize(builder, getLoc(), operand, getDim()));
      total = total ? arith::AddIOp::create(builder, getLoc(), total, size).getResult() : size;
    }
    sizes[getDim()] = total;
  }
  shapes.push_back(std::move(sizes));
  return success();
}

//===-- gather --------------------------------------------------------------------------------------------------===//

LogicalResult GatherOp::verify() {
  RankedTensorType operand = getOperand().getType(), result = getResult().getType();
  if (failed(verifyDim(*this, getDim(), operand.getRank(), "C1")))
    return failure();
  SmallVector<int64_t> shape(operand.getShape().take_front(getDim()));
  llvm::append_range(shape, getIndices().getType().getShape());
  llvm::append_range(shape, operand.getShape().drop_front(getDim() + 1));
  if (result != operand.clone(shape))
    return emitOpError("(C2) expected the result to be ") << operand.clone(shape) << "; got " << result;
  return success();
}

LogicalResult GatherOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> operand = mixedSizes(builder, getLoc(), getOperand());
  ArrayRef<OpFoldResult> sliced(operand);
  SmallVector<OpFoldResult> sizes(sliced.take_front(getDim()));
  llvm::append_range(sizes, mixedSizes(builder, getLoc(), getIndices()));
  llvm::append_range(sizes, sliced.drop_front(getDim() + 1));
  shapes.push_back(std::move(sizes));
  return success();
}

//===-- scatter -------------------------------------------------------------------------------------------------===//

LogicalResult ScatterOp::verify() {
  RankedTensorType operand = getOperand().getType(), indices = getIndices().getType(), updates = getUpdates().getType();
  if (indices.getRank() != 1)
    return emitOpError("(C1) expected indices of rank 1; got ") << indices;
  SmallVector<int64_t> shape(indices.getShape());
  if (operand.getRank() > 0)
    llvm::append_range(shape, operand.getShape().drop_front());
  RankedTensorType expected = operand.clone(shape);
  if (operand.getRank() == 0 || failed(verifyCompatibleShape(updates, expected)) ||
      updates.getElementType() != operand.getElementType())
    return emitOpError("(C2) expected updates to be ") << expected << "; got " << updates;
  return success();
}

LogicalResult ScatterOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedSizes(builder, getLoc(), getOperand()));
  return success();
}
