// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

static bool mayBeEqual(int64_t a, int64_t b) { return ShapedType::isDynamic(a) || ShapedType::isDynamic(b) || a == b; }

/// Checks (C1): operands and output of one rank and element type.
static LogicalResult verifyRanks(Operation *op, int64_t rank, ArrayRef<RankedTensorType> types) {
  for (RankedTensorType type : types)
    if (type.getRank() != rank || type.getElementType() != types.front().getElementType())
      return op->emitOpError("(C1) expected tensors of rank ") << rank << " and one element type; got " << type;
  return success();
}

/// Checks (C3): each head of the keys serves as many heads of the queries.
static LogicalResult verifyHeads(Operation *op, int64_t heads, int64_t keyHeads) {
  if (!ShapedType::isDynamic(heads) && !ShapedType::isDynamic(keyHeads) &&
      (keyHeads == 0 ? heads != 0 : heads % keyHeads != 0))
    return op->emitOpError("(C3) expected a number of heads that is a multiple of the keys'; got ")
           << heads << " and " << keyHeads;
  return success();
}

/// Checks (C5): the results are `output`, and `lse` of the accumulator's type.
static LogicalResult verifyResults(Operation *op, Type element, ArrayRef<int64_t> output, ArrayRef<int64_t> lse) {
  Type accumulator = element.isF64() ? element : Float32Type::get(op->getContext());
  const std::pair<StringRef, RankedTensorType> expected[] = {{"the output", RankedTensorType::get(output, element)},
                                                             {"lse", RankedTensorType::get(lse, accumulator)}};
  for (auto [result, wanted] : llvm::zip_first(op->getResults(), expected))
    if (result.getType() != wanted.second)
      return op->emitOpError("(C5) expected ")
             << wanted.first << " to be " << wanted.second << "; got " << result.getType();
  return success();
}

/// Checks (C6).
static LogicalResult verifyWindow(Operation *op, std::optional<ArrayRef<int64_t>> window) {
  if (window && (window->size() != 2 || llvm::any_of(*window, [](int64_t bound) { return bound < -1; })))
    return op->emitOpError("(C6) expected a window of two bounds of -1 or more; got [") << *window << "]";
  return success();
}

/// Checks (C7).
static LogicalResult verifyDropout(Operation *op, std::optional<APFloat> dropout, Value seed) {
  if (dropout.has_value() != static_cast<bool>(seed) ||
      (dropout && !(dropout->convertToDouble() >= 0 && dropout->convertToDouble() < 1)))
    return op->emitOpError("(C7) expected a dropout of 0 or more and below 1, with a seed");
  return success();
}

LogicalResult FlashAttentionOp::verify() {
  RankedTensorType query = getQuery().getType(), key = getKey().getType(), value = getValue().getType();
  if (failed(verifyRanks(*this, 4, {query, key, value, getOutput().getType()})))
    return failure();
  ArrayRef<int64_t> q = query.getShape(), k = key.getShape(), v = value.getShape();
  if (!mayBeEqual(q[0], k[0]) || !mayBeEqual(q[3], k[3]) || !mayBeEqual(k[0], v[0]) || !mayBeEqual(k[1], v[1]) ||
      !mayBeEqual(k[2], v[2]))
    return emitOpError("(C2) expected [B,H,Sq,D], [B,Hkv,Sk,D] and [B,Hkv,Sk,Dv]; got ")
           << query << ", " << key << " and " << value;
  if (failed(verifyHeads(*this, q[1], k[1])))
    return failure();
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
  if (failed(verifyResults(*this, query.getElementType(), {q[0], q[1], q[2], v[3]}, q.drop_back())) ||
      failed(verifyWindow(*this, getWindow())))
    return failure();
  return verifyDropout(*this, getDropout(), getSeed());
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

LogicalResult FlashAttentionVarlenOp::verify() {
  RankedTensorType query = getQuery().getType(), key = getKey().getType(), value = getValue().getType();
  if (failed(verifyRanks(*this, 3, {query, key, value, getOutput().getType()})))
    return failure();
  ArrayRef<int64_t> q = query.getShape(), k = key.getShape(), v = value.getShape();
  if (!mayBeEqual(q[2], k[2]) || !mayBeEqual(k[0], v[0]) || !mayBeEqual(k[1], v[1]))
    return emitOpError("(C2) expected [T,H,D], [Tk,Hkv,D] and [Tk,Hkv,Dv]; got ")
           << query << ", " << key << " and " << value;
  if (failed(verifyHeads(*this, q[1], k[1])))
    return failure();
  if (!mayBeEqual(getQueryStarts().getType().getDimSize(0), getKeyStarts().getType().getDimSize(0)))
    return emitOpError("(C4) expected as many starts of queries as of keys; got ")
           << getQueryStarts().getType() << " and " << getKeyStarts().getType();
  if (failed(verifyResults(*this, query.getElementType(), {q[0], q[1], v[2]}, {q[1], q[0]})) ||
      failed(verifyWindow(*this, getWindow())))
    return failure();
  return verifyDropout(*this, getDropout(), getSeed());
}

LogicalResult FlashAttentionVarlenOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  auto sizeOf = [&](Value tensor, int64_t dim) { return tensor::getMixedSize(builder, getLoc(), tensor, dim); };
  OpFoldResult rows = sizeOf(getQuery(), 0), heads = sizeOf(getQuery(), 1);
  shapes.push_back({rows, heads, sizeOf(getValue(), 2)});
  if (getLse())
    shapes.push_back({heads, rows});
  return success();
}

LogicalResult PagedAttentionOp::verify() {
  RankedTensorType query = getQuery().getType(), key = getKey().getType(), value = getValue().getType();
  if (failed(verifyRanks(*this, 4, {query, key, value, getOutput().getType()})))
    return failure();
  ArrayRef<int64_t> q = query.getShape(), k = key.getShape(), v = value.getShape();
  if (!mayBeEqual(q[3], k[3]) || !mayBeEqual(k[0], v[0]) || !mayBeEqual(k[1], v[1]) || !mayBeEqual(k[2], v[2]))
    return emitOpError("(C2) expected [B,H,S,D], [pages,page,Hkv,D] and [pages,page,Hkv,Dv]; got ")
           << query << ", " << key << " and " << value;
  if (failed(verifyHeads(*this, q[1], k[2])))
    return failure();
  for (RankedTensorType type : {getBlockTables().getType(), getSeqLens().getType(), getNewLens().getType()})
    if (!mayBeEqual(q[0], type.getDimSize(0)))
      return emitOpError("(C4) expected tables and lengths of ") << q[0] << " sequences; got " << type;
  if (failed(verifyResults(*this, query.getElementType(), {q[0], q[1], q[2], v[3]}, {})))
    return failure();
  if (std::optional<uint64_t> window = getWindow(); window && static_cast<int64_t>(*window) < 0)
    return emitOpError("(C6) expected a window of 0 or more; got ") << static_cast<int64_t>(*window);
  return success();
}

LogicalResult PagedAttentionOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  auto sizeOf = [&](Value tensor, int64_t dim) { return tensor::getMixedSize(builder, getLoc(), tensor, dim); };
  shapes.push_back({sizeOf(getQuery(), 0), sizeOf(getQuery(), 1), sizeOf(getQuery(), 2), sizeOf(getValue(), 3)});
  return success();
}
