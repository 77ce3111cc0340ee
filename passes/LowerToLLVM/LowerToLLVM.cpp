// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/LowerToLLVM/RuntimeToLLVM.h"
#include "passes/Passes.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERALOWERTOLLVMPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {

/// A host function that is exported: an entry, or the one that says its workspace.
struct Exported {
  std::string name;
  Location loc;
  int64_t buffers; // -1 for a workspace function
  int64_t symbols;
};

struct LowerToLLVMPass : tessera::impl::TesseraLowerToLLVMPassBase<LowerToLLVMPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Exported> exported;
    for (func::FuncOp function : module.getOps<func::FuncOp>())
      prepare(function, exported);
    createRuntimeSlot(module);
    if (failed(convert(module)))
      return signalPassFailure();
    for (const Exported &entry : exported)
      createWrapper(module, entry);
    for (LLVM::LLVMFuncOp function : module.getOps<LLVM::LLVMFuncOp>()) {
      moveHalvesAsIntegers(function);
      // LLVM would make calls of memset and memcpy from loops.
      function.setPassthroughAttr(ArrayAttr::get(&getContext(), StringAttr::get(&getContext(), "no-builtins")));
    }
  }

  /// Makes the host function internal, and an entry return its status.
  void prepare(func::FuncOp function, SmallVector<Exported> &exported) {
    MLIRContext *context = &getContext();
    OpBuilder b(context);
    function->setAttr("llvm.linkage", LLVM::LinkageAttr::get(context, LLVM::Linkage::Internal));
    bool isEntry = function->hasAttr("tessera.entry"), isWorkspace = function->hasAttr("tessera.workspace");
    for (unsigned argument = 0; argument < function.getNumArguments(); ++argument)
      function.setArgAttrs(argument, ArrayRef<NamedAttribute>());
    if (!isEntry && !isWorkspace)
      return;
    auto inputs = function.getFunctionType().getInputs();
    int64_t symbols = llvm::count_if(inputs, [](Type type) { return type.isIndex(); });
    // The last buffer is the workspace.
    int64_t buffers = isEntry ? static_cast<int64_t>(inputs.size()) - symbols - 1 : -1;
    exported.push_back({function.getName().str(), function.getLoc(), buffers, symbols});
    function.setName((function.getName() + ".host").str());
    if (!isEntry)
      return;
    function.setType(FunctionType::get(context, inputs, b.getI32Type()));
    function.walk([&](func::ReturnOp end) {
      b.setInsertionPoint(end);
      Value ok = arith::ConstantIntOp::create(b, end.getLoc(), 0, 32);
      end->setOperands(ok);
    });
  }

  /// Vectors of 16-bit floats are loaded and stored as integers, which all arithmetic on them works on (ExpandMath,
  /// ExpandFp8, upstream's expansion of bf16). Left as floats, LLVM splits a select between two of them into scalars,
  /// and widens what a mask covers to f32 to round it again, for which it calls a library.
  void moveHalvesAsIntegers(LLVM::LLVMFuncOp function) {
    auto integersOf = [](Type type) -> VectorType {
      auto vectorType = dyn_cast<VectorType>(type);
      if (!vectorType || !isa<FloatType>(vectorType.getElementType()) || vectorType.getElementTypeBitWidth() != 16)
        return {};
      return vectorType.clone(IntegerType::get(type.getContext(), 16));
    };
    function.walk([&](Operation *op) {
      if (!isa<LLVM::LoadOp, LLVM::MaskedLoadOp, LLVM::StoreOp, LLVM::MaskedStoreOp>(op))
        return;
      OpBuilder b(op);
      // The value stored, and what absent lanes read.
      for (OpOperand &operand : op->getOpOperands())
        if (VectorType integers = integersOf(operand.get().getType()))
          operand.set(LLVM::BitcastOp::create(b, op->getLoc(), integers, operand.get()));
      for (OpResult result : op->getResults()) {
        VectorType integers = integersOf(result.getType());
        if (!integers)
          continue;
        b.setInsertionPointAfter(op);
        auto floats = LLVM::BitcastOp::create(b, op->getLoc(), result.getType(), result);
        result.replaceAllUsesExcept(floats, floats);
        result.setType(integers);
      }
    });
  }

  void createRuntimeSlot(ModuleOp module) {
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    auto slot = LLVM::GlobalOp::create(b, module.getLoc(), pointer, /*isConstant=*/false, LLVM::Linkage::External,
                                       kRuntimeSlot, Attribute(), /*alignment=*/8);
    slot.setDsoLocal(true);
    b.createBlock(&slot.getInitializerRegion());
    Value null = LLVM::ZeroOp::create(b, module.getLoc(), pointer);
    LLVM::ReturnOp::create(b, module.getLoc(), null);
  }

  LogicalResult convert(ModuleOp module) {
    MLIRContext *context = &getContext();
    LLVMTypeConverter converter(context);
    RewritePatternSet patterns(context);
    populateRuntimeToLLVM(converter, patterns);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    populateFuncToLLVMConversionPatterns(converter, patterns);
    index::populateIndexToLLVMConversionPatterns(converter, patterns);
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    populateMathToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns, /*reassociateFPReductions=*/true);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    LLVMConversionTarget target(*context);
    target.addLegalOp<ModuleOp>();
    target.addLegalOp<gpu::GPUModuleOp>();
    target.markOpRecursivelyLegal<gpu::GPUModuleOp>();
    return applyFullConversion(module, target, std::move(patterns));
  }

  /// The exported function: it unpacks its arrays of arguments and calls the host function.
  void createWrapper(ModuleOp module, const Exported &entry) {
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    bool isEntry = entry.buffers >= 0;
    Type result = isEntry ? Type(b.getI32Type()) : Type(b.getI64Type());
    SmallVector<Type> inputs(isEntry ? 3 : 1, pointer);
    auto function = LLVM::LLVMFuncOp::create(b, entry.loc, entry.name, LLVM::LLVMFunctionType::get(result, inputs),
                                             LLVM::Linkage::External, /*dsoLocal=*/true);
    b.setInsertionPointToStart(function.addEntryBlock(b));
    SmallVector<Value> arguments;
    auto unpack = [&](Value array, Type element, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        Value address =
            LLVM::GEPOp::create(b, entry.loc, pointer, element, array, ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(i)});
        arguments.push_back(LLVM::LoadOp::create(b, entry.loc, element, address));
      }
    };
    if (isEntry) {
      unpack(function.getArgument(0), pointer, entry.buffers);
      arguments.push_back(function.getArgument(2));
    }
    unpack(function.getArgument(isEntry ? 1 : 0), b.getI64Type(), entry.symbols);
    auto call = LLVM::CallOp::create(b, entry.loc, result, entry.name + ".host", arguments);
    LLVM::ReturnOp::create(b, entry.loc, call.getResult());
  }
};

} // namespace
