// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Passes.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERARESOLVESIZESPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;

namespace {
struct ResolveSizesPass : tessera::impl::TesseraResolveSizesPassBase<ResolveSizesPass> {
  void runOnOperation() override {
    getOperation()->walk([](tensor::DimOp dim) {
      std::optional<int64_t> index = dim.getConstantIndex();
      if (!index)
        return;
      OpFoldResult size = tessera::findSize(dim.getSource(), *index);
      if (!size)
        return;
      OpBuilder builder(dim);
      dim.replaceAllUsesWith(getValueOrCreateConstantIndexOp(builder, dim.getLoc(), size));
      dim.erase();
    });
  }
};
} // namespace
