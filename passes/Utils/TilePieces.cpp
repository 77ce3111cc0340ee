// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/TilePieces.h"

#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Interfaces/TilingInterface.h"

using namespace mlir;

namespace {

using Sizes = SmallVector<OpFoldResult>;

/// A tile of one piece.
struct PieceTile {
  Sizes offsets, sizes;
  /// Where it goes, and what goes there.
  tensor::ExtractSliceOp place;
  Value value;
};

class PieceTiler {
public:
  PieceTiler(RewriterBase &b, ArrayRef<tensor::InsertSliceOp> insertions, ArrayRef<int64_t> tile)
      : b(b), loc(insertions.back()->getLoc()), insertions(insertions), tile(tile) {}

  FailureOr<scf::ForallOp> run();

private:
  void createLoop();
  PieceTile placeTile(tensor::InsertSliceOp insertion, Value destination);
  FailureOr<Value> computeTile(Value source, const PieceTile &piece);
  void fuseProducers();

  RewriterBase &b;
  Location loc;
  SmallVector<tensor::InsertSliceOp> insertions;
  ArrayRef<int64_t> tile;
  scf::ForallOp loop;
  /// Operations of which a tile is computed, and that tile.
  llvm::SmallDenseMap<Operation *, Operation *> tiled;
};

} // namespace

/// The loop writes the slices of the destination that the insertions go to.
void PieceTiler::createLoop() {
  tensor::InsertSliceOp first = insertions.front(), last = insertions.back();
  b.setInsertionPoint(last);
  Sizes lower, upper, step;
  for (auto [dim, size] : llvm::enumerate(tile)) {
    if (size == 0)
      continue;
    lower.push_back(b.getIndexAttr(0));
    upper.push_back(tessera::findSize(first.getSource(), dim));
    step.push_back(b.getIndexAttr(size));
  }
  SmallVector<Value> slices;
  for (tensor::InsertSliceOp insertion : insertions)
    slices.push_back(tensor::ExtractSliceOp::create(b, loc, insertion.getSourceType(), first.getDest(),
                                                    insertion.getMixedOffsets(), insertion.getMixedSizes(),
                                                    insertion.getMixedStrides()));
  loop = scf::ForallOp::create(b, loc, lower, upper, step, slices, std::nullopt);
}

/// The tile of a piece at the loop's position.
PieceTile PieceTiler::placeTile(tensor::InsertSliceOp insertion, Value destination) {
  PieceTile result;
  unsigned next = 0;
  for (auto [dim, step] : llvm::enumerate(tile)) {
    result.offsets.push_back(b.getIndexAttr(0));
    result.sizes.push_back(tessera::findSize(insertion.getSource(), dim));
    if (step == 0)
      continue;
    OpFoldResult start = loop.getInductionVar(next++);
    AffineExpr left = b.getAffineDimExpr(1) - b.getAffineDimExpr(0);
    AffineMap smaller = AffineMap::get(2, 0, {b.getAffineConstantExpr(step), left}, b.getContext());
    result.offsets.back() = start;
    result.sizes.back() = step == 1
                              ? b.getIndexAttr(1)
                              : affine::makeComposedFoldedAffineMin(b, loc, smaller, {start, result.sizes.back()});
  }
  Sizes ones(tile.size(), b.getIndexAttr(1));
  result.place = tensor::ExtractSliceOp::create(b, loc, destination, result.offsets, result.sizes, ones);
  return result;
}

static bool walksResultsAlike(linalg::LinalgOp op) {
  return llvm::all_equal(
      llvm::map_range(op.getDpsInitsMutable(), [&](OpOperand &init) { return op.getMatchingIndexingMap(&init); }));
}

/// A tile of a source: computed, if an operation of the kernel computes the source; the others are read where they are.
FailureOr<Value> PieceTiler::computeTile(Value source, const PieceTile &piece) {
  auto op = source.getDefiningOp<linalg::LinalgOp>();
  if (!op) {
    Sizes ones(tile.size(), b.getIndexAttr(1));
    return tensor::ExtractSliceOp::create(b, loc, source, piece.offsets, piece.sizes, ones).getResult();
  }
  unsigned number = cast<OpResult>(source).getResultNumber();
  // All results that are walked alike come from one tile.
  Operation *&known = tiled[op];
  if (!known || !walksResultsAlike(op)) {
    auto interface = cast<TilingInterface>(op.getOperation());
    Sizes offsets, sizes;
    if (failed(interface.getIterationDomainTileFromResultTile(b, number, piece.offsets, piece.sizes, offsets, sizes)))
      return failure();
    FailureOr<TilingResult> result = interface.getTiledImplementation(b, offsets, sizes);
    if (failed(result))
      return failure();
    known = result->tiledOps.front();
  }
  return known->getResult(number);
}

/// Computes beside each tile what it is computed from.
void PieceTiler::fuseProducers() {
  SmallVector<LoopLikeOpInterface> loops = {loop};
  SmallVector<Operation *> slices;
  loop.walk([&](tensor::ExtractSliceOp slice) { slices.push_back(slice); });
  while (!slices.empty()) {
    auto slice = dyn_cast<tensor::ExtractSliceOp>(slices.pop_back_val());
    if (!slice || !slice.getSource().getDefiningOp<linalg::LinalgOp>())
      continue;
    if (auto fused = scf::tileAndFuseProducerOfSlice(b, slice, loops))
      llvm::append_range(slices, fused->generatedSlices);
  }
}

/// The destination of the operation that computes a value, below what fills it first.
static OpOperand *findDestination(Value value) {
  auto op = value.getDefiningOp<DestinationStyleOpInterface>();
  if (!op)
    return nullptr;
  OpOperand *init = op.getDpsInitOperand(cast<OpResult>(value).getResultNumber());
  while (auto fill = init->get().getDefiningOp<linalg::FillOp>())
    init = fill.getDpsInitOperand(0);
  return init;
}

/// Whether a tensor, or what it is a slice of, is yet without elements.
static bool isEmpty(Value tensor) {
  if (auto slice = tensor.getDefiningOp<tensor::ExtractSliceOp>())
    tensor = slice.getSource();
  return tensor.getDefiningOp<tensor::EmptyOp>();
}

FailureOr<scf::ForallOp> PieceTiler::run() {
  createLoop();
  b.setInsertionPointToStart(loop.getBody());
  SmallVector<PieceTile> pieces;
  for (auto [insertion, destination] : llvm::zip_equal(insertions, loop.getRegionIterArgs()))
    pieces.push_back(placeTile(insertion, destination));
  for (auto [insertion, piece] : llvm::zip_equal(insertions, pieces)) {
    FailureOr<Value> value = computeTile(insertion.getSource(), piece);
    if (failed(value))
      return failure();
    piece.value = *value;
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(loop.getTerminator().getBody());
    tensor::ParallelInsertSliceOp::create(b, loc, *value, piece.place.getSource(), piece.place.getMixedOffsets(),
                                          piece.place.getMixedSizes(), piece.place.getMixedStrides());
  }
  fuseProducers();
  // What is computed for a piece is computed in its place.
  for (PieceTile &piece : pieces)
    if (OpOperand *init = findDestination(piece.value); init && isEmpty(init->get()))
      init->set(piece.place);
  for (auto [insertion, result] : llvm::zip_equal(insertions, loop.getResults())) {
    if (insertion != insertions.back())
      b.moveOpBefore(insertion, insertions.back());
    b.modifyOpInPlace(insertion, [&] { insertion.getSourceMutable().assign(result); });
  }
  return loop;
}

FailureOr<scf::ForallOp> tessera::tilePieces(RewriterBase &b, ArrayRef<tensor::InsertSliceOp> insertions,
                                             ArrayRef<int64_t> tile) {
  return PieceTiler(b, insertions, tile).run();
}
