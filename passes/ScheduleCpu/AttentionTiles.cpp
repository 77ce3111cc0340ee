// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attention by tiles of queries and keys with an online softmax (T. Dao et al., FlashAttention, 2022; M. Milakov and
// N. Gimelshein, Online normalizer calculation for softmax, 2018).

#include "passes/ScheduleCpu/AttentionTiles.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace tessera;

// The scores of one tile (192 KiB in f32) stay in a second-level cache, and keys and values that were packed for a tile
// are used by all of its rows; rows are a multiple of the matmul micro-kernel's 6 and 8.
constexpr int64_t kQueryRows = 192;
constexpr int64_t kKeys = 256;

namespace {

using Sizes = SmallVector<OpFoldResult>;

class AttentionTiles {
public:
  AttentionTiles(func::FuncOp kernel, FlashAttentionOp op)
      : kernel(kernel), op(op), b(op.getLoc(), op), type(op.getQuery().getType().getElementType()),
        compute(type.isF64() ? type : Type(b.getF32Type())) {}

  void run();

private:
  /// What one tile of queries carries from one tile of keys to the next.
  struct State {
    Value output, maximum, sum;
  };

  using BodyFn = llvm::function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)>;
  enum Loops : uint8_t { Parallel, ReduceColumns, ReduceDepth };

  OpFoldResult index(int64_t value) { return b.getIndexAttr(value); }
  OpFoldResult apply(AffineExpr expr, Sizes operands) {
    return affine::makeComposedFoldedAffineApply(b, b.getLoc(), expr, operands);
  }
  OpFoldResult minimum(ArrayRef<AffineExpr> exprs, Sizes operands) {
    AffineMap map = AffineMap::inferFromExprList({exprs}, b.getContext()).front();
    return affine::makeComposedFoldedAffineMin(b, b.getLoc(), map, operands);
  }
  OpFoldResult maximum(ArrayRef<AffineExpr> exprs, Sizes operands) {
    AffineMap map = AffineMap::inferFromExprList({exprs}, b.getContext()).front();
    return affine::makeComposedFoldedAffineMax(b, b.getLoc(), map, operands);
  }
  Value asValue(OpFoldResult size) { return getValueOrCreateConstantIndexOp(b, b.getLoc(), size); }
  Value number(OpBuilder &nested, double value) {
    return arith::ConstantOp::create(nested, b.getLoc(), nested.getFloatAttr(compute, value));
  }
  double infinity() const { return std::numeric_limits<double>::infinity(); }

  Value createFilled(Sizes sizes, double value);
  Value slice(Value tensor, Sizes offsets, Sizes sizes, ArrayRef<int64_t> kept);
  SmallVector<Value> emit(Loops loops, ArrayRef<std::pair<Value, AffineMap>> inputs,
                          ArrayRef<std::pair<Value, AffineMap>> inits, BodyFn body);
  Value multiply(Value left, Value right, AffineMap rightMap, Value init);
  Value widen(OpBuilder &nested, Location loc, Value x) {
    return x.getType() == compute ? x : arith::ExtFOp::create(nested, loc, compute, x).getResult();
  }

  Value scaleQueries(Value queries);
  State addKeys(const State &state, Value queries, OpFoldResult firstKey, OpFoldResult lastKey);
  Value hide(Value scores, OpFoldResult firstKey, OpFoldResult keys);
  Value dropWeights(Value weights, OpFoldResult firstKey);
  void finish(const State &state, scf::ForallOp loop);

  func::FuncOp kernel;
  FlashAttentionOp op;
  ImplicitLocOpBuilder b;
  /// The type in memory, and that of all arithmetic.
  Type type, compute;
  AffineExpr s0 = getAffineSymbolExpr(0, b.getContext()), s1 = getAffineSymbolExpr(1, b.getContext()),
             s2 = getAffineSymbolExpr(2, b.getContext());
  AffineMap whole = b.getMultiDimIdentityMap(2), rowsOnly = whole.dropResult(1);
  OpFoldResult headCount, queryCount, keyCount, depth, valueDepth;
  /// Rows of a tile are queries of one head, or, where each head has a single one, the heads that read the same keys:
  /// these are then read once for all of them.
  bool rowsAreHeads = false;
  /// The tile at hand: its first head and query, how many rows it has, and what sets a row apart.
  OpFoldResult batch, head, keyHead, firstQuery, rows;

  /// Where the tile begins in [B, H, Sq], and its sizes there.
  Sizes tileOffsets() { return {batch, head, firstQuery}; }
  Sizes tileSizes() { return {index(1), rowsAreHeads ? rows : index(1), rowsAreHeads ? index(1) : rows}; }
  /// The key position of the tile's first query.
  OpFoldResult diagonal() { return apply(s0 + s1 - s2, {firstQuery, keyCount, queryCount}); }
};

} // namespace

Value AttentionTiles::createFilled(Sizes sizes, double value) {
  Value empty = tensor::EmptyOp::create(b, sizes, compute);
  return linalg::FillOp::create(b, number(b, value), empty).getResult(0);
}

/// A slice of which only some dimensions are kept; the others have size 1.
Value AttentionTiles::slice(Value tensor, Sizes offsets, Sizes sizes, ArrayRef<int64_t> kept) {
  Sizes strides(offsets.size(), index(1));
  SmallVector<int64_t> shape;
  for (int64_t dim : kept)
    shape.push_back(getConstantIntValue(sizes[dim]).value_or(ShapedType::kDynamic));
  auto sliced = RankedTensorType::get(shape, cast<RankedTensorType>(tensor.getType()).getElementType());
  return tensor::ExtractSliceOp::create(b, sliced, tensor, offsets, sizes, strides);
}

SmallVector<Value> AttentionTiles::emit(Loops loops, ArrayRef<std::pair<Value, AffineMap>> inputs,
                                        ArrayRef<std::pair<Value, AffineMap>> inits, BodyFn body) {
  SmallVector<Value> ins, outs;
  SmallVector<AffineMap> maps;
  for (auto [value, map] : inputs) {
    ins.push_back(value);
    maps.push_back(map);
  }
  for (auto [value, map] : inits) {
    outs.push_back(value);
    maps.push_back(map);
  }
  SmallVector<utils::IteratorType> iterators(maps.front().getNumDims(), utils::IteratorType::parallel);
  if (loops != Parallel)
    iterators.back() = utils::IteratorType::reduction;
  auto generic = linalg::GenericOp::create(b, ValueRange(outs).getTypes(), ins, outs, maps, iterators,
                                           [&](OpBuilder &nested, Location loc, ValueRange args) {
                                             linalg::YieldOp::create(nested, loc, body(nested, loc, args));
                                           });
  return llvm::to_vector_of<Value>(generic.getResults());
}

/// init + left * right, with `left` as [m, k] and `right` as its map says.
Value AttentionTiles::multiply(Value left, Value right, AffineMap rightMap, Value init) {
  AffineExpr m = b.getAffineDimExpr(0), n = b.getAffineDimExpr(1), k = b.getAffineDimExpr(2);
  auto map = [&](AffineExpr row, AffineExpr column) { return AffineMap::get(3, 0, {row, column}, b.getContext()); };
  return emit(ReduceDepth, {{left, map(m, k)}, {right, rightMap}}, {{init, map(m, n)}},
              [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                Value product =
                    arith::MulFOp::create(nested, loc, widen(nested, loc, args[0]), widen(nested, loc, args[1]));
                return {arith::AddFOp::create(nested, loc, args[2], product)};
              })
      .front();
}

/// The tile's queries, in the type of arithmetic, times the scale: once for all keys.
Value AttentionTiles::scaleQueries(Value queries) {
  Value scale;
  if (std::optional<APFloat> given = op.getScale()) {
    scale = number(b, given->convertToDouble());
  } else {
    Value size = arith::IndexCastOp::create(b, b.getI64Type(), asValue(depth));
    scale = arith::DivFOp::create(b, number(b, 1), math::SqrtOp::create(b, arith::SIToFPOp::create(b, compute, size)));
  }
  Value init = tensor::EmptyOp::create(b, {rows, depth}, compute);
  return emit(Parallel, {{queries, whole}}, {{init, whole}},
              [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                return {arith::MulFOp::create(nested, loc, widen(nested, loc, args[0]), scale)};
              })
      .front();
}

/// Adds the mask to the scores of a tile, and makes those of hidden keys -inf.
Value AttentionTiles::hide(Value scores, OpFoldResult firstKey, OpFoldResult keys) {
  SmallVector<std::pair<Value, AffineMap>> inputs;
  if (Value mask = op.getMask()) {
    auto maskType = cast<RankedTensorType>(mask.getType());
    int64_t rank = maskType.getRank(), rowDim = rank - (rowsAreHeads ? 3 : 2);
    Sizes offsets = tileOffsets(), sizes = tileSizes();
    offsets.push_back(firstKey);
    sizes.push_back(keys);
    offsets.erase(offsets.begin(), offsets.end() - rank);
    sizes.erase(sizes.begin(), sizes.end() - rank);
    SmallVector<int64_t> kept;
    SmallVector<AffineExpr> read;
    for (int64_t dim = 0; dim < rank; ++dim) {
      bool isBroadcast = maskType.getDimSize(dim) == 1;
      if (isBroadcast) {
        offsets[dim] = index(0);
        sizes[dim] = index(1);
      }
      if (dim != rowDim && dim != rank - 1)
        continue;
      kept.push_back(dim);
      read.push_back(isBroadcast ? b.getAffineConstantExpr(0) : b.getAffineDimExpr(dim == rowDim ? 0 : 1));
    }
    inputs.push_back({slice(mask, offsets, sizes, kept), AffineMap::get(2, 0, read, b.getContext())});
  }
  std::optional<ArrayRef<int64_t>> window = op.getWindow();
  if (inputs.empty() && !op.getIsCausal() && !window)
    return scores;
  // Counted from the tile's first key.
  Value firstPosition = arith::SubIOp::create(b, asValue(diagonal()), asValue(firstKey));
  return emit(Parallel, inputs, {{scores, whole}},
              [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                Value score = args.back(), hidden = number(nested, -infinity());
                Value isHidden;
                auto hideIf = [&](arith::CmpIPredicate predicate, Value x, Value y) {
                  Value condition = arith::CmpIOp::create(nested, loc, predicate, x, y);
                  isHidden = isHidden ? arith::OrIOp::create(nested, loc, isHidden, condition).getResult() : condition;
                };
                auto constant = [&](int64_t n) { return arith::ConstantIndexOp::create(nested, loc, n).getResult(); };
                if (args.size() == 2 && isa<IntegerType>(args[0].getType())) {
                  hideIf(arith::CmpIPredicate::eq, args[0],
                         arith::ConstantOp::create(nested, loc, nested.getZeroAttr(args[0].getType())));
                } else if (args.size() == 2) {
                  Value term = args[0];
                  if (term.getType().getIntOrFloatBitWidth() > compute.getIntOrFloatBitWidth())
                    term = arith::TruncFOp::create(nested, loc, compute, term);
                  score = arith::AddFOp::create(nested, loc, score, widen(nested, loc, term));
                }
                int64_t left = window ? (*window)[0] : -1;
                int64_t right = op.getIsCausal() ? 0 : window ? (*window)[1] : -1;
                Value key = linalg::IndexOp::create(nested, loc, 1);
                Value position = firstPosition;
                if (!rowsAreHeads)
                  position = arith::AddIOp::create(nested, loc, position, linalg::IndexOp::create(nested, loc, 0));
                if (right >= 0)
                  hideIf(arith::CmpIPredicate::sgt, key,
                         right ? arith::AddIOp::create(nested, loc, position, constant(right)).getResult() : position);
                if (left >= 0)
                  hideIf(arith::CmpIPredicate::slt, key, arith::SubIOp::create(nested, loc, position, constant(left)));
                if (isHidden)
                  score = arith::SelectOp::create(nested, loc, isHidden, hidden, score);
                return {score};
              })
      .front();
}

/// The first word of a block of Philox4x32-10. Counter and key are words; a round multiplies two of them, by way of 64
/// bits.
static Value emitPhilox(OpBuilder &b, Location loc, std::array<Value, 4> counter, std::array<Value, 2> key) {
  Type word = b.getI32Type(), wide = b.getI64Type();
  auto constant = [&](uint32_t n) -> Value {
    return arith::ConstantOp::create(b, loc, b.getIntegerAttr(word, static_cast<int32_t>(n)));
  };
  auto multiply = [&](Value x, uint32_t factor) -> std::pair<Value, Value> {
    Value product = arith::MulIOp::create(
        b, loc, arith::ExtUIOp::create(b, loc, wide, x),
        arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(static_cast<int64_t>(factor))).getResult());
    Value shift = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(32));
    Value high = arith::TruncIOp::create(b, loc, word, arith::ShRUIOp::create(b, loc, product, shift));
    return {high, arith::TruncIOp::create(b, loc, word, product)};
  };
  auto combine = [&](Value x, Value y, Value z) -> Value {
    return arith::XOrIOp::create(b, loc, arith::XOrIOp::create(b, loc, x, y), z);
  };
  for (int round = 0; round < 10; ++round) {
    auto [high0, low0] = multiply(counter[0], 0xD2511F53);
    auto [high1, low1] = multiply(counter[2], 0xCD9E8D57);
    counter = {combine(high1, counter[1], key[0]), low1, combine(high0, counter[3], key[1]), low0};
    key = {arith::AddIOp::create(b, loc, key[0], constant(0x9E3779B9)),
           arith::AddIOp::create(b, loc, key[1], constant(0xBB67AE85))};
  }
  return counter[0];
}

/// Zeroes some weights, and divides the others by the probability to be kept.
Value AttentionTiles::dropWeights(Value weights, OpFoldResult firstKey) {
  if (!op.getDropout())
    return weights;
  double dropout = op.getDropout()->convertToDouble();
  auto asWord = [&](OpBuilder &nested, Value index) -> Value {
    return arith::IndexCastOp::create(nested, b.getLoc(), b.getI32Type(), index);
  };
  Value seed = tensor::ExtractOp::create(b, op.getSeed(), ValueRange{});
  Value half = arith::ConstantOp::create(b, b.getI64IntegerAttr(32));
  std::array<Value, 2> key = {arith::TruncIOp::create(b, b.getI32Type(), seed),
                              arith::TruncIOp::create(b, b.getI32Type(), arith::ShRUIOp::create(b, seed, half))};
  Value firstPlane = asValue(apply(s0 * s1 + s2, {batch, headCount, head}));
  Value firstRow = asValue(firstQuery), firstColumn = asValue(firstKey);
  return emit(Parallel, {}, {{weights, whole}},
              [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                auto position = [&](int64_t dim, Value start) {
                  Value index = linalg::IndexOp::create(nested, loc, dim);
                  return asWord(nested, arith::AddIOp::create(nested, loc, start, index));
                };
                Value zero = arith::ConstantOp::create(nested, loc, b.getI32IntegerAttr(0));
                Value row = rowsAreHeads ? asWord(nested, firstRow) : position(0, firstRow);
                Value plane = rowsAreHeads ? position(0, firstPlane) : asWord(nested, firstPlane);
                Value bits = emitPhilox(nested, loc, {position(1, firstColumn), row, plane, zero}, key);
                Value eight = arith::ConstantOp::create(nested, loc, b.getI32IntegerAttr(8));
                Value limit = arith::ConstantOp::create(
                    nested, loc, b.getI32IntegerAttr(static_cast<int32_t>(std::ceil(dropout * (1 << 24)))));
                Value kept = arith::CmpIOp::create(nested, loc, arith::CmpIPredicate::uge,
                                                   arith::ShRUIOp::create(nested, loc, bits, eight), limit);
                Value scaled = arith::MulFOp::create(nested, loc, args[0], number(nested, 1 / (1 - dropout)));
                return {arith::SelectOp::create(nested, loc, kept, scaled, number(nested, 0))};
              })
      .front();
}

/// Takes one tile of keys and values into the state.
AttentionTiles::State AttentionTiles::addKeys(const State &state, Value queries, OpFoldResult firstKey,
                                              OpFoldResult lastKey) {
  OpFoldResult keys = minimum({b.getAffineConstantExpr(kKeys), s0 - s1}, {lastKey, firstKey});
  Sizes offsets = {batch, keyHead, firstKey, index(0)};
  Value keyTile = slice(op.getKey(), offsets, {index(1), index(1), keys, depth}, {2, 3});
  Value valueTile = slice(op.getValue(), offsets, {index(1), index(1), keys, valueDepth}, {2, 3});
  AffineExpr n = b.getAffineDimExpr(1), k = b.getAffineDimExpr(2);
  AffineMap transposed = AffineMap::get(3, 0, {n, k}, b.getContext()),
            straight = AffineMap::get(3, 0, {k, n}, b.getContext());
  Value scores = hide(multiply(queries, keyTile, transposed, createFilled({rows, keys}, 0)), firstKey, keys);

  Value tileMaximum = emit(ReduceColumns, {{scores, whole}}, {{createFilled({rows}, -infinity()), rowsOnly}},
                           [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                             return {arith::MaximumFOp::create(nested, loc, args[0], args[1])};
                           })
                          .front();
  // A row without any key yet has a maximum of -inf, from which nothing may be subtracted.
  auto distance = [&](OpBuilder &nested, Location loc, Value x, Value highest) -> Value {
    Value none = arith::CmpFOp::create(nested, loc, arith::CmpFPredicate::OEQ, highest, number(nested, -infinity()));
    Value shift = arith::SelectOp::create(nested, loc, none, number(nested, 0), highest);
    return math::ExpOp::create(nested, loc, arith::SubFOp::create(nested, loc, x, shift));
  };
  AffineMap row = b.getMultiDimIdentityMap(1);
  Value decayInit = tensor::EmptyOp::create(b, {rows}, compute);
  // In one step, so that the new maximum takes the place of the old one.
  SmallVector<Value> updated = emit(Parallel, {{tileMaximum, row}}, {{state.maximum, row}, {decayInit, row}},
                                    [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                                      Value highest = arith::MaximumFOp::create(nested, loc, args[0], args[1]);
                                      return {highest, distance(nested, loc, args[1], highest)};
                                    });
  Value maximum = updated[0], decay = updated[1];
  auto scaleBy = [&](Value tensor, AffineMap map) {
    return emit(Parallel, {{decay, map.getNumDims() == 1 ? row : rowsOnly}}, {{tensor, map}},
                [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                  return {arith::MulFOp::create(nested, loc, args[1], args[0])};
                })
        .front();
  };
  SmallVector<Value> weights =
      emit(ReduceColumns, {{maximum, rowsOnly}}, {{scores, whole}, {scaleBy(state.sum, row), rowsOnly}},
           [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
             Value weight = distance(nested, loc, args[1], args[0]);
             return {weight, arith::AddFOp::create(nested, loc, args[2], weight)};
           });
  Value output = multiply(dropWeights(weights[0], firstKey), valueTile, straight, scaleBy(state.output, whole));
  return {output, maximum, weights[1]};
}

/// Divides by the sum of the weights, and writes the tile.
void AttentionTiles::finish(const State &state, scf::ForallOp loop) {
  Value init = tensor::EmptyOp::create(b, {rows, valueDepth}, type);
  SmallVector<Value> tiles =
      emit(Parallel, {{state.output, whole}, {state.sum, rowsOnly}}, {{init, whole}},
           [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
             // Without any key the output is 0, as the values' weights are.
             Value none = arith::CmpFOp::create(nested, loc, arith::CmpFPredicate::OEQ, args[1], number(nested, 0));
             Value divisor = arith::SelectOp::create(nested, loc, none, number(nested, 1), args[1]);
             Value mean = arith::DivFOp::create(nested, loc, args[0], divisor);
             return {type == compute ? mean : arith::TruncFOp::create(nested, loc, type, mean).getResult()};
           });
  if (op.getLse()) {
    AffineMap row = b.getMultiDimIdentityMap(1);
    Value lseInit = tensor::EmptyOp::create(b, {rows}, compute);
    llvm::append_range(
        tiles, emit(Parallel, {{state.maximum, row}, {state.sum, row}}, {{lseInit, row}},
                    [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                      Value logarithm = math::LogOp::create(nested, loc, args[1]);
                      Value lse = arith::AddFOp::create(nested, loc, args[0], logarithm);
                      Value none =
                          arith::CmpFOp::create(nested, loc, arith::CmpFPredicate::OEQ, args[1], number(nested, 0));
                      return {arith::SelectOp::create(nested, loc, none, number(nested, -infinity()), lse)};
                    }));
  }
  b.setInsertionPointToEnd(loop.getTerminator().getBody());
  for (auto [tile, target] : llvm::zip_equal(tiles, loop.getRegionIterArgs())) {
    Sizes offsets = tileOffsets(), sizes = tileSizes();
    if (cast<RankedTensorType>(target.getType()).getRank() == 4) {
      offsets.push_back(index(0));
      sizes.push_back(valueDepth);
    }
    Sizes strides(offsets.size(), index(1));
    tensor::ParallelInsertSliceOp::create(b, tile, target, offsets, sizes, strides);
  }
}

void AttentionTiles::run() {
  Value query = op.getQuery(), key = op.getKey();
  queryCount = findSize(query, 2);
  keyCount = findSize(key, 2);
  depth = findSize(query, 3);
  valueDepth = findSize(op.getValue(), 3);
  headCount = findSize(query, 1);
  OpFoldResult keyHeads = findSize(key, 1);
  Value group = arith::DivUIOp::create(b, asValue(headCount), asValue(keyHeads));
  rowsAreHeads = getConstantIntValue(queryCount) == 1 && headCount != keyHeads;
  OpFoldResult rowCount = rowsAreHeads ? OpFoldResult(group) : queryCount;
  OpFoldResult tileRows = minimum({b.getAffineConstantExpr(kQueryRows), s0}, {rowCount});
  rt::WorkOp::create(b, arith::MulIOp::create(b, asValue(tileRows), asValue(keyCount)));

  // The destinations are the kernel's last tensors.
  SmallVector<Value> destinations;
  for (BlockArgument argument : kernel.getArguments())
    if (isa<RankedTensorType>(argument.getType()))
      destinations.push_back(argument);
  destinations.erase(destinations.begin(), destinations.end() - op->getNumResults());
  Sizes lower(3, index(0)), upper = {findSize(query, 0), rowsAreHeads ? keyHeads : headCount, rowCount},
                            step = {index(1), index(1), index(kQueryRows)};
  auto loop = scf::ForallOp::create(b, lower, upper, step, destinations, std::nullopt);
  op->replaceAllUsesWith(loop);
  b.setInsertionPointToStart(loop.getBody());

  batch = loop.getInductionVar(0);
  Value firstRow = loop.getInductionVar(2);
  if (rowsAreHeads) {
    keyHead = loop.getInductionVar(1);
    head = arith::AddIOp::create(b, arith::MulIOp::create(b, loop.getInductionVar(1), group), firstRow).getResult();
    firstQuery = index(0);
  } else {
    keyHead = arith::DivUIOp::create(b, loop.getInductionVar(1), group).getResult();
    head = loop.getInductionVar(1);
    firstQuery = firstRow;
  }
  rows = minimum({b.getAffineConstantExpr(kQueryRows), s0 - s1}, {rowCount, firstRow});
  Sizes offsets = tileOffsets(), sizes = tileSizes();
  offsets.push_back(index(0));
  sizes.push_back(depth);
  Value queries = scaleQueries(slice(query, offsets, sizes, {rowsAreHeads ? 1 : 2, 3}));

  // Keys that no query of the tile sees are left out.
  std::optional<ArrayRef<int64_t>> window = op.getWindow();
  int64_t left = window ? (*window)[0] : -1, right = op.getIsCausal() ? 0 : window ? (*window)[1] : -1;
  OpFoldResult first = index(0), last = keyCount, tileQueries = rowsAreHeads ? index(1) : rows;
  if (right >= 0)
    last = minimum({s0, s1 + s2 + right}, {keyCount, diagonal(), tileQueries});
  if (left >= 0)
    first = maximum({b.getAffineConstantExpr(0), s0 - left}, {diagonal()});

  State start = {createFilled({rows, valueDepth}, 0), createFilled({rows}, -infinity()), createFilled({rows}, 0)};
  auto keysLoop = scf::ForOp::create(b, asValue(first), asValue(last), asValue(index(kKeys)),
                                     ValueRange{start.output, start.maximum, start.sum});
  b.setInsertionPointToStart(keysLoop.getBody());
  ValueRange carried = keysLoop.getRegionIterArgs();
  State next = addKeys({carried[0], carried[1], carried[2]}, queries, keysLoop.getInductionVar(), last);
  scf::YieldOp::create(b, ValueRange{next.output, next.maximum, next.sum});
  b.setInsertionPointAfter(keysLoop);
  finish({keysLoop.getResult(0), keysLoop.getResult(1), keysLoop.getResult(2)}, loop);
  op.erase();
}

void tessera::scheduleAttention(func::FuncOp kernel, FlashAttentionOp op) { AttentionTiles(kernel, op).run(); }
