// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tessera::rt;

#include "dialects/Runtime/RuntimeDialect.cpp.inc"

#include "dialects/Runtime/RuntimeEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/Runtime/RuntimeAttributes.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/Runtime/RuntimeTypes.cpp.inc"

void RuntimeDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Runtime/RuntimeAttributes.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Runtime/RuntimeTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Runtime/RuntimeOps.cpp.inc"
      >();
}

LogicalResult DispatchOp::verify() {
  if (getResultTypes() != getInits().getTypes())
    return emitOpError("(C2) expected the results to have the destinations' types ")
           << getInits().getTypes() << "; got " << getResultTypes();
  return success();
}

LogicalResult DispatchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto kernel = symbols.lookupNearestSymbolFrom<FunctionOpInterface>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError("(C1) expected a kernel named ") << getKernelAttr();
  if (TypeRange(kernel.getArgumentTypes()) != getOperandTypes() ||
      TypeRange(kernel.getResultTypes()) != getResultTypes())
    return emitOpError("(C1) expected the kernel to take ")
           << getOperandTypes() << " and to return " << getResultTypes() << "; got " << kernel.getFunctionType();
  return success();
}

LogicalResult DispatchOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  for (Value init : getInits())
    shapes.push_back(tensor::getMixedSizes(builder, getLoc(), init));
  return success();
}

LogicalResult CollectiveOp::verify() {
  if (getResult().getType() != getInit().getType() ||
      getSource().getType().getElementType() != getInit().getType().getElementType())
    return emitOpError("(C1) expected the source's element type and the result to be the destination's, ")
           << getInit().getType() << "; got " << getSource().getType() << " and " << getResult().getType();
  if (!getSource().getType().hasStaticShape() || !getInit().getType().hasStaticShape())
    return success();
  int64_t source = getSource().getType().getNumElements(), target = getInit().getType().getNumElements();
  CollectiveKind kind = getWhat().getKind();
  bool gathers = kind == CollectiveKind::all_gather, scatters = kind == CollectiveKind::reduce_scatter;
  if ((gathers ? source * getWhat().getRanks() : source) != (scatters ? target * getWhat().getRanks() : target))
    return emitOpError("(C2) expected the destination to have the elements of ")
           << stringifyCollectiveKind(kind) << " by " << getWhat().getRanks() << " ranks of " << getSource().getType()
           << "; got " << getInit().getType();
  return success();
}

LogicalResult CollectiveOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(tensor::getMixedSizes(builder, getLoc(), getInit()));
  return success();
}

LogicalResult BindOp::verify() {
  auto type = cast<MemRefType>(getResult().getType());
  if (type.getNumDynamicDims() != static_cast<int64_t>(getSizes().size()))
    return emitOpError("(C1) expected ") << type.getNumDynamicDims() << " sizes; got " << getSizes().size();
  return success();
}

LogicalResult ObserveOp::verify() {
  int64_t dynamic = cast<RankedTensorType>(getType()).getNumDynamicDims();
  if (dynamic != static_cast<int64_t>(getSizes().size()))
    return emitOpError("(C1) expected ") << dynamic << " sizes; got " << getSizes().size();
  return success();
}

#define GET_OP_CLASSES
#include "dialects/Runtime/RuntimeOps.cpp.inc"
