// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Schedule/AttentionLayout.h"

#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

//===----------------------------------------------------------------------===//
// Sizes and slices
//===----------------------------------------------------------------------===//

OpFoldResult TileBuilder::apply(AffineExpr expr, const Sizes &operands) {
  return affine::makeComposedFoldedAffineApply(*this, getLoc(), expr, operands);
}

OpFoldResult TileBuilder::minimum(ArrayRef<AffineExpr> exprs, const Sizes &operands) {
  AffineMap map = AffineMap::inferFromExprList({exprs}, getContext()).front();
  return affine::makeComposedFoldedAffineMin(*this, getLoc(), map, operands);
}

OpFoldResult TileBuilder::maximum(ArrayRef<AffineExpr> exprs, const Sizes &operands) {
  AffineMap map = AffineMap::inferFromExprList({exprs}, getContext()).front();
  return affine::makeComposedFoldedAffineMax(*this, getLoc(), map, operands);
}

Value TileBuilder::asValue(OpFoldResult size) { return getValueOrCreateConstantIndexOp(*this, getLoc(), size); }

Value TileBuilder::readIndex(Value tensor, ValueRange position, OpFoldResult low, OpFoldResult high) {
  Value element = tensor::ExtractOp::create(*this, tensor, position);
  Value index = arith::IndexCastOp::create(*this, getIndexType(), element);
  Value bounded = createOrFold<arith::MaxSIOp>(index, asValue(low));
  return createOrFold<arith::MinSIOp>(bounded, asValue(high));
}

Value TileBuilder::slice(Value tensor, const Sizes &offsets, const Sizes &sizes, ArrayRef<int64_t> kept) {
  Sizes strides(offsets.size(), index(1));
  SmallVector<int64_t> shape;
  for (int64_t dim : kept)
    shape.push_back(getConstantIntValue(sizes[dim]).value_or(ShapedType::kDynamic));
  auto sliced = RankedTensorType::get(shape, cast<RankedTensorType>(tensor.getType()).getElementType());
  return tensor::ExtractSliceOp::create(*this, sliced, tensor, offsets, sizes, strides);
}

//===----------------------------------------------------------------------===//
// What layouts share
//===----------------------------------------------------------------------===//

Value AttentionLayout::queries(const QueryTile &tile) {
  auto [offsets, sizes] = outputSlice(tile);
  sizes.back() = depth;
  return b.slice(query, offsets, sizes, {rowDim(tile), static_cast<int64_t>(sizes.size()) - 1});
}

Value AttentionLayout::keySlice(Value tensor, const QueryTile &tile, const KeyBlock &block, OpFoldResult width) {
  auto [headDim, keyDim] = headAndKeyDims();
  Sizes offsets = block.offsets, sizes(offsets.size(), b.index(1));
  offsets[headDim] = tile.keyHead;
  sizes[keyDim] = block.count;
  offsets.push_back(b.index(0));
  sizes.push_back(width);
  return b.slice(tensor, offsets, sizes, {keyDim, static_cast<int64_t>(sizes.size()) - 1});
}

SmallVector<Value> AttentionLayout::forEachBlock(OpFoldResult first, OpFoldResult last, int64_t step, ValueRange init,
                                                 Visit visit) {
  auto loop = scf::ForOp::create(b, b.asValue(first), b.asValue(last), b.asValue(b.index(step)), init);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  OpFoldResult firstKey = loop.getInductionVar();
  KeyBlock block{firstKey, b.minimum({b.getAffineConstantExpr(step), b.s0 - b.s1}, {last, firstKey}),
                 keyOffsets(firstKey)};
  scf::YieldOp::create(b, visit(block, loop.getRegionIterArgs()));
  return loop.getResults();
}

//===----------------------------------------------------------------------===//
// The layouts
//===----------------------------------------------------------------------===//

namespace {

/// Queries and output are [B, H, S, D].
class BatchLayout : public AttentionLayout {
public:
  BatchLayout(TileBuilder &b, Value query, Value key, Value value) : AttentionLayout(b, query, key, value) {
    sequences = findSize(query, 0);
    heads = findSize(query, 1);
    maxQueries = queryCount = findSize(query, 2);
    depth = findSize(query, 3);
    valueDepth = findSize(value, 3);
  }

  std::pair<Sizes, Sizes> outputSlice(const QueryTile &tile) override {
    auto [offsets, sizes] = lseSlice(tile);
    offsets.push_back(b.index(0));
    sizes.push_back(valueDepth);
    return {offsets, sizes};
  }

  std::pair<Sizes, Sizes> lseSlice(const QueryTile &tile) override {
    Sizes sizes(3, b.index(1));
    sizes[rowDim(tile)] = tile.rows;
    return {{tile.sequence, tile.head, tile.firstQuery}, sizes};
  }

protected:
  int64_t rowDim(const QueryTile &tile) const override { return tile.rowsAreHeads ? 1 : 2; }
};

/// Keys and values are [B, Hkv, S, D].
class DenseLayout : public BatchLayout {
public:
  DenseLayout(TileBuilder &b, FlashAttentionOp op) : BatchLayout(b, op.getQuery(), op.getKey(), op.getValue()) {
    keyHeads = findSize(key, 1);
    maxKeys = keyCount = findSize(key, 2);
    firstPosition = b.apply(b.s0 - b.s1, {keyCount, queryCount});
  }

  void enterSequence(Value number) override { sequence = number; }

protected:
  Sizes keyOffsets(OpFoldResult firstKey) override { return {sequence, b.index(0), firstKey}; }
  std::pair<int64_t, int64_t> headAndKeyDims() const override { return {1, 2}; }

private:
  Value sequence;
};

/// Keys and values are pages, [pages, page, Hkv, D], which a table names.
class PagedLayout : public BatchLayout {
public:
  PagedLayout(TileBuilder &b, PagedAttentionOp op) : BatchLayout(b, op.getQuery(), op.getKey(), op.getValue()), op(op) {
    keyHeads = findSize(key, 2);
    pageSize = findSize(key, 1);
    lastPage = b.apply(b.s0 - 1, {findSize(key, 0)});
    maxKeys = b.apply(b.s0 * b.s1, {findSize(op.getBlockTables(), 1), pageSize});
  }

  void enterSequence(Value number) override {
    sequence = number;
    Value keys = b.readIndex(op.getSeqLens(), number, b.index(0), maxKeys);
    presentQueries = b.readIndex(op.getNewLens(), number, b.index(0), keys);
    keyCount = keys;
    firstPosition = b.apply(b.s0 - b.s1, {keys, presentQueries});
  }

  SmallVector<Value> forEachBlock(OpFoldResult first, OpFoldResult last, int64_t step, ValueRange init,
                                  Visit visit) override {
    // Whole pages: what comes before `first` in its page is hidden by the window that `first` comes from.
    Value inPage = b.createOrFold<arith::RemUIOp>(b.asValue(first), b.asValue(pageSize));
    OpFoldResult start = b.apply(b.s0 - b.s1, {first, inPage});
    auto pages = scf::ForOp::create(b, b.asValue(start), b.asValue(last), b.asValue(pageSize), init);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(pages.getBody());
    OpFoldResult firstKey = pages.getInductionVar();
    Value row = b.createOrFold<arith::DivUIOp>(b.asValue(firstKey), b.asValue(pageSize));
    page = b.readIndex(op.getBlockTables(), {sequence, row}, b.index(0), lastPage);
    std::optional<int64_t> known = getConstantIntValue(pageSize);
    SmallVector<Value> results;
    if (known && *known <= step) {
      KeyBlock block{firstKey, b.minimum({b.getAffineConstantExpr(*known), b.s0 - b.s1}, {last, firstKey}),
                     keyOffsets(b.index(0))};
      results = visit(block, pages.getRegionIterArgs());
    } else {
      OpFoldResult count = b.minimum({b.s2, b.s0 - b.s1}, {last, firstKey, pageSize});
      results = AttentionLayout::forEachBlock(
          b.index(0), count, step, pages.getRegionIterArgs(), [&](const KeyBlock &block, ValueRange carried) {
            return visit({b.apply(b.s0 + b.s1, {firstKey, block.first}), block.count, block.offsets}, carried);
          });
    }
    scf::YieldOp::create(b, results);
    return pages.getResults();
  }

protected:
  Sizes keyOffsets(OpFoldResult rowInPage) override { return {page, rowInPage, b.index(0)}; }
  std::pair<int64_t, int64_t> headAndKeyDims() const override { return {2, 1}; }

private:
  PagedAttentionOp op;
  OpFoldResult pageSize, lastPage;
  Value sequence, page;
};

/// All operands are [T, H, D]; starts say where a sequence begins and the one before it ends.
class VarlenLayout : public AttentionLayout {
public:
  VarlenLayout(TileBuilder &b, FlashAttentionVarlenOp op)
      : AttentionLayout(b, op.getQuery(), op.getKey(), op.getValue()), op(op) {
    sequences = b.maximum({b.getAffineConstantExpr(0), b.s0 - 1}, {findSize(op.getQueryStarts(), 0)});
    heads = findSize(query, 1);
    keyHeads = findSize(key, 1);
    maxQueries = findSize(query, 0);
    maxKeys = findSize(key, 0);
    depth = findSize(query, 2);
    valueDepth = findSize(value, 2);
  }

  void enterSequence(Value number) override {
    Value next = arith::AddIOp::create(b, number, b.asValue(b.index(1)));
    auto range = [&](Value starts, OpFoldResult size) -> std::pair<Value, OpFoldResult> {
      Value start = b.readIndex(starts, number, b.index(0), size);
      Value end = b.readIndex(starts, next, start, size);
      return {start, b.apply(b.s0 - b.s1, {end, start})};
    };
    std::tie(queryStart, queryCount) = range(op.getQueryStarts(), maxQueries);
    std::tie(keyStart, keyCount) = range(op.getKeyStarts(), maxKeys);
    firstPosition = b.apply(b.s0 - b.s1, {keyCount, queryCount});
  }

  std::pair<Sizes, Sizes> outputSlice(const QueryTile &tile) override {
    return {{row(tile), tile.head, b.index(0)}, {tile.rows, b.index(1), valueDepth}};
  }

  std::pair<Sizes, Sizes> lseSlice(const QueryTile &tile) override {
    return {{tile.head, row(tile)}, {b.index(1), tile.rows}};
  }

protected:
  int64_t rowDim(const QueryTile &) const override { return 0; }
  Sizes keyOffsets(OpFoldResult firstKey) override { return {b.apply(b.s0 + b.s1, {keyStart, firstKey}), b.index(0)}; }
  std::pair<int64_t, int64_t> headAndKeyDims() const override { return {1, 0}; }

private:
  OpFoldResult row(const QueryTile &tile) { return b.apply(b.s0 + b.s1, {queryStart, tile.firstQuery}); }

  FlashAttentionVarlenOp op;
  Value queryStart, keyStart;
};

} // namespace

std::unique_ptr<AttentionLayout> tessera::createLayout(TileBuilder &b, FlashAttentionOp op) {
  return std::make_unique<DenseLayout>(b, op);
}

std::unique_ptr<AttentionLayout> tessera::createLayout(TileBuilder &b, FlashAttentionVarlenOp op) {
  return std::make_unique<VarlenLayout>(b, op);
}

std::unique_ptr<AttentionLayout> tessera::createLayout(TileBuilder &b, PagedAttentionOp op) {
  return std::make_unique<PagedLayout>(b, op);
}
