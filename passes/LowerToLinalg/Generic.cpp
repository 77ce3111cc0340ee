// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/LowerToLinalg/Generic.h"

#include "passes/LowerToLinalg/ScalarBodies.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

Type tessera::memoryType(Type type) {
  if (auto tensor = dyn_cast<RankedTensorType>(type); tensor && tensor.getElementType().isInteger(1))
    return tensor.clone(IntegerType::get(type.getContext(), 8));
  return type;
}

tessera::MemoryTypeConverter::MemoryTypeConverter() {
  addConversion([](Type type) { return memoryType(type); });
}

Value tessera::fromMemory(OpBuilder &builder, Location loc, Value value, Type logicalType) {
  return logicalType.isInteger(1) && !value.getType().isInteger(1) ? buildScalarCast(builder, loc, value, logicalType)
                                                                   : value;
}

Value tessera::toMemory(OpBuilder &builder, Location loc, Value value) {
  return value.getType().isInteger(1) ? buildScalarCast(builder, loc, value, builder.getI8Type()) : value;
}

AffineMap tessera::broadcastMap(MLIRContext *context, ArrayRef<int64_t> shape, ArrayRef<int64_t> result) {
  SmallVector<AffineExpr> exprs;
  for (auto [size, resultSize] : llvm::zip_equal(shape, result.take_back(shape.size())))
    exprs.push_back(size == 1 && resultSize != 1
                        ? getAffineConstantExpr(0, context)
                        : getAffineDimExpr(result.size() - shape.size() + exprs.size(), context));
  return AffineMap::get(result.size(), 0, exprs, context);
}

Value tessera::createEmpty(OpBuilder &builder, Location loc, RankedTensorType type, ArrayRef<OpFoldResult> sizes) {
  SmallVector<Value> dynamic;
  for (auto [size, reified] : llvm::zip_equal(type.getShape(), sizes))
    if (ShapedType::isDynamic(size))
      dynamic.push_back(getValueOrCreateConstantIndexOp(builder, loc, reified));
  return tensor::EmptyOp::create(builder, loc, type, dynamic);
}

Value tessera::createFilled(OpBuilder &builder, Location loc, RankedTensorType type, ArrayRef<OpFoldResult> sizes,
                            TypedAttr value) {
  Value number = arith::ConstantOp::create(builder, loc, value);
  return linalg::FillOp::create(builder, loc, number, createEmpty(builder, loc, type, sizes)).getResult(0);
}

Value tessera::createParallel(OpBuilder &builder, Location loc, ValueRange inputs, ArrayRef<AffineMap> maps, Value init,
                              function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  int64_t rank = cast<RankedTensorType>(init.getType()).getRank();
  SmallVector<AffineMap> allMaps(maps);
  allMaps.push_back(builder.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(builder, loc, init.getType(), inputs, init, allMaps, iterators,
                                   [&](OpBuilder &b, Location l, ValueRange args) {
                                     Value result = body(b, l, args.drop_back());
                                     linalg::YieldOp::create(b, l, toMemory(b, l, result));
                                   })
      .getResult(0);
}
