// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The graph level: see TesseraBase.td and docs/rationale/tessera.md.

#ifndef TESSERA_DIALECTS_TESSERA_TESSERADIALECT_H
#define TESSERA_DIALECTS_TESSERA_TESSERADIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"

#include "dialects/Tessera/TesseraDialect.h.inc"

namespace tessera {

/// Each element of the result depends on one element of each operand.
template <typename ConcreteType> class Elementwise : public mlir::OpTrait::TraitBase<ConcreteType, Elementwise> {};

/// The broadcast of shapes aligned on the right, or failure where two sizes disagree. A size broadcasts only if it is
/// statically 1; a static size wins over a dynamic one.
llvm::FailureOr<llvm::SmallVector<int64_t>> broadcastShapes(llvm::ArrayRef<llvm::ArrayRef<int64_t>> shapes);

/// What products of elements of these types are added up in.
mlir::Type accumulatorType(mlir::Type lhs, mlir::Type rhs);

/// Checks (C1) of the broadcasting operations: one element type.
llvm::LogicalResult verifySameElements(mlir::Operation *op, mlir::ValueRange tensors);

/// Checks (C2) of the broadcasting operations: one result of the operands' broadcast shape.
llvm::LogicalResult verifyBroadcast(mlir::Operation *op);
llvm::LogicalResult reifyBroadcast(mlir::OpBuilder &builder, mlir::Operation *op,
                                   mlir::ReifiedRankedShapedTypeDims &shapes);

/// The shape that is left of one operand when `dims` are reduced.
llvm::SmallVector<int64_t> reducedShape(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> dims, bool keepdims);
llvm::LogicalResult verifyReduction(mlir::Operation *op, llvm::ArrayRef<int64_t> dims, bool keepdims,
                                    mlir::Type elementType);
llvm::LogicalResult reifyReduction(mlir::OpBuilder &builder, mlir::Operation *op, llvm::ArrayRef<int64_t> dims,
                                   bool keepdims, mlir::ReifiedRankedShapedTypeDims &shapes);

/// The sizes of a tensor, static ones as attributes and dynamic ones as tensor.dim.
llvm::SmallVector<mlir::OpFoldResult> mixedSizes(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value tensor);

} // namespace tessera

#define GET_OP_CLASSES
#include "dialects/Tessera/TesseraOps.h.inc"

#endif // TESSERA_DIALECTS_TESSERA_TESSERADIALECT_H
