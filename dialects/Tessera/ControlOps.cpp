// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

using namespace mlir;
using namespace tessera;

/// The end of a region, of which nothing is verified yet.
static FailureOr<YieldOp> findYield(Operation *op, Region &region, StringRef label) {
  Block &block = region.front();
  if (auto yield = block.empty() ? YieldOp() : dyn_cast<YieldOp>(block.back()))
    return yield;
  return op->emitOpError("(") << label << ") expected a region to end with tessera.yield";
}

static LogicalResult verifyYield(Operation *op, Region &region, TypeRange expected, StringRef label) {
  FailureOr<YieldOp> yield = findYield(op, region, label);
  if (failed(yield))
    return failure();
  if (yield->getOperandTypes() == expected)
    return success();
  InFlightDiagnostic error = op->emitOpError("(") << label << ") expected a region to yield " << expected << "; got "
                                                  << yield->getOperandTypes();
  error.attachNote(yield->getLoc()) << "yielded here";
  return error;
}

static int64_t countDynamicDims(TypeRange types) {
  int64_t count = 0;
  for (Type type : types)
    count += cast<RankedTensorType>(type).getNumDynamicDims();
  return count;
}

LogicalResult CondOp::verify() {
  for (Region *region : {&getThenRegion(), &getElseRegion()}) {
    if (region->getNumArguments() != 0)
      return emitOpError("(C1) expected regions without arguments; got ") << region->getNumArguments();
    if (failed(verifyYield(*this, *region, getResultTypes(), "C1")))
      return failure();
  }
  if (int64_t count = countDynamicDims(getResultTypes()); count != static_cast<int64_t>(getSizes().size()))
    return emitOpError("(C2) expected ") << count << " sizes; got " << getSizes().size();
  return success();
}

LogicalResult WhileLoopOp::verify() {
  for (Region *region : {&getCondition(), &getBody()})
    if (region->getArgumentTypes() != getInits().getTypes())
      return emitOpError("(C1) expected a region to take ")
             << getInits().getTypes() << "; got " << region->getArgumentTypes();
  Type predicate = RankedTensorType::get({}, IntegerType::get(getContext(), 1));
  if (failed(verifyYield(*this, getCondition(), predicate, "C2")))
    return failure();
  return verifyYield(*this, getBody(), getInits().getTypes(), "C2");
}

/// Whether `slice` is the type of what `tensor` holds at one position of dimension 0.
static bool isSlice(Type slice, Type tensor) {
  auto type = cast<RankedTensorType>(tensor);
  return type.getRank() > 0 && slice == type.clone(type.getShape().drop_front());
}

LogicalResult ScanOp::verify() {
  int64_t carry = getNumCarry(), inputs = getInputs().size(), results = getNumResults();
  Region &body = getBody();
  FailureOr<YieldOp> yield = findYield(*this, body, "C1");
  if (failed(yield))
    return failure();
  if (carry < 0 || carry > inputs || carry > results || body.getNumArguments() != inputs ||
      yield->getNumOperands() != results)
    return emitOpError("(C1) expected ") << inputs << " region arguments and " << results
                                         << " yielded values, the first " << carry << " of them carried; got "
                                         << body.getNumArguments() << " and " << yield->getNumOperands();
  for (int64_t i = 0; i < carry; ++i) {
    Type type = getInputs()[i].getType();
    if (body.getArgument(i).getType() != type || yield->getOperand(i).getType() != type ||
        getResult(i).getType() != type)
      return emitOpError("(C2) expected carried value ") << i << " to stay " << type;
  }
  for (int64_t i = carry; i < inputs; ++i)
    if (!isSlice(body.getArgument(i).getType(), getInputs()[i].getType()))
      return emitOpError("(C3) expected region argument ")
             << i << " to be a slice of " << getInputs()[i].getType() << "; got " << body.getArgument(i).getType();
  for (int64_t i = carry; i < results; ++i)
    if (!isSlice(yield->getOperand(i).getType(), getResult(i).getType()))
      return emitOpError("(C3) expected yielded value ")
             << i << " to be a slice of " << getResult(i).getType() << "; got " << yield->getOperand(i).getType();
  int64_t count = countDynamicDims(yield->getValues().drop_front(carry).getTypes());
  if (count != static_cast<int64_t>(getSizes().size()))
    return emitOpError("(C4) expected ") << count << " sizes; got " << getSizes().size();
  return success();
}
