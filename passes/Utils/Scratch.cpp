// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Scratch.h"

#include "passes/Utils/Sizes.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

MemRefType tessera::findBoundedType(memref::AllocOp alloc) {
  MemRefType type = alloc.getType();
  SmallVector<int64_t> shape(type.getShape());
  for (auto [dim, size] : llvm::enumerate(shape)) {
    if (ShapedType::isDynamic(size))
      size = findUpperBound({alloc.getResult(), static_cast<int64_t>(dim)}).value_or(size);
  }
  return MemRefType::get(shape, type.getElementType());
}

int64_t tessera::sharedBytesOf(MemRefType type) {
  return llvm::alignTo(llvm::divideCeil(type.getNumElements() * type.getElementTypeBitWidth(), 8), kScratchAlignment);
}
