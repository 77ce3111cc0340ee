// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What Python needs of the compiler beyond MLIR's own C API.

#ifndef TESSERA_PYTHON_EXTENSION_TESSERACAPI_H
#define TESSERA_PYTHON_EXTENSION_TESSERACAPI_H

#include "mlir-c/IR.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Makes Tessera's dialects, those that its pipelines use, and the translations to LLVM IR known.
MLIR_CAPI_EXPORTED void tesseraRegisterDialects(MlirDialectRegistry registry);

/// Makes Tessera's passes and pipelines known to pass-pipeline strings. Safe to call more than once.
MLIR_CAPI_EXPORTED void tesseraRegisterPasses(void);

/// Prints the facts of an rt.mesh attribute as JSON.
MLIR_CAPI_EXPORTED void tesseraDescribeCollective(MlirAttribute attribute, MlirStringCallback callback, void *userData);

/// Prints a module of the llvm dialect as LLVM IR, or fails with diagnostics emitted in its context.
MLIR_CAPI_EXPORTED MlirLogicalResult tesseraTranslateToLLVMIR(MlirOperation module, MlirStringCallback callback,
                                                              void *userData);

#ifdef __cplusplus
}
#endif

#endif // TESSERA_PYTHON_EXTENSION_TESSERACAPI_H
