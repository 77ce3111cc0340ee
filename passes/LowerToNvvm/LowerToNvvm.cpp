// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/LowerToLLVM/RuntimeToLLVM.h"
#include "passes/Passes.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERALOWERTONVVMPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

static constexpr llvm::StringLiteral kSharedMemory = "shared_memory";
/// What bulk copies of swizzled tiles need.
static constexpr int64_t kSharedAlignment = 1024;
static constexpr unsigned kSharedSpace = 3;

namespace {

struct LowerDynamicSharedMemory : ConvertOpToLLVMPattern<gpu::DynamicSharedMemoryOp> {
  LowerDynamicSharedMemory(const LLVMTypeConverter &converter) : ConvertOpToLLVMPattern(converter, /*benefit=*/10) {}

  LogicalResult matchAndRewrite(gpu::DynamicSharedMemoryOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    auto module = op->getParentOfType<gpu::GPUModuleOp>();
    auto pointer = LLVM::LLVMPointerType::get(getContext(), kSharedSpace);
    if (!module.lookupSymbol(kSharedMemory)) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(module.getBody());
      LLVM::GlobalOp::create(b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), 0), /*isConstant=*/false,
                             LLVM::Linkage::External, kSharedMemory, Attribute(), kSharedAlignment, kSharedSpace);
    }
    Value base = LLVM::AddressOfOp::create(b, loc, pointer, kSharedMemory);
    Value none = LLVM::ConstantOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(0));
    Value one = LLVM::ConstantOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(1));
    b.replaceOp(op, Value(createMemRefDescriptor(loc, op.getType(), base, base, {none}, {one}, b)));
    return success();
  }
};

/// e^x = 2^(x log2 e) by one instruction of each kind, where the last bits are not wanted. The instruction flushes
/// subnormal numbers to 0.
struct ApproximateExp : OpConversionPattern<math::ExpOp> {
  ApproximateExp(const TypeConverter &converter, MLIRContext *context)
      : OpConversionPattern(converter, context, /*benefit=*/20) {}

  LogicalResult matchAndRewrite(math::ExpOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Type type = op.getType();
    auto vector = dyn_cast<VectorType>(type);
    if (!getElementTypeOrSelf(type).isF32() || (vector && vector.getRank() != 1) ||
        !bitEnumContainsAll(op.getFastmath(), arith::FastMathFlags::afn))
      return failure();
    Location loc = op.getLoc();
    auto exp2 = [&](Value x) -> Value {
      Value log2e = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1.44269504f));
      Value scaled = arith::MulFOp::create(b, loc, x, log2e);
      auto dialect = LLVM::AsmDialectAttr::get(getContext(), LLVM::AsmDialect::AD_ATT);
      return LLVM::InlineAsmOp::create(b, loc, b.getF32Type(), ValueRange{scaled}, "ex2.approx.ftz.f32 $0, $1;", "=f,f",
                                       /*has_side_effects=*/false, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                       dialect, ArrayAttr())
          .getResult(0);
    };
    if (!vector) {
      b.replaceOp(op, exp2(adaptor.getOperand()));
      return success();
    }
    Value result = ub::PoisonOp::create(b, loc, type);
    for (int64_t i = 0; i < vector.getNumElements(); ++i)
      result =
          vector::InsertOp::create(b, loc, exp2(vector::ExtractOp::create(b, loc, adaptor.getOperand(), i)), result, i);
    b.replaceOp(op, result);
    return success();
  }
};

struct LowerToNvvmPass : tessera::impl::TesseraLowerToNvvmPassBase<LowerToNvvmPass> {
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    // Of what has no counterpart in LLVM, kernels hold divisions that round up or down alone. Upstream's pass would
    // expand maxima and minima too, which are instructions here.
    RewritePatternSet divisions(context);
    arith::populateCeilFloorDivExpandOpsPatterns(divisions);
    if (failed(applyPatternsGreedily(getOperation(), std::move(divisions))))
      return signalPassFailure();
    LowerToLLVMOptions options(context);
    LLVMTypeConverter converter(context, options);
    configureGpuToNVVMTypeConverter(converter);
    RewritePatternSet patterns(context);
    populateBuffersToLLVM(converter, patterns);
    patterns.add<LowerDynamicSharedMemory>(converter);
    populateGpuToNVVMConversionPatterns(converter, patterns);
    populateLibDeviceConversionPatterns(converter, patterns, /*benefit=*/10);
    patterns.add<ApproximateExp>(converter, context);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    index::populateIndexToLLVMConversionPatterns(converter, patterns);
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    populateMathToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    LLVMConversionTarget target(*context);
    configureGpuToNVVMConversionLegality(target);
    if (failed(applyPartialConversion(getOperation(), target, std::move(patterns))))
      return signalPassFailure();
  }
};

} // namespace
