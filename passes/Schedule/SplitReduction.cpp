// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Upstream's partial reductions divide nothing but the reduction, and this needs tiles of the other loops too.

#include "passes/Schedule/SplitReduction.h"

#include "passes/EmitLoops/LoopNest.h"
#include "passes/Utils/Access.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/TilingInterface.h"

using namespace mlir;
using namespace tessera;

using Sizes = SmallVector<OpFoldResult>;

static bool isReduction(linalg::LinalgOp op, int64_t loop) {
  return linalg::isReductionIterator(op.getIteratorTypesArray()[loop]);
}

/// The iterations of a loop; null if nothing says how many.
static OpFoldResult findExtent(linalg::LinalgOp op, int64_t loop) {
  AffineExpr dim = getAffineDimExpr(loop, op.getContext());
  for (OpOperand &operand : op->getOpOperands())
    for (auto [position, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (expr == dim)
        if (OpFoldResult size = findSize(operand.get(), position))
          return size;
  return {};
}

/// Whether all that the operation computes is a sum of parts, read from memory.
static bool canSplit(linalg::LinalgOp op) {
  for (auto [index, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    bool isReduced = map.isProjectedPermutation();
    for (int64_t loop = 0; loop < op.getNumLoops(); ++loop)
      isReduced &= isReduction(op, loop) != map.isFunctionOfDim(loop);
    if (!isReduced || !findCombiner(op, index))
      return false;
  }
  for (OpOperand *input : op.getDpsInputOperands())
    if (Operation *producer = input->get().getDefiningOp(); producer && isa<linalg::LinalgOp>(producer))
      return false;
  return llvm::all_of(llvm::seq<int64_t>(op.getNumLoops()),
                      [&](int64_t loop) { return static_cast<bool>(findExtent(op, loop)); });
}

/// The only reduction of a block in which nothing else walks what is reduced; null if there is none.
static linalg::LinalgOp findOnlyReduction(Block &block) {
  linalg::LinalgOp found;
  int64_t mostLoops = 0;
  for (auto op : block.getOps<linalg::LinalgOp>()) {
    if (op.getNumReductionLoops() == 0) {
      int64_t loops = llvm::count_if(op.getStaticLoopRanges(), [](int64_t extent) { return extent != 1; });
      mostLoops = std::max(mostLoops, loops);
      continue;
    }
    if (found)
      return {};
    found = op;
  }
  return found && mostLoops <= found.getNumParallelLoops() ? found : linalg::LinalgOp();
}

std::optional<ReductionSplit> ReductionSplit::find(Block &block, const TileSizes &sizes) {
  linalg::LinalgOp found = findOnlyReduction(block);
  if (!found || !canSplit(found))
    return std::nullopt;
  ReductionSplit split{found, findAdjacentLoop(found), sizes.reductionChunk, {}, sizes.fewTiles};
  for (int64_t loop = 0; loop < found.getNumLoops(); ++loop)
    split.tile.push_back(isReduction(found, loop) ? 0 : 1);
  if (split.loop < 0 || !isReduction(found, split.loop)) {
    if (split.loop >= 0)
      split.tile[split.loop] = sizes.columnChunk;
    split.chunk = sizes.reductionRows;
    split.loop = llvm::find(split.tile, 0) - split.tile.begin();
  }
  split.tile[split.loop] = split.chunk;
  return split;
}

OpFoldResult ReductionSplit::createCondition(OpBuilder &b) {
  Location loc = op.getLoc();
  Value tiles = arith::ConstantIndexOp::create(b, loc, 1);
  auto constant = [&](int64_t n) { return arith::ConstantIndexOp::create(b, loc, n).getResult(); };
  for (auto [dim, size] : llvm::enumerate(tile)) {
    if (isReduction(op, dim))
      continue;
    Value extent = getValueOrCreateConstantIndexOp(b, loc, findExtent(op, dim));
    tiles = b.createOrFold<arith::MulIOp>(loc, tiles, b.createOrFold<arith::CeilDivUIOp>(loc, extent, constant(size)));
  }
  Value extent = getValueOrCreateConstantIndexOp(b, loc, findExtent(op, loop));
  Value isLong = b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::uge, extent, constant(2 * chunk));
  Value areFew = b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, tiles, constant(fewTiles));
  return getAsOpFoldResult(b.createOrFold<arith::AndIOp>(loc, isLong, areFew));
}

namespace {

/// Builds both stages.
class Splitter {
public:
  Splitter(RewriterBase &b, ReductionSplit &split) : b(b), split(split), op(split.op), loc(op.getLoc()) {
    for (int64_t loop = 0; loop < op.getNumLoops(); ++loop)
      extents.push_back(findExtent(op, loop));
    // Chunks stand where the loop stands: inside of the results' dimensions if it is the innermost.
    isInnermost = split.loop == findAdjacentLoop(op);
  }

  LogicalResult run();

private:
  Value createPartial(OpOperand &init);
  LogicalResult computeTile(scf::ForallOp loop);
  linalg::GenericOp createMerge(ValueRange partial);
  template <typename T> void insertChunk(SmallVector<T> &dims, T chunk) {
    dims.insert(isInnermost ? dims.end() : dims.begin(), chunk);
  }

  RewriterBase &b;
  ReductionSplit &split;
  linalg::LinalgOp op;
  Location loc;
  Sizes extents;
  bool isInnermost;
};

} // namespace

/// What the chunks come to, for one result.
Value Splitter::createPartial(OpOperand &init) {
  AffineExpr s0 = b.getAffineSymbolExpr(0);
  Sizes sizes;
  for (AffineExpr expr : op.getMatchingIndexingMap(&init).getResults())
    sizes.push_back(extents[cast<AffineDimExpr>(expr).getPosition()]);
  insertChunk<OpFoldResult>(
      sizes, affine::makeComposedFoldedAffineApply(b, loc, s0.ceilDiv(split.chunk), {extents[split.loop]}));
  return tensor::EmptyOp::create(b, loc, sizes, getElementTypeOrSelf(init.get().getType()));
}

/// One tile of the first stage, from neutral elements on.
LogicalResult Splitter::computeTile(scf::ForallOp loop) {
  Sizes offsets, sizes;
  unsigned next = 0;
  for (auto [extent, step] : llvm::zip(extents, split.tile)) {
    offsets.push_back(step ? OpFoldResult(loop.getInductionVar(next++)) : b.getIndexAttr(0));
    AffineExpr left = b.getAffineDimExpr(1) - b.getAffineDimExpr(0);
    AffineMap smaller = AffineMap::get(2, 0, {b.getAffineConstantExpr(step), left}, b.getContext());
    sizes.push_back(step == 0   ? extent
                    : step == 1 ? OpFoldResult(b.getIndexAttr(1))
                                : affine::makeComposedFoldedAffineMin(b, loc, smaller, {offsets.back(), extent}));
  }
  FailureOr<TilingResult> tiled = cast<TilingInterface>(op.getOperation()).getTiledImplementation(b, offsets, sizes);
  if (failed(tiled))
    return op->emitOpError("cannot be divided into tiles");
  auto part = cast<linalg::LinalgOp>(tiled->tiledOps.front());
  b.setInsertionPoint(part);
  OpFoldResult chunk =
      affine::makeComposedFoldedAffineApply(b, loc, b.getAffineDimExpr(0).floorDiv(split.chunk), {offsets[split.loop]});
  for (auto [index, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    Sizes placeOffsets, placeSizes;
    for (AffineExpr expr : op.getMatchingIndexingMap(&init).getResults()) {
      placeOffsets.push_back(offsets[cast<AffineDimExpr>(expr).getPosition()]);
      placeSizes.push_back(sizes[cast<AffineDimExpr>(expr).getPosition()]);
    }
    insertChunk(placeOffsets, chunk);
    insertChunk<OpFoldResult>(placeSizes, b.getIndexAttr(1));
    Sizes ones(placeSizes.size(), b.getIndexAttr(1));
    auto type = cast<RankedTensorType>(part->getResult(index).getType());
    Value target = loop.getRegionIterArgs()[index];
    Value place = tensor::ExtractSliceOp::create(b, loc, type, target, placeOffsets, placeSizes, ones);
    Value neutral = arith::ConstantOp::create(b, loc, *arith::getNeutralElement(findCombiner(op, index)));
    part.setDpsInitOperand(index, linalg::FillOp::create(b, loc, neutral, place).getResult(0));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(loop.getTerminator().getBody());
    tensor::ParallelInsertSliceOp::create(b, loc, part->getResult(index), target, placeOffsets, placeSizes, ones);
  }
  for (Operation *slice : tiled->generatedSlices)
    if (isOpTriviallyDead(slice))
      b.eraseOp(slice);
  return success();
}

/// The second stage: the loops of the results, and one over the chunks.
linalg::GenericOp Splitter::createMerge(ValueRange partial) {
  SmallVector<AffineExpr> loops;
  SmallVector<utils::IteratorType> iterators;
  for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray())) {
    bool isKept = linalg::isParallelIterator(iterator) || static_cast<int64_t>(loop) == split.loop;
    loops.push_back(isKept ? b.getAffineDimExpr(iterators.size()) : AffineExpr());
    if (isKept)
      iterators.push_back(iterator);
  }
  SmallVector<AffineMap> reads, writes;
  SmallVector<Value> inits(op.getDpsInits());
  for (OpOperand &init : op.getDpsInitsMutable()) {
    SmallVector<AffineExpr> exprs;
    for (AffineExpr expr : op.getMatchingIndexingMap(&init).getResults())
      exprs.push_back(loops[cast<AffineDimExpr>(expr).getPosition()]);
    writes.push_back(AffineMap::get(iterators.size(), 0, exprs, b.getContext()));
    insertChunk(exprs, loops[split.loop]);
    reads.push_back(AffineMap::get(iterators.size(), 0, exprs, b.getContext()));
  }
  llvm::append_range(reads, writes);
  return linalg::GenericOp::create(b, loc, op->getResultTypes(), partial, inits, reads, iterators,
                                   [&](OpBuilder &nested, Location at, ValueRange args) {
                                     SmallVector<Value> results;
                                     for (size_t index = 0; index < inits.size(); ++index) {
                                       Operation *combiner = nested.clone(*findCombiner(op, index));
                                       combiner->setOperands({args[index], args[inits.size() + index]});
                                       results.push_back(combiner->getResult(0));
                                     }
                                     linalg::YieldOp::create(nested, at, results);
                                   });
}

LogicalResult Splitter::run() {
  b.setInsertionPoint(op);
  SmallVector<Value> partial;
  for (OpOperand &init : op.getDpsInitsMutable())
    partial.push_back(createPartial(init));
  Sizes lower, upper, step;
  for (auto [extent, size] : llvm::zip(extents, split.tile))
    if (size) {
      lower.push_back(b.getIndexAttr(0));
      upper.push_back(extent);
      step.push_back(b.getIndexAttr(size));
    }
  auto loop = scf::ForallOp::create(b, loc, lower, upper, step, partial, std::nullopt);
  b.setInsertionPointToStart(loop.getBody());
  if (failed(computeTile(loop)))
    return failure();
  // What the second stage begins with is not computed before the first.
  for (Value init : op.getDpsInits())
    if (auto fill = init.getDefiningOp<linalg::FillOp>(); fill && fill->hasOneUse())
      b.moveOpAfter(fill, loop);
  b.setInsertionPoint(op);
  b.replaceOp(op, createMerge(loop.getResults()));
  return success();
}

LogicalResult ReductionSplit::apply(RewriterBase &b) { return Splitter(b, *this).run(); }
