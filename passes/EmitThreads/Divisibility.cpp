// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitThreads/Divisibility.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/EmitThreads/RowProgram.h"
#include "passes/Utils/Scratch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace tessera;

/// A constant that divides an index.
static int64_t knownFactor(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return *constant == 0 ? kAccessBytes : *constant;
  if (auto product = value.getDefiningOp<arith::MulIOp>())
    return knownFactor(product.getLhs()) * knownFactor(product.getRhs());
  return 1;
}

void Divisibility::require(OpFoldResult size, int64_t lanes) {
  if (std::optional<int64_t> constant = getConstantIntValue(size)) {
    isPossible &= *constant % lanes == 0;
    return;
  }
  Value value = cast<Value>(size);
  if (knownFactor(value) % lanes == 0)
    return;
  // What differs from row to row would divide the threads of a block.
  if (isa<BlockArgument>(value) && !llvm::is_contained(unknown, value))
    unknown.push_back(value);
  else if (!isa<BlockArgument>(value))
    isPossible = false;
}

void Divisibility::requireView(Value view, int64_t lanes) {
  for (; auto subview = view.getDefiningOp<memref::SubViewOp>(); view = subview.getSource())
    require(subview.getMixedOffsets().back(), lanes);
  if (auto bind = view.getDefiningOp<rt::BindOp>()) {
    if (int64_t rank = bind.getResult().getType().getRank(); rank > 1)
      require(findViewSize(bind, rank - 1), lanes);
    return;
  }
  auto alloc = view.getDefiningOp<memref::AllocOp>();
  MemRefType bounded = alloc ? findBoundedType(alloc) : MemRefType();
  isPossible &=
      bounded && bounded.hasStaticShape() && (bounded.getRank() < 2 || bounded.getShape().back() % lanes == 0);
}

Value tessera::createDivides(OpBuilder &b, Location loc, int64_t lanes, Value value) {
  Value rest = arith::RemUIOp::create(b, loc, value, arith::ConstantIndexOp::create(b, loc, lanes));
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, rest, zero);
}
