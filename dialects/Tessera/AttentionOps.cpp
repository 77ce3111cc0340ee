// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

static bool mayBeEqual(int64_t a, int64_t b) { return ShapedType::isDynamic(a) || ShapedType::isDynamic(b) || a == b; }

LogicalResult FlashAttentionOp::verify() {
  RankedTensorType query = getQuery().getType(), key = getKey().getType(), value = getValue().getType();
  for (RankedTensorType type : {query, key, value, getOutput().getType()})
    if (type.getRank() != 4 || type.getElementType() != query.getElementType())
      return emitOpError("(C1) expected tensors of rank 4 and one element type; got ") << type;
  ArrayRef<int64_t> q = query.getShape(), k = key.getShape(), v = value.getShape();
  if (!mayBeEqual(q[0], k[0]) || !mayBeEqual(q[3], k[3]) || !mayBeEqual(k[0], v[0]) || !mayBeEqual(k[1], v[1]) ||
      !mayBeEqual(k[2], v[2]))
    return emitOpError("(C2) expected [B,H,Sq,D], [B,Hkv,Sk,D] and [B,Hkv,Sk,Dv]; got ")
           << query << ", " << key << " and " << value;
  if (!ShapedType::isDynamic(q[1]) && !ShapedType::isDynamic(k[1]) && (k[1] == 0 ? q[1] != 0 : q[1] % k[1] != 0))
    return emitOpError("(C3) expected a number of heads that is a multiple of the keys'; got ")
           << q[1] << " and " << k[1];
  if (Value mask = getMask()) {
    auto type = cast<RankedTensorType>(mask.getType());
    const int64_t whole[] = {q[0], q[1], q[2], k[2]};
    // Booleans are bytes once they are in memory.
    Type element = type.getElementType();
    bool fits = type.getRank() <= 4 && (element.isInteger(1) || element.isInteger(8) || isa<FloatType>(element));
    for (int64_t dim = 0; fits && dim < type.getRank(); ++dim)
      fits = type.getDimSize(dim) == 1 || mayBeEqual(type.getDimSize(dim), whole[4 - type.getRank() + dim]);
    if (!fits)
      return emitOpError("(C4) expected a mask of booleans or floats that broadcasts to [B,H,Sq,Sk]; got ") << type;
  }
  const int64_t output[] = {q[0], q[1], q[2], v[3]};
  if (getOutput().getType().getShape() != ArrayRef(output))
    return emitOpError("(C5) expected the output to be ")
           << RankedTensorType::get(output, query.getElementType()) << "; got " << getOutput().getType();
  Type accumulator = query.getElementType().isF64() ? query.getElementType() : Float32Type::get(getContext());
  if (auto expected = RankedTensorType::get(q.drop_back(), accumulator); getLse() && getLse().getType() != expected)
    return emitOpError("(C5) expected lse to be ") << expected << "; got " << getLse().getType();
  if (std::optional<ArrayRef<int64_t>> window = getWindow();
      window && (window->size() != 2 || llvm::any_of(*window, [](int64_t bound) { return bound < -1; })))
    return emitOpError("(C6) expected a window of two bounds of -1 or more; got [") << *window << "]";
  std::optional<APFloat> dropout = getDropout();
  if (dropout.has_value() != static_cast<bool>(getSeed()) ||
      (dropout && !(dropout->convertToDouble() >= 0 && dropout->convertToDouble() < 1)))
    return emitOpError("(C7) expected a dropout of 0 or more and below 1, with a seed");
  return success();
}

LogicalResult FlashAttentionOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  auto sizeOf = [&](Value tensor, int64_t dim) { return tensor::getMixedSize(builder, getLoc(), tensor, dim); };
  SmallVector<OpFoldResult> rows = {sizeOf(getQuery(), 0), sizeOf(getQuery(), 1), sizeOf(getQuery(), 2)};
  shapes.push_back(rows);
  shapes.back().push_back(sizeOf(getValue(), 3));
  if (getLse())
    shapes.push_back(rows);
  return success();
}
