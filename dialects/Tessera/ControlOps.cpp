// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

using namespace mlir;
using namespace tessera;

static LogicalResult verifyYield(Operation *op, Region &region, TypeRange expected, StringRef label) {
  auto yield = cast<YieldOp>(region.front().getTerminator());
  if (yield.getOperandTypes() == expected)
    return success();
  InFlightDiagnostic error = op->emitOpError("(") << label << ") expected a region to yield " << expected << "; got "
                                                  << yield.getOperandTypes();
  error.attachNote(yield.getLoc()) << "yielded here";
  return error;
}

LogicalResult CondOp::verify() {
  for (Region *region : {&getThenRegion(), &getElseRegion()}) {
    if (region->getNumArguments() != 0)
      return emitOpError("(C1) expected regions without arguments; got ") << region->getNumArguments();
    if (failed(verifyYield(*this, *region, getResultTypes(), "C1")))
      return failure();
  }
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

LogicalResult ScanOp::verify() {
  size_t carry = getNumCarry();
  Region &body = getBody();
  auto yield = cast<YieldOp>(body.front().getTerminator());
  if (carry > getInputs().size() || carry > getNumResults() || body.getNumArguments() != getInputs().size() ||
      yield.getNumOperands() != getNumResults())
    return emitOpError("(C1) expected ") << getInputs().size() << " region arguments and " << getNumResults()
                                         << " yielded values, the first " << carry << " of them carried; got "
                                         << body.getNumArguments() << " and " << yield.getNumOperands();
  for (size_t i = 0; i < carry; ++i) {
    Type type = getInputs()[i].getType();
    if (body.getArgument(i).getType() != type || yield.getOperand(i).getType() != type ||
        getResult(i).getType() != type)
      return emitOpError("(C2) expected carried value ") << i << " to stay " << type;
  }
  return success();
}
