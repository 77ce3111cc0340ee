// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Transpose.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

SmallVector<Value> tessera::transposeSquare(OpBuilder &b, Location loc, SmallVector<Value> rows) {
  // In each step row and column numbers swap one bit.
  int64_t size = rows.size();
  for (int64_t bit = 1; bit < size; bit *= 2) {
    SmallVector<int64_t> even, odd;
    for (int64_t lane = 0; lane < size; ++lane) {
      even.push_back(lane & bit ? size + lane - bit : lane);
      odd.push_back(lane & bit ? size + lane : lane + bit);
    }
    for (int64_t row = 0; row < size; ++row) {
      if (row & bit)
        continue;
      Value first = rows[row], second = rows[row + bit];
      rows[row] = vector::ShuffleOp::create(b, loc, first, second, even);
      rows[row + bit] = vector::ShuffleOp::create(b, loc, first, second, odd);
    }
  }
  return rows;
}
