// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "python/extension/TesseraCAPI.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Passes.h"

#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Support.h"
#include "mlir/CAPI/Utils.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Target/LLVM/NVVM/Target.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/JSON.h"

using namespace mlir;

void tesseraRegisterDialects(MlirDialectRegistry handle) {
  DialectRegistry &registry = *unwrap(handle);
  tessera::registerDialects(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  NVVM::registerNVVMTargetInterfaceExternalModels(registry);
}

void tesseraRegisterPasses(void) {
  static bool once = [] {
    tessera::registerPasses();
    registerGpuModuleToBinaryPass();
    LLVM::registerDIScopeForLLVMFuncOpPass();
    return true;
  }();
  (void)once;
}

void tesseraDescribeCollective(MlirAttribute attribute, MlirStringCallback callback, void *userData) {
  using namespace tessera::rt;
  auto what = cast<CollectiveAttr>(unwrap(attribute));
  CollectiveKind kind = what.getKind();
  llvm::json::Object row{{"kind", stringifyCollectiveKind(kind)},
                         {"axes", llvm::json::Array(llvm::map_range(
                                      what.getAxes(), [](int64_t axis) { return llvm::json::Value(axis); }))}};
  if (kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter)
    row["op"] = stringifyReductionKind(what.getReduction());
  if (kind == CollectiveKind::broadcast)
    row["root"] = what.getRoot();
  if (kind == CollectiveKind::shift) {
    row["offset"] = what.getOffset();
    row["periodic"] = what.getPeriodic();
  }
  mlir::detail::CallbackOstream stream(callback, userData);
  stream << llvm::json::Value(std::move(row));
}

MlirLogicalResult tesseraTranslateToLLVMIR(MlirOperation module, MlirStringCallback callback, void *userData) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> result = translateModuleToLLVMIR(unwrap(module), context, "tessera");
  if (!result)
    return wrap(failure());
  detail::CallbackOstream stream(callback, userData);
  result->print(stream, nullptr);
  return wrap(success());
}
