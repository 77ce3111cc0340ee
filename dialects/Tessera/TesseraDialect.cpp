// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Transforms/InliningUtils.h"

using namespace mlir;

#include "dialects/Tessera/TesseraDialect.cpp.inc"

namespace {
/// Everything but a symbol may be inlined anywhere: all operations are pure.
struct TesseraInlinerInterface : DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;
  bool isLegalToInline(Operation *, Operation *, bool) const final { return true; }
  bool isLegalToInline(Region *, Region *, bool, IRMapping &) const final { return true; }
  bool isLegalToInline(Operation *, Region *, bool, IRMapping &) const final { return true; }
};
} // namespace

void tessera::TesseraDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Tessera/TesseraOps.cpp.inc"
      >();
  addInterfaces<TesseraInlinerInterface>();
}

SmallVector<OpFoldResult> tessera::mixedSizes(OpBuilder &builder, Location loc, Value tensor) {
  return tensor::getMixedSizes(builder, loc, tensor);
}

#define GET_OP_CLASSES
#include "dialects/Tessera/TesseraOps.cpp.inc"
