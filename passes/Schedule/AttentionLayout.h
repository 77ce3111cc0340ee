// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where the sequences of an attention lie in its operands: one in each row of a batch, one after the other, or in
// pages.

#ifndef TESSERA_PASSES_SCHEDULE_ATTENTIONLAYOUT_H
#define TESSERA_PASSES_SCHEDULE_ATTENTIONLAYOUT_H

#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace tessera {

using Sizes = llvm::SmallVector<mlir::OpFoldResult>;

/// Sizes and slices, folded where they are known.
struct TileBuilder : mlir::ImplicitLocOpBuilder {
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  mlir::AffineExpr s0 = getAffineSymbolExpr(0), s1 = getAffineSymbolExpr(1), s2 = getAffineSymbolExpr(2);

  mlir::OpFoldResult index(int64_t value) { return getIndexAttr(value); }
  mlir::OpFoldResult apply(mlir::AffineExpr expr, const Sizes &operands);
  mlir::OpFoldResult minimum(llvm::ArrayRef<mlir::AffineExpr> exprs, const Sizes &operands);
  mlir::OpFoldResult maximum(llvm::ArrayRef<mlir::AffineExpr> exprs, const Sizes &operands);
  mlir::Value asValue(mlir::OpFoldResult size);
  /// An element of a tensor of integers, as an index between two others.
  mlir::Value readIndex(mlir::Value tensor, mlir::ValueRange position, mlir::OpFoldResult low, mlir::OpFoldResult high);
  /// A slice of which only some dimensions are kept; the others have size 1.
  mlir::Value slice(mlir::Value tensor, const Sizes &offsets, const Sizes &sizes, llvm::ArrayRef<int64_t> kept);
};

/// Rows of one tile: queries of one head, or, where each head has a single one, the heads that read the same keys.
struct QueryTile {
  mlir::OpFoldResult sequence, head, keyHead, firstQuery, rows;
  bool rowsAreHeads = false;
};

/// Keys that lie one after the other: the first one's position in the sequence, how many they are, and where they begin
/// in the key and value operands, whose last dimension is left out.
struct KeyBlock {
  mlir::OpFoldResult first, count;
  Sizes offsets;
};

class AttentionLayout {
public:
  using Visit = llvm::function_ref<llvm::SmallVector<mlir::Value>(const KeyBlock &, mlir::ValueRange)>;

  AttentionLayout(TileBuilder &b, mlir::Value query, mlir::Value key, mlir::Value value)
      : b(b), query(query), key(key), value(value) {}
  virtual ~AttentionLayout() = default;

  /// For all sequences: how many there are, and how many queries and keys one has at most.
  mlir::OpFoldResult sequences, heads, keyHeads, maxQueries, maxKeys, depth, valueDepth;
  /// Of the sequence at hand: how many rows there are to be written, how many keys, and the key position of query 0.
  mlir::OpFoldResult queryCount, keyCount, firstPosition;
  /// How many of the queries are there, where others are written as if they saw no key; null if all are.
  mlir::Value presentQueries;

  /// Emits what is particular to a sequence.
  virtual void enterSequence(mlir::Value sequence) = 0;
  mlir::Value queries(const QueryTile &tile);
  mlir::Value keys(const QueryTile &tile, const KeyBlock &block) { return keySlice(key, tile, block, depth); }
  mlir::Value values(const QueryTile &tile, const KeyBlock &block) { return keySlice(value, tile, block, valueDepth); }
  /// Where a tile's rows are in the output and in lse.
  virtual std::pair<Sizes, Sizes> outputSlice(const QueryTile &tile) = 0;
  virtual std::pair<Sizes, Sizes> lseSlice(const QueryTile &tile) = 0;
  /// A loop over the keys between two positions, in blocks of at most `step`, that carries values.
  virtual llvm::SmallVector<mlir::Value> forEachBlock(mlir::OpFoldResult first, mlir::OpFoldResult last, int64_t step,
                                                      mlir::ValueRange init, Visit visit);

protected:
  virtual int64_t rowDim(const QueryTile &tile) const = 0;
  virtual Sizes keyOffsets(mlir::OpFoldResult firstKey) = 0;
  /// The dimensions of key and value that say which head and which position.
  virtual std::pair<int64_t, int64_t> headAndKeyDims() const = 0;
  mlir::Value keySlice(mlir::Value tensor, const QueryTile &tile, const KeyBlock &block, mlir::OpFoldResult width);

  TileBuilder &b;
  mlir::Value query, key, value;
};

std::unique_ptr<AttentionLayout> createLayout(TileBuilder &b, FlashAttentionOp op);
std::unique_ptr<AttentionLayout> createLayout(TileBuilder &b, FlashAttentionVarlenOp op);
std::unique_ptr<AttentionLayout> createLayout(TileBuilder &b, PagedAttentionOp op);

} // namespace tessera

#endif // TESSERA_PASSES_SCHEDULE_ATTENTIONLAYOUT_H
