// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/Schedule/AttentionLayout.h"
#include "passes/Schedule/AttentionTiles.h"
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

/// The structured operation that the kernel's result comes from.
static linalg::LinalgOp findRoot(func::FuncOp kernel) {
  auto results = cast<func::ReturnOp>(kernel.getBody().front().getTerminator()).getOperands();
  if (results.empty())
    return {};
  return results.front().getDefiningOp<linalg::LinalgOp>();
}

/// A map that treats the first two loops as one, or null where the operand does not have them side by side in front.
static AffineMap collapseMap(AffineMap map) {
  MLIRContext *context = map.getContext();
  AffineExpr d0 = getAffineDimExpr(0, context), d1 = getAffineDimExpr(1, context);
  ArrayRef<AffineExpr> results = map.getResults();
  bool hasBoth = results.size() >= 2 && results[0] == d0 && results[1] == d1;
  SmallVector<AffineExpr> shifted = {d0, d0};
  for (unsigned dim = 2; dim < map.getNumDims(); ++dim)
    shifted.push_back(getAffineDimExpr(dim - 1, context));
  SmallVector<AffineExpr> collapsed;
  for (AffineExpr expr : results.drop_front(hasBoth ? 1 : 0)) {
    if (!(hasBoth && expr == d1) && (expr.isFunctionOfDim(0) || expr.isFunctionOfDim(1)))
      return {};
    collapsed.push_back(expr.replaceDims(shifted));
  }
  return AffineMap::get(map.getNumDims() - 1, 0, collapsed, context);
}

namespace {

/// Makes the two outer dimensions of a kernel one, in all of its tensors at once. The memory behind them stays the
/// same, because arguments are contiguous.
class RowCollapse {
public:
  explicit RowCollapse(func::FuncOp kernel) : kernel(kernel) {}

  bool run() {
    if (!plan())
      return false;
    OpBuilder builder(kernel.getContext());
    for (Operation &op : llvm::make_early_inc_range(kernel.getBody().front()))
      rewrite(builder, &op);
    kernel.setType(FunctionType::get(kernel.getContext(), kernel.getBody().getArgumentTypes(),
                                     kernel.getBody().front().getTerminator()->getOperandTypes()));
    return true;
  }

private:
  /// Finds the tensors that have both dimensions in front, or false where one has them otherwise.
  bool plan() {
    for (Operation &op : kernel.getBody().front()) {
      if (isa<BindShapeOp, func::ReturnOp, tensor::EmptyOp, linalg::FillOp>(op) || matchPattern(&op, m_Constant()))
        continue;
      auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
      if (!linalgOp) {
        if (llvm::any_of(op.getOperandTypes(), llvm::IsaPred<RankedTensorType>))
          return false;
        continue;
      }
      bool readsElsewhere = false;
      op.walk([&](tensor::ExtractOp) { readsElsewhere = true; });
      SmallVector<utils::IteratorType> iterators = linalgOp.getIteratorTypesArray();
      if (readsElsewhere || linalgOp.hasIndexSemantics() || iterators.size() < 2 ||
          !linalg::isParallelIterator(iterators[0]) || !linalg::isParallelIterator(iterators[1]))
        return false;
      for (OpOperand &operand : op.getOpOperands()) {
        AffineMap map = linalgOp.getMatchingIndexingMap(&operand);
        AffineMap collapsed = collapseMap(map);
        if (!collapsed || !agree(operand.get(), collapsed.getNumResults() < map.getNumResults()))
          return false;
      }
      for (OpResult result : op.getResults())
        if (!agree(result, true))
          return false;
    }
    // What only passes through must follow what uses it.
    return llvm::any_of(collapses, [](auto entry) { return entry.second; });
  }

  bool agree(Value tensor, bool isCollapsed) {
    if (!isa<RankedTensorType>(tensor.getType()))
      return !isCollapsed;
    auto [known, isNew] = collapses.try_emplace(tensor, isCollapsed);
    if (!isNew)
      return known->second == isCollapsed;
    if (auto fill = tensor.getDefiningOp<linalg::FillOp>())
      return agree(fill.getDpsInits()[0], isCollapsed);
    return true;
  }

  void collapseType(Value tensor) {
    auto type = cast<RankedTensorType>(tensor.getType());
    ArrayRef<int64_t> shape = type.getShape();
    bool isDynamic = ShapedType::isDynamic(shape[0]) || ShapedType::isDynamic(shape[1]);
    SmallVector<int64_t> collapsed = {isDynamic ? ShapedType::kDynamic : shape[0] * shape[1]};
    llvm::append_range(collapsed, shape.drop_front(2));
    tensor.setType(type.clone(collapsed));
  }

  /// The dynamic sizes of a collapsed tensor, from those of the original type.
  SmallVector<Value> collapseSizes(OpBuilder &b, Location loc, RankedTensorType type, ValueRange sizes) {
    SmallVector<OpFoldResult> all = getMixedValues(type.getShape(), sizes, b);
    SmallVector<Value> result;
    if (type.isDynamicDim(0) || type.isDynamicDim(1))
      result.push_back(b.createOrFold<arith::MulIOp>(loc, getValueOrCreateConstantIndexOp(b, loc, all[0]),
                                                     getValueOrCreateConstantIndexOp(b, loc, all[1])));
    for (OpFoldResult size : ArrayRef(all).drop_front(2))
      if (auto value = dyn_cast<Value>(size))
        result.push_back(value);
    return result;
  }

  void rewrite(OpBuilder &b, Operation *op) {
    b.setInsertionPoint(op);
    if (auto bind = dyn_cast<BindShapeOp>(op)) {
      if (!collapses.lookup(bind.getSource()))
        return;
      auto type = cast<RankedTensorType>(bind.getSource().getType());
      SmallVector<Value> sizes = collapseSizes(b, op->getLoc(), type, bind.getSizes());
      collapseType(bind.getSource());
      if (!sizes.empty())
        BindShapeOp::create(b, op->getLoc(), bind.getSource(), sizes);
      op->erase();
    } else if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
      if (!collapses.lookup(empty))
        return;
      SmallVector<Value> sizes = collapseSizes(b, op->getLoc(), empty.getType(), empty.getDynamicSizes());
      collapseType(empty);
      auto collapsed = tensor::EmptyOp::create(b, op->getLoc(), empty.getType(), sizes);
      empty.replaceAllUsesWith(collapsed.getResult());
      op->erase();
    } else if (auto fill = dyn_cast<linalg::FillOp>(op)) {
      if (!collapses.lookup(fill.getResult(0)))
        return;
      // An argument of static shape has no bind_shape that would have changed it.
      if (fill.getDpsInits()[0].getType() == fill.getResult(0).getType())
        collapseType(fill.getDpsInits()[0]);
      collapseType(fill.getResult(0));
    } else if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      // Arguments of static shape have no bind_shape that would have changed them.
      SmallVector<AffineMap> maps;
      for (OpOperand &operand : op->getOpOperands()) {
        maps.push_back(collapseMap(linalgOp.getMatchingIndexingMap(&operand)));
        auto type = dyn_cast<RankedTensorType>(operand.get().getType());
        if (type && static_cast<int64_t>(maps.back().getNumResults()) < type.getRank())
          collapseType(operand.get());
      }
      for (OpResult result : op->getResults())
        collapseType(result);
      SmallVector<utils::IteratorType> iterators = linalgOp.getIteratorTypesArray();
      iterators.erase(iterators.begin());
      auto collapsed = linalg::GenericOp::create(b, op->getLoc(), op->getResultTypes(), linalgOp.getDpsInputs(),
                                                 linalgOp.getDpsInits(), maps, iterators);
      collapsed.getRegion().takeBody(op->getRegion(0));
      op->replaceAllUsesWith(collapsed);
      op->erase();
    }
  }

  func::FuncOp kernel;
  DenseMap<Value, bool> collapses;
};

} // namespace

/// The loop that walks adjacent elements of the largest operand.
static int64_t innermostLoop(linalg::LinalgOp root) {
  AffineMap widest;
  for (AffineMap map : root.getIndexingMapsArray())
    if (!widest || map.getNumResults() >= widest.getNumResults())
      widest = map;
  if (widest.getNumResults() > 0)
    if (auto dim = dyn_cast<AffineDimExpr>(widest.getResults().back()))
      return dim.getPosition();
  return -1;
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
  int64_t innermost = innermostLoop(root);
  if (innermost >= 0 && llvm::is_contained(tileDims, innermost)) {
    if (root.getNumReductionLoops() > 0)
      tile[innermost] = sizes.columnChunk;
    else
      tile[innermost] = tileDims.size() == 1 ? sizes.chunk : sizes.rowChunk;
    int64_t transposed = root.getNumReductionLoops() == 0 ? findTransposedLoop(root, innermost) : -1;
    if (llvm::is_contained(tileDims, transposed)) {
      tile[transposed] = sizes.transposedRows;
      tile[innermost] = sizes.transposedColumns;
    }
  }
  return tile;
}

/// How many elements one tile touches: the product of what is not divided, and of the tile.
static Value createWork(OpBuilder &builder, func::FuncOp kernel, linalg::LinalgOp root, ArrayRef<int64_t> tile) {
  Location loc = root.getLoc();
  Value largest = arith::ConstantIndexOp::create(builder, loc, 1);
  // The widest operation of the kernel counts; its tile dimensions are those of the root as far as sizes go.
  for (auto op : kernel.getOps<linalg::LinalgOp>()) {
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
    if (dims.empty())
      return;
    // Upstream's tiling asserts on loops of no iterations.
    for (auto op : kernel.getOps<linalg::LinalgOp>())
      if (llvm::is_contained(op.getStaticLoopRanges(), 0))
        return;
    auto results = cast<func::ReturnOp>(kernel.getBody().front().getTerminator()).getOperands();
    if (auto last = results.empty() ? nullptr : results.front().getDefiningOp<tensor::InsertSliceOp>()) {
      if (failed(schedulePieces(last, dims.size(), sizes)))
        signalPassFailure();
      return;
    }
    linalg::LinalgOp root = findRoot(kernel);
    if (!root)
      return;
    while (dims.size() >= 2 && dims[0] == 0 && dims[1] == 1 && !(kind == "matmul" && dims.size() == 2) &&
           RowCollapse(kernel).run()) {
      dims.pop_back();
      root = findRoot(kernel);
    }
    SmallVector<int64_t> tile = chooseTile(root, kind, dims, sizes);
    if (llvm::all_of(tile, [](int64_t size) { return size == 0; }))
      return;
    if (failed(divide(kernel, root, tile)))
      return signalPassFailure();
  }

  LogicalResult divide(func::FuncOp kernel, linalg::LinalgOp root, ArrayRef<int64_t> tile) {
    IRRewriter rewriter(root);
    rt::WorkOp::create(rewriter, root.getLoc(), createWork(rewriter, kernel, root, tile));
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
