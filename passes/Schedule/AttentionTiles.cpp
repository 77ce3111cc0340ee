// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attention by tiles of queries and keys with an online softmax (T. Dao et al., FlashAttention, 2022; M. Milakov and
// N. Gimelshein, Online normalizer calculation for softmax, 2018).

#include "passes/Schedule/AttentionTiles.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Schedule/AttentionLayout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tessera;

namespace {

/// What an attention computes, however its operands lie.
struct AttentionTerms {
  Value mask, seed;
  std::optional<double> scale, dropout;
  /// How many keys a query sees before and after its own position; -1: all.
  int64_t left = -1, right = -1;
};

class AttentionTiles {
public:
  AttentionTiles(func::FuncOp kernel, Operation *op, Type type, TileBuilder &b, AttentionLayout &layout,
                 const AttentionTerms &terms, const TileSizes &sizes)
      : kernel(kernel), op(op), b(b), layout(layout), terms(terms), sizes(sizes), type(type),
        compute(type.isF64() ? type : Type(b.getF32Type())) {}

  void run();

private:
  /// What one tile of queries carries from one block of keys to the next.
  struct State {
    Value output, maximum, sum;
  };

  using BodyFn = llvm::function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)>;
  enum Loops : uint8_t { Parallel, ReduceColumns, ReduceDepth };

  Value number(OpBuilder &nested, double value) {
    return arith::ConstantOp::create(nested, b.getLoc(), nested.getFloatAttr(compute, value));
  }
  double infinity() const { return std::numeric_limits<double>::infinity(); }

  Value createFilled(const Sizes &sizes, double value);
  SmallVector<Value> emit(Loops loops, ArrayRef<std::pair<Value, AffineMap>> inputs,
                          ArrayRef<std::pair<Value, AffineMap>> inits, BodyFn body);
  Value multiply(Value left, Value right, AffineMap rightMap, Value init);
  Value widen(OpBuilder &nested, Location loc, Value x) {
    return x.getType() == compute ? x : arith::ExtFOp::create(nested, loc, compute, x).getResult();
  }

  SmallVector<Value> destinations();
  void enterTile(scf::ForallOp loop, Value group, OpFoldResult rowCount);
  Value createScale();
  Value scaleQueries(Value queries);
  std::pair<OpFoldResult, OpFoldResult> visibleKeys();
  State addKeys(const State &state, Value queries, const KeyBlock &block);
  Value hide(Value scores, const KeyBlock &block);
  Value maskSlice(const KeyBlock &block, SmallVector<AffineExpr> &read);
  Value dropWeights(Value weights, OpFoldResult firstKey);
  void finish(const State &state, scf::ForallOp loop);

  func::FuncOp kernel;
  Operation *op;
  TileBuilder &b;
  AttentionLayout &layout;
  AttentionTerms terms;
  const TileSizes &sizes;
  /// The type in memory, and that of all arithmetic.
  Type type, compute;
  AffineMap whole = b.getMultiDimIdentityMap(2), rowsOnly = whole.dropResult(1);
  QueryTile tile;
  Value scale;

  /// The key position of the tile's first query.
  OpFoldResult diagonal() { return b.apply(b.s0 + b.s1, {tile.firstQuery, layout.firstPosition}); }
  bool hasOneQuery() const { return getConstantIntValue(layout.maxQueries) == 1; }
};

} // namespace

Value AttentionTiles::createFilled(const Sizes &sizes, double value) {
  Value empty = tensor::EmptyOp::create(b, sizes, compute);
  return linalg::FillOp::create(b, number(b, value), empty).getResult(0);
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

Value AttentionTiles::createScale() {
  if (terms.scale)
    return number(b, *terms.scale);
  Value size = arith::IndexCastOp::create(b, b.getI64Type(), b.asValue(layout.depth));
  return arith::DivFOp::create(b, number(b, 1), math::SqrtOp::create(b, arith::SIToFPOp::create(b, compute, size)));
}

/// The tile's queries, in the type of arithmetic, times the scale: once for all keys. Those in bf16 stay as they are,
/// because a processor may multiply such numbers by pairs, and their scores are scaled.
Value AttentionTiles::scaleQueries(Value queries) {
  scale = createScale();
  if (type.isBF16())
    return queries;
  Value init = tensor::EmptyOp::create(b, {tile.rows, layout.depth}, compute);
  return emit(Parallel, {{queries, whole}}, {{init, whole}},
              [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                return {arith::MulFOp::create(nested, loc, widen(nested, loc, args[0]), scale)};
              })
      .front();
}

/// The part of the mask for a tile and a block of keys, which `read` then maps to: a dimension of the mask that is 1
/// stays.
Value AttentionTiles::maskSlice(const KeyBlock &block, SmallVector<AffineExpr> &read) {
  auto type = cast<RankedTensorType>(terms.mask.getType());
  int64_t rank = type.getRank(), rowDim = rank - (tile.rowsAreHeads ? 3 : 2);
  auto [offsets, sizes] = layout.lseSlice(tile);
  offsets.push_back(block.first);
  sizes.push_back(block.count);
  offsets.erase(offsets.begin(), offsets.end() - rank);
  sizes.erase(sizes.begin(), sizes.end() - rank);
  SmallVector<int64_t> kept;
  for (int64_t dim = 0; dim < rank; ++dim) {
    bool isBroadcast = type.getDimSize(dim) == 1;
    if (isBroadcast) {
      offsets[dim] = b.index(0);
      sizes[dim] = b.index(1);
    }
    if (dim != rowDim && dim != rank - 1)
      continue;
    kept.push_back(dim);
    read.push_back(isBroadcast ? b.getAffineConstantExpr(0) : b.getAffineDimExpr(dim == rowDim ? 0 : 1));
  }
  return b.slice(terms.mask, offsets, sizes, kept);
}

/// Scales the scores of a tile where its queries aren't, adds the mask, and makes those of hidden keys -inf.
Value AttentionTiles::hide(Value scores, const KeyBlock &block) {
  SmallVector<std::pair<Value, AffineMap>> inputs;
  if (terms.mask) {
    SmallVector<AffineExpr> read;
    Value mask = maskSlice(block, read);
    inputs.push_back({mask, AffineMap::get(2, 0, read, b.getContext())});
  }
  // One query ends where the keys do: `visibleKeys` says all.
  bool cutsRight = terms.right >= 0 && !hasOneQuery(), cutsRows = layout.presentQueries && !hasOneQuery();
  if (inputs.empty() && !cutsRight && !cutsRows && terms.left < 0 && !type.isBF16())
    return scores;
  // Counted from the block's first key, and the tile's first row.
  Value firstPosition = arith::SubIOp::create(b, b.asValue(diagonal()), b.asValue(block.first));
  Value present;
  if (cutsRows)
    present = arith::SubIOp::create(b, layout.presentQueries, b.asValue(tile.firstQuery));
  return emit(Parallel, inputs, {{scores, whole}},
              [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                Value score = args.back(), hidden = number(nested, -infinity());
                Value isHidden;
                auto hideIf = [&](arith::CmpIPredicate predicate, Value x, Value y) {
                  Value condition = arith::CmpIOp::create(nested, loc, predicate, x, y);
                  isHidden = isHidden ? arith::OrIOp::create(nested, loc, isHidden, condition).getResult() : condition;
                };
                auto constant = [&](int64_t n) { return arith::ConstantIndexOp::create(nested, loc, n).getResult(); };
                if (type.isBF16())
                  score = arith::MulFOp::create(nested, loc, score, scale);
                if (args.size() == 2 && isa<IntegerType>(args[0].getType())) {
                  hideIf(arith::CmpIPredicate::eq, args[0],
                         arith::ConstantOp::create(nested, loc, nested.getZeroAttr(args[0].getType())));
                } else if (args.size() == 2) {
                  Value term = args[0];
                  if (term.getType().getIntOrFloatBitWidth() > compute.getIntOrFloatBitWidth())
                    term = arith::TruncFOp::create(nested, loc, compute, term);
                  score = arith::AddFOp::create(nested, loc, score, widen(nested, loc, term));
                }
                Value key = linalg::IndexOp::create(nested, loc, 1), position = firstPosition, row;
                if (!tile.rowsAreHeads) {
                  row = linalg::IndexOp::create(nested, loc, 0);
                  position = arith::AddIOp::create(nested, loc, position, row);
                }
                if (cutsRight)
                  hideIf(arith::CmpIPredicate::sgt, key,
                         terms.right ? arith::AddIOp::create(nested, loc, position, constant(terms.right)).getResult()
                                     : position);
                if (terms.left >= 0)
                  hideIf(arith::CmpIPredicate::slt, key,
                         arith::SubIOp::create(nested, loc, position, constant(terms.left)));
                if (present)
                  hideIf(arith::CmpIPredicate::sge, row, present);
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
  if (!terms.dropout)
    return weights;
  double dropout = *terms.dropout;
  auto asWord = [&](OpBuilder &nested, Value index) -> Value {
    return arith::IndexCastOp::create(nested, b.getLoc(), b.getI32Type(), index);
  };
  Value seed = tensor::ExtractOp::create(b, terms.seed, ValueRange{});
  Value half = arith::ConstantOp::create(b, b.getI64IntegerAttr(32));
  std::array<Value, 2> key = {arith::TruncIOp::create(b, b.getI32Type(), seed),
                              arith::TruncIOp::create(b, b.getI32Type(), arith::ShRUIOp::create(b, seed, half))};
  Value firstPlane = b.asValue(b.apply(b.s0 * b.s1 + b.s2, {tile.sequence, layout.heads, tile.head}));
  Value firstRow = b.asValue(tile.firstQuery), firstColumn = b.asValue(firstKey);
  return emit(Parallel, {}, {{weights, whole}},
              [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
                auto position = [&](int64_t dim, Value start) {
                  Value index = linalg::IndexOp::create(nested, loc, dim);
                  return asWord(nested, arith::AddIOp::create(nested, loc, start, index));
                };
                Value zero = arith::ConstantOp::create(nested, loc, b.getI32IntegerAttr(0));
                Value row = tile.rowsAreHeads ? asWord(nested, firstRow) : position(0, firstRow);
                Value plane = tile.rowsAreHeads ? position(0, firstPlane) : asWord(nested, firstPlane);
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

/// Takes a block of keys and values into the state.
AttentionTiles::State AttentionTiles::addKeys(const State &state, Value queries, const KeyBlock &block) {
  OpFoldResult rows = tile.rows, keys = block.count;
  Value keyTile = layout.keys(tile, block), valueTile = layout.values(tile, block);
  AffineExpr n = b.getAffineDimExpr(1), k = b.getAffineDimExpr(2);
  AffineMap transposed = AffineMap::get(3, 0, {n, k}, b.getContext()),
            straight = AffineMap::get(3, 0, {k, n}, b.getContext());
  Value scores = hide(multiply(queries, keyTile, transposed, createFilled({rows, keys}, 0)), block);

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
  Value output = multiply(dropWeights(weights[0], block.first), valueTile, straight, scaleBy(state.output, whole));
  return {output, maximum, weights[1]};
}

/// Divides by the sum of the weights, and writes the tile.
void AttentionTiles::finish(const State &state, scf::ForallOp loop) {
  Value init = tensor::EmptyOp::create(b, {tile.rows, layout.valueDepth}, type);
  SmallVector<Value> tiles =
      emit(Parallel, {{state.output, whole}, {state.sum, rowsOnly}}, {{init, whole}},
           [&](OpBuilder &nested, Location loc, ValueRange args) -> SmallVector<Value> {
             // Without any key the output is 0, as the values' weights are.
             Value none = arith::CmpFOp::create(nested, loc, arith::CmpFPredicate::OEQ, args[1], number(nested, 0));
             Value divisor = arith::SelectOp::create(nested, loc, none, number(nested, 1), args[1]);
             Value mean = arith::DivFOp::create(nested, loc, args[0], divisor);
             return {type == compute ? mean : arith::TruncFOp::create(nested, loc, type, mean).getResult()};
           });
  if (op->getNumResults() == 2) {
    AffineMap row = b.getMultiDimIdentityMap(1);
    Value lseInit = tensor::EmptyOp::create(b, {tile.rows}, compute);
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
  std::pair<Sizes, Sizes> slices[] = {layout.outputSlice(tile), layout.lseSlice(tile)};
  b.setInsertionPointToEnd(loop.getTerminator().getBody());
  for (auto [result, target, slice] : llvm::zip_first(tiles, loop.getRegionIterArgs(), slices)) {
    Sizes strides(slice.first.size(), b.index(1));
    tensor::ParallelInsertSliceOp::create(b, result, target, slice.first, slice.second, strides);
  }
}

/// The kernel's last tensors. Where a tile's rows are those of a sequence, rows outside of all are set before.
SmallVector<Value> AttentionTiles::destinations() {
  SmallVector<Value> tensors;
  for (BlockArgument argument : kernel.getArguments())
    if (isa<RankedTensorType>(argument.getType()))
      tensors.push_back(argument);
  tensors.erase(tensors.begin(), tensors.end() - op->getNumResults());
  if (layout.queryCount)
    return tensors;
  for (auto [index, tensor] : llvm::enumerate(tensors)) {
    auto element = cast<FloatType>(getElementTypeOrSelf(tensor.getType()));
    Value none = arith::ConstantOp::create(b, b.getFloatAttr(element, index == 0 ? 0.0 : -infinity()));
    tensor = linalg::FillOp::create(b, none, tensor).getResult(0);
  }
  return tensors;
}

/// Says which rows the tile of an iteration has.
void AttentionTiles::enterTile(scf::ForallOp loop, Value group, OpFoldResult rowCount) {
  Value firstHead = loop.getInductionVar(1);
  OpFoldResult firstRow = loop.getInductionVar(2);
  tile.sequence = loop.getInductionVar(0);
  layout.enterSequence(loop.getInductionVar(0));
  if (tile.rowsAreHeads) {
    tile.keyHead = firstHead;
    tile.head = b.apply(b.s0 * b.s1 + b.s2, {firstHead, group, firstRow});
    tile.firstQuery = b.index(0);
  } else {
    tile.keyHead = arith::DivUIOp::create(b, firstHead, group).getResult();
    tile.head = firstHead;
    // Sequences may be shorter than the longest.
    if (layout.queryCount != rowCount) {
      rowCount = layout.queryCount;
      firstRow = b.minimum({b.s0, b.s1}, {firstRow, rowCount});
    }
    tile.firstQuery = firstRow;
  }
  tile.rows = b.minimum({b.getAffineConstantExpr(sizes.queries), b.s0 - b.s1}, {rowCount, firstRow});
}

/// The keys that some query of the tile sees, but for masks: from the first to before the second.
std::pair<OpFoldResult, OpFoldResult> AttentionTiles::visibleKeys() {
  OpFoldResult first = b.index(0), last = layout.keyCount, queries = tile.rowsAreHeads ? b.index(1) : tile.rows;
  if (terms.right >= 0 && !hasOneQuery())
    last = b.minimum({b.s0, b.s1 + b.s2 + terms.right}, {layout.keyCount, diagonal(), queries});
  if (terms.left >= 0)
    first = b.maximum({b.getAffineConstantExpr(0), b.s0 - terms.left}, {diagonal()});
  if (layout.presentQueries) {
    Value isAbsent =
        arith::CmpIOp::create(b, arith::CmpIPredicate::sge, b.asValue(tile.firstQuery), layout.presentQueries);
    last = arith::SelectOp::create(b, isAbsent, b.asValue(b.index(0)), b.asValue(last)).getResult();
  }
  return {first, last};
}

void AttentionTiles::run() {
  Value group = arith::DivUIOp::create(b, b.asValue(layout.heads), b.asValue(layout.keyHeads));
  tile.rowsAreHeads = hasOneQuery() && layout.heads != layout.keyHeads;
  OpFoldResult rowCount = tile.rowsAreHeads ? OpFoldResult(group) : layout.maxQueries;
  OpFoldResult tileRows = b.minimum({b.getAffineConstantExpr(sizes.queries), b.s0}, {rowCount});
  rt::WorkOp::create(b, arith::MulIOp::create(b, b.asValue(tileRows), b.asValue(layout.maxKeys)));

  Sizes lower(3, b.index(0)), upper = {layout.sequences, tile.rowsAreHeads ? layout.keyHeads : layout.heads, rowCount},
                              step = {b.index(1), b.index(1), b.index(sizes.queries)};
  auto loop = scf::ForallOp::create(b, lower, upper, step, destinations(), std::nullopt);
  op->replaceAllUsesWith(loop);
  b.setInsertionPointToStart(loop.getBody());
  enterTile(loop, group, rowCount);
  Value queries = scaleQueries(layout.queries(tile));
  auto [first, last] = visibleKeys();
  Value start[] = {createFilled({tile.rows, layout.valueDepth}, 0), createFilled({tile.rows}, -infinity()),
                   createFilled({tile.rows}, 0)};
  SmallVector<Value> state = layout.forEachBlock(
      first, last, sizes.keys, start, [&](const KeyBlock &block, ValueRange carried) -> SmallVector<Value> {
        State next = addKeys({carried[0], carried[1], carried[2]}, queries, block);
        return {next.output, next.maximum, next.sum};
      });
  finish({state[0], state[1], state[2]}, loop);
  op->erase();
}

/// What all kinds of attention have in common.
template <typename OpTy> static AttentionTerms commonTerms(OpTy op) {
  AttentionTerms terms;
  if (std::optional<APFloat> scale = op.getScale())
    terms.scale = scale->convertToDouble();
  return terms;
}

template <typename OpTy> static AttentionTerms flashTerms(OpTy op) {
  AttentionTerms terms = commonTerms(op);
  terms.seed = op.getSeed();
  if (std::optional<APFloat> dropout = op.getDropout())
    terms.dropout = dropout->convertToDouble();
  if (std::optional<ArrayRef<int64_t>> window = op.getWindow()) {
    terms.left = (*window)[0];
    terms.right = (*window)[1];
  }
  if (op.getIsCausal())
    terms.right = 0;
  return terms;
}

static AttentionTerms termsOf(FlashAttentionVarlenOp op) { return flashTerms(op); }

static AttentionTerms termsOf(FlashAttentionOp op) {
  AttentionTerms terms = flashTerms(op);
  terms.mask = op.getMask();
  return terms;
}

static AttentionTerms termsOf(PagedAttentionOp op) {
  AttentionTerms terms = commonTerms(op);
  terms.right = 0;
  if (std::optional<uint64_t> window = op.getWindow())
    terms.left = static_cast<int64_t>(*window);
  return terms;
}

void tessera::scheduleAttention(func::FuncOp kernel, const TileSizes &sizes) {
  auto schedule = [&](auto op) {
    TileBuilder b(op.getLoc(), op);
    std::unique_ptr<AttentionLayout> layout = createLayout(b, op);
    AttentionTiles(kernel, op, op.getQuery().getType().getElementType(), b, *layout, termsOf(op), sizes).run();
  };
  for (Operation &op : llvm::make_early_inc_range(kernel.getBody().front()))
    llvm::TypeSwitch<Operation *>(&op).Case<FlashAttentionOp, FlashAttentionVarlenOp, PagedAttentionOp>(schedule);
}
