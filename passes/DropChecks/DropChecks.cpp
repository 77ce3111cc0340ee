// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Passes.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERADROPCHECKSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {
struct DropChecksPass : tessera::impl::TesseraDropChecksPassBase<DropChecksPass> {
  void runOnOperation() override {
    SmallVector<rt::FailOp> checks;
    getOperation()->walk([&](rt::FailOp check) { checks.push_back(check); });
    for (rt::FailOp check : checks) {
      SetVector<Operation *> slice;
      BackwardSliceOptions options;
      options.omitBlockArguments = true;
      (void)getBackwardSlice(check.getCondition(), &slice, options);
      if (llvm::any_of(slice, llvm::IsaPred<tensor::ExtractOp>))
        check.erase();
    }
  }
};
} // namespace
