// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/Schedule/AttentionLayout.h"
#include "passes/Schedule/AttentionTiles.h"
#include "passes/Schedule/CollapseLoops.h"
#include "passes/Schedule/SplitReduction.h"
#include "passes/Schedule/TileSizes.h"
#include "passes/Utils/Access.h"
#include "passes/Utils/Insertions.h"
#include "passes/Utils/Sizes.h"
#include "passes/Utils/TilePieces.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERASCHEDULEPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

/// The structured operation that a block's result comes from.
static linalg::LinalgOp findRoot(Block &block) {
  auto results = block.getTerminator()->getOperands();
  if (results.empty())
    return {};
  return results.front().getDefiningOp<linalg::LinalgOp>();
}

/// Bytes of an element of the narrowest operand.
static int64_t narrowestBytes(linalg::LinalgOp op) {
  unsigned bits = 64;
  for (Value operand : op->getOperands())
    if (isa<ShapedType>(operand.getType()))
      bits = std::min(bits, getElementTypeOrSelf(operand).getIntOrFloatBitWidth());
  return llvm::divideCeil(bits, 8);
}

/// Whether what a block reduces lies side by side: a tile is then a row, otherwise it is columns.
static bool reducesRows(linalg::LinalgOp root) {
  return llvm::any_of(root->getBlock()->getOps<linalg::LinalgOp>(), [](linalg::LinalgOp op) {
    int64_t adjacent = findAdjacentLoop(op);
    return op.getNumReductionLoops() > 0 && adjacent >= 0 &&
           linalg::isReductionIterator(op.getIteratorTypesArray()[adjacent]);
  });
}

static SmallVector<int64_t> chooseTile(linalg::LinalgOp root, StringRef kind, ArrayRef<int64_t> tileDims,
                                       const TileSizes &sizes) {
  SmallVector<int64_t> tile(root.getNumLoops(), 0);
  for (int64_t dim : tileDims)
    tile[dim] = 1;
  if (kind == "matmul" && tileDims.size() >= 2) {
    tile[tileDims[tileDims.size() - 2]] = sizes.matmulRows;
    tile[tileDims.back()] = sizes.matmulColumns;
    return tile;
  }
  int64_t innermost = findAdjacentLoop(root);
  if (innermost >= 0 && llvm::is_contained(tileDims, innermost)) {
    if (kind == "rowwise")
      tile[innermost] = reducesRows(root) ? 1 : sizes.columnChunk;
    else
      tile[innermost] = tileDims.size() == 1 ? sizes.chunk : sizes.rowChunk;
    int64_t transposed = root.getNumReductionLoops() == 0 ? findTransposedLoop(root, innermost) : -1;
    if (llvm::is_contained(tileDims, transposed)) {
      int64_t side = sizes.transposedBytes / narrowestBytes(root);
      tile[transposed] = side ? side : sizes.transposedRows;
      tile[innermost] = side ? side : sizes.transposedColumns;
    }
  }
  return tile;
}

/// How many elements one tile touches: the product of what is not divided, and of the tile.
static Value createWork(OpBuilder &builder, linalg::LinalgOp root, ArrayRef<int64_t> tile) {
  Location loc = root.getLoc();
  Value largest = arith::ConstantIndexOp::create(builder, loc, 1);
  // The widest operation of the kernel counts; its tile dimensions are those of the root as far as sizes go.
  for (auto op : root->getBlock()->getOps<linalg::LinalgOp>()) {
    Value work = arith::ConstantIndexOp::create(builder, loc, 1);
    SmallVector<OpFoldResult> sizes;
    AffineMap loopsToSizes = op.getShapesToLoopsMap();
    for (OpOperand &operand : op->getOpOperands())
      if (auto type = dyn_cast<RankedTensorType>(operand.get().getType()))
        for (int64_t dim = 0; dim < type.getRank(); ++dim)
          sizes.push_back(findSize(operand.get(), dim));
    for (auto [loop, expr] : llvm::enumerate(loopsToSizes.getResults())) {
      bool isDivided = op == root ? tile[loop] != 0 : loop < tile.size() && tile[loop] == 1;
      int64_t step = op == root && isDivided ? tile[loop] : 1;
      auto position = dyn_cast<AffineDimExpr>(expr);
      Value size = isDivided ? arith::ConstantIndexOp::create(builder, loc, step).getResult()
                   : position && sizes[position.getPosition()]
                       ? getValueOrCreateConstantIndexOp(builder, loc, sizes[position.getPosition()])
                       : arith::ConstantIndexOp::create(builder, loc, 1).getResult();
      work = builder.createOrFold<arith::MulIOp>(loc, work, size);
    }
    largest = builder.createOrFold<arith::MaxSIOp>(loc, largest, work);
  }
  return largest;
}

/// A piece is divided into rows, several of them as long as they are known to be less than a chunk together; a single
/// row is divided into chunks.
static SmallVector<int64_t> choosePieceTile(ArrayRef<tensor::InsertSliceOp> pieces, size_t shared,
                                            const TileSizes &sizes) {
  tensor::InsertSliceOp first = pieces.front();
  RankedTensorType type = first.getSourceType();
  SmallVector<int64_t> tile(type.getRank(), 0);
  std::fill_n(tile.begin(), shared, 1);
  auto isOne = [](int64_t size) { return size == 1; };
  int64_t row = type.getRank() - 1;
  while (row > 0 && isOne(type.getDimSize(row)))
    tile[row--] = 0;
  if (row < static_cast<int64_t>(shared))
    tile[row] = llvm::all_of(type.getShape().take_front(row), isOne) ? sizes.chunk : 0;
  int64_t elements = 0;
  for (tensor::InsertSliceOp piece : pieces)
    elements = std::max(elements,
                        piece.getSourceType().isDynamicDim(row) ? sizes.chunk : piece.getSourceType().getDimSize(row));
  for (int64_t dim = row - 1; dim > 0 && !type.isDynamicDim(dim); --dim) {
    elements *= type.getDimSize(dim);
    if (elements > sizes.pieceRows)
      break;
    tile[dim] = 0;
  }
  for (tensor::InsertSliceOp piece : pieces) {
    auto op = piece.getSource().getDefiningOp<linalg::GenericOp>();
    if (!op || !op.getIndexingMapsArray().back().isIdentity())
      continue;
    int64_t transposed = findTransposedLoop(op, row);
    if (transposed >= 0 && tile[transposed] == 1)
      tile[transposed] = sizes.transposedRows;
  }
  return tile;
}

/// How many elements one tile of all pieces has.
static Value createPieceWork(OpBuilder &b, ArrayRef<tensor::InsertSliceOp> pieces, ArrayRef<int64_t> tile) {
  Location loc = pieces.front()->getLoc();
  Value sum = arith::ConstantIndexOp::create(b, loc, 0);
  for (tensor::InsertSliceOp piece : pieces) {
    Value product = arith::ConstantIndexOp::create(b, loc, 1);
    for (auto [dim, step] : llvm::enumerate(tile)) {
      OpFoldResult size = step ? b.getIndexAttr(step) : findSize(piece.getSource(), dim);
      product = b.createOrFold<arith::MulIOp>(loc, product, getValueOrCreateConstantIndexOp(b, loc, size));
    }
    sum = b.createOrFold<arith::AddIOp>(loc, sum, product);
  }
  return sum;
}

/// The pieces of a result, which one loop computes.
static LogicalResult schedulePieces(tensor::InsertSliceOp last, size_t shared, const TileSizes &sizes) {
  SmallVector<tensor::InsertSliceOp> pieces = findInsertions(last);
  SmallVector<int64_t> tile = choosePieceTile(pieces, shared, sizes);
  IRRewriter rewriter(last);
  rt::WorkOp::create(rewriter, last.getLoc(), createPieceWork(rewriter, pieces, tile));
  return tilePieces(rewriter, pieces, tile);
}

/// A parallel loop over the updates, each of which goes to its slice of the result or, where it has none, to an empty
/// one.
static void scheduleScatter(ScatterOp op) {
  TileBuilder b(op.getLoc(), op);
  RankedTensorType type = op.getUpdates().getType();
  Value row = b.asValue(b.index(1));
  Sizes sizes(type.getRank(), b.index(1)), offsets(type.getRank(), b.index(0)), strides = sizes;
  for (int64_t dim = 1; dim < type.getRank(); ++dim) {
    sizes[dim] = findSize(op.getUpdates(), dim);
    row = b.createOrFold<arith::MulIOp>(row, b.asValue(sizes[dim]));
  }
  rt::WorkOp::create(b, row);
  Sizes zero = {b.index(0)}, one = {b.index(1)}, count = {findSize(op.getUpdates(), 0)};
  auto loop = scf::ForallOp::create(b, zero, count, one, op.getOperand(), std::nullopt);
  op.replaceAllUsesWith(loop);
  b.setInsertionPointToStart(loop.getBody());
  Value update = loop.getInductionVar(0);
  Value index = arith::IndexCastOp::create(b, b.getIndexType(),
                                           tensor::ExtractOp::create(b, op.getIndices(), ValueRange{update}));
  // As an unsigned number, a negative index is beyond the end too.
  Value isInside = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, index, b.asValue(findSize(op.getOperand(), 0)));
  Value none = b.asValue(b.index(0));
  sizes[0] = arith::SelectOp::create(b, isInside, b.asValue(b.index(1)), none).getResult();
  offsets[0] = update;
  auto sliceType = cast<RankedTensorType>(type.clone(decomposeMixedValues(sizes).first));
  Value source = tensor::ExtractSliceOp::create(b, sliceType, op.getUpdates(), offsets, sizes, strides);
  offsets[0] = arith::SelectOp::create(b, isInside, index, none).getResult();
  b.setInsertionPointToEnd(loop.getTerminator().getBody());
  tensor::ParallelInsertSliceOp::create(b, source, loop.getRegionIterArgs()[0], offsets, sizes, strides);
  op.erase();
}

/// Two reduction loops of an operation that follow each other, which become one where all operands have them side by
/// side.
static std::optional<int64_t> findReducedPair(Block &block) {
  for (auto op : block.getOps<linalg::LinalgOp>()) {
    SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
    for (size_t loop = 0; loop + 1 < iterators.size(); ++loop)
      if (linalg::isReductionIterator(iterators[loop]) && linalg::isReductionIterator(iterators[loop + 1]))
        return loop;
  }
  return std::nullopt;
}

/// The first `count` parallel loops.
static SmallVector<int64_t> parallelLoops(linalg::LinalgOp op, size_t count) {
  SmallVector<int64_t> loops;
  for (auto [loop, iterator] : llvm::enumerate(op.getIteratorTypesArray()))
    if (linalg::isParallelIterator(iterator) && loops.size() < count)
      loops.push_back(loop);
  return loops;
}

/// Makes what a block computes two branches, which are the same so far.
static scf::IfOp createVariants(OpBuilder &b, Block &block, Value condition) {
  Operation *terminator = block.getTerminator();
  auto isComputed = [](Operation &op) {
    return llvm::any_of(op.getResultTypes(), llvm::IsaPred<RankedTensorType>) && !isa<BindShapeOp>(op);
  };
  SmallVector<Operation *> ops;
  for (Operation &op : block)
    if (isComputed(op))
      ops.push_back(&op);
  auto branch = scf::IfOp::create(b, terminator->getLoc(), terminator->getOperandTypes(), condition,
                                  /*withElseRegion=*/true);
  for (Block *side : {branch.thenBlock(), branch.elseBlock()}) {
    OpBuilder inside = OpBuilder::atBlockEnd(side);
    IRMapping mapping;
    for (Operation *op : ops)
      inside.clone(*op, mapping);
    SmallVector<Value> results;
    for (Value result : terminator->getOperands())
      results.push_back(mapping.lookupOrDefault(result));
    scf::YieldOp::create(inside, terminator->getLoc(), results);
  }
  terminator->setOperands(branch.getResults());
  for (Operation *op : llvm::reverse(ops))
    op->erase();
  return branch;
}

namespace {
struct SchedulePass : tessera::impl::TesseraSchedulePassBase<SchedulePass> {
  using Base::Base;

  void runOnOperation() override {
    func::FuncOp kernel = getOperation();
    auto kind = kernel->getAttrOfType<StringAttr>("tessera.kind");
    auto tileDims = kernel->getAttrOfType<DenseI64ArrayAttr>("tessera.tile_dims");
    if (!kind || !tileDims)
      return;
    const TileSizes &sizes = device == "gpu" ? kGpuTiles : kCpuTiles;
    scheduleAttention(kernel, sizes);
    for (ScatterOp scatter : llvm::to_vector(kernel.getOps<ScatterOp>()))
      scheduleScatter(scatter);
    SmallVector<int64_t> dims(tileDims.asArrayRef());
    // Upstream's tiling asserts on loops of no iterations.
    for (auto op : kernel.getOps<linalg::LinalgOp>())
      if (llvm::is_contained(op.getStaticLoopRanges(), 0))
        return;
    auto results = cast<func::ReturnOp>(kernel.getBody().front().getTerminator()).getOperands();
    if (auto last = results.empty() ? nullptr : results.front().getDefiningOp<tensor::InsertSliceOp>()) {
      // Pieces that are numbers have nothing to divide.
      if (!dims.empty() && failed(schedulePieces(last, dims.size(), sizes)))
        signalPassFailure();
      return;
    }
    if (failed(scheduleRoot(kernel, kind, dims, sizes)))
      signalPassFailure();
  }

  LogicalResult scheduleRoot(func::FuncOp kernel, StringRef kind, SmallVector<int64_t> dims, const TileSizes &sizes) {
    Block &body = kernel.getBody().front();
    if (!findRoot(body))
      return success();
    while (dims.size() >= 2 && dims[0] == 0 && dims[1] == 1 && !(kind == "matmul" && dims.size() == 2) &&
           collapseLoops(kernel, 0))
      dims.pop_back();
    if (sizes.fewTiles > 0 && kind == "rowwise")
      return scheduleReduction(kernel, dims, sizes);
    return divide(body, kind, dims, sizes);
  }

  /// A reduction may be one of few tiles that are long, which is known when the kernel is launched.
  LogicalResult scheduleReduction(func::FuncOp kernel, SmallVector<int64_t> dims, const TileSizes &sizes) {
    Block &body = kernel.getBody().front();
    while (std::optional<int64_t> pair = findReducedPair(body)) {
      if (!collapseLoops(kernel, *pair))
        break;
      if (findRoot(body).getNumReductionLoops() > 0)
        for (int64_t &dim : dims)
          dim -= dim > *pair;
    }
    std::optional<ReductionSplit> split = ReductionSplit::find(body, sizes);
    if (!split)
      return divide(body, "rowwise", dims, sizes);
    OpBuilder b(body.getTerminator());
    OpFoldResult isWorth = split->createCondition(b);
    if (auto condition = dyn_cast<Value>(isWorth)) {
      auto branch = createVariants(b, body, condition);
      ReductionSplit inBranch = *ReductionSplit::find(*branch.thenBlock(), sizes);
      return success(succeeded(divideSplit(*branch.thenBlock(), inBranch, dims, sizes)) &&
                     succeeded(divide(*branch.elseBlock(), "rowwise", dims, sizes)));
    }
    if (getConstantIntValue(isWorth) == 0)
      return divide(body, "rowwise", dims, sizes);
    return divideSplit(body, *split, dims, sizes);
  }

  LogicalResult divideSplit(Block &block, ReductionSplit &split, SmallVector<int64_t> dims, const TileSizes &sizes) {
    bool isRoot = split.op == findRoot(block);
    IRRewriter rewriter(&getContext());
    if (failed(split.apply(rewriter)))
      return failure();
    if (isRoot)
      dims = parallelLoops(findRoot(block), dims.size());
    return divide(block, "rowwise", dims, sizes);
  }

  LogicalResult divide(Block &block, StringRef kind, ArrayRef<int64_t> dims, const TileSizes &sizes) {
    linalg::LinalgOp root = findRoot(block);
    SmallVector<int64_t> tile = chooseTile(root, kind, dims, sizes);
    if (llvm::all_of(tile, [](int64_t size) { return size == 0; }))
      return success();
    IRRewriter rewriter(root);
    rt::WorkOp::create(rewriter, root.getLoc(), createWork(rewriter, root, tile));
    scf::SCFTileAndFuseOptions options;
    options.tilingOptions.setTileSizes(getAsIndexOpFoldResult(&getContext(), tile));
    options.tilingOptions.setLoopType(scf::SCFTilingOptions::LoopType::ForallOp);
    FailureOr<scf::SCFTileAndFuseResult> result =
        scf::tileConsumerAndFuseProducersUsingSCF(rewriter, cast<TilingInterface>(root.getOperation()), options);
    if (failed(result))
      return root->emitOpError("cannot be divided into tiles");
    for (OpResult value : root->getResults())
      if (Value replacement = result->replacements.lookup(value))
        rewriter.replaceAllUsesWith(value, replacement);
    return success();
  }
};
} // namespace
