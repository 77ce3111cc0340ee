// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Building linalg.generic on tensors whose booleans are bytes.

#ifndef TESSERA_PASSES_LOWERTOLINALG_GENERIC_H
#define TESSERA_PASSES_LOWERTOLINALG_GENERIC_H

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Utils/StructuredOpsUtils.h"
#include "mlir/Transforms/DialectConversion.h"

namespace tessera {

/// Booleans are bytes in memory: tensor<...xi1> becomes tensor<...xi8>.
struct MemoryTypeConverter : mlir::TypeConverter {
  MemoryTypeConverter();
};

mlir::Type memoryType(mlir::Type type);

/// The value of an element of `logicalType`, read from memory or about to be written there.
mlir::Value fromMemory(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value, mlir::Type logicalType);
mlir::Value toMemory(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value);

/// The map by which an operand of `shape` is read in a loop nest over its broadcast, which has the shape `result`.
mlir::AffineMap broadcastMap(mlir::MLIRContext *context, llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> result);

/// A destination of a type of memory and the sizes that `op` reifies for its result.
mlir::Value createEmpty(mlir::OpBuilder &builder, mlir::Location loc, mlir::RankedTensorType type,
                        llvm::ArrayRef<mlir::OpFoldResult> sizes);

/// A tensor of one number.
mlir::Value createFilled(mlir::OpBuilder &builder, mlir::Location loc, mlir::RankedTensorType type,
                         llvm::ArrayRef<mlir::OpFoldResult> sizes, mlir::TypedAttr value);

/// A loop nest whose every dimension is parallel and that writes `init` in order.
mlir::Value createParallel(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange inputs,
                           llvm::ArrayRef<mlir::AffineMap> maps, mlir::Value init,
                           llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)> body);

/// The map by which the result of a reshape reads the operand, if the reshape only adds and removes dimensions of size
/// 1 and all that reads it is elementwise: as a loop nest it fuses with what is around it, where other reshapes are
/// views.
std::optional<mlir::AffineMap> findUnitReshape(ReshapeOp op);

void populateElementwiseLowering(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter);
void populateReductionLowering(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter);
void populateShapeLowering(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter);
void populateOrderLowering(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter);
void populateControlLowering(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter);

} // namespace tessera

#endif // TESSERA_PASSES_LOWERTOLINALG_GENERIC_H
