// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "python/extension/TesseraCAPI.h"

#include "mlir-c/Diagnostics.h"
#include "mlir/Bindings/Python/NanobindAdaptors.h"
#include "llvm/Config/llvm-config.h"

#include <string>

namespace nb = nanobind;

static void append(MlirStringRef part, void *out) { static_cast<std::string *>(out)->append(part.data, part.length); }

/// Upstream's collector prints through LLVM's streams, which the C API library does not export.
static MlirLogicalResult collect(MlirDiagnostic diagnostic, void *out) {
  auto *text = static_cast<std::string *>(out);
  if (!text->empty())
    text->push_back('\n');
  mlirLocationPrint(mlirDiagnosticGetLocation(diagnostic), append, text);
  text->append(": ");
  mlirDiagnosticPrint(diagnostic, append, text);
  return mlirLogicalResultSuccess();
}

NB_MODULE(_tessera, m) {
  m.doc() = "Tessera's dialects, passes and translation, for MLIR's Python bindings.";
  m.attr("mlir_version") = LLVM_VERSION_STRING;
  tesseraRegisterPasses();

  m.def(
      "register_dialects", [](MlirDialectRegistry registry) { tesseraRegisterDialects(registry); }, nb::arg("registry"),
      "Makes Tessera's dialects and those that its pipelines use known to a registry.");

  m.def(
      "describe_collective",
      [](MlirAttribute what) {
        std::string text;
        tesseraDescribeCollective(what, append, &text);
        return text;
      },
      nb::arg("what"), "The facts of an rt.mesh attribute, as JSON.");

  m.def(
      "translate_to_llvmir",
      [](MlirOperation module) {
        MlirContext context = mlirOperationGetContext(module);
        std::string text, errors;
        MlirDiagnosticHandlerID handler = mlirContextAttachDiagnosticHandler(context, collect, &errors, nullptr);
        MlirLogicalResult result = tesseraTranslateToLLVMIR(module, append, &text);
        mlirContextDetachDiagnosticHandler(context, handler);
        if (mlirLogicalResultIsFailure(result))
          throw nb::value_error(errors.c_str());
        return text;
      },
      nb::arg("module"), "LLVM IR, as text, of a module that is wholly in the llvm dialect.");
}
