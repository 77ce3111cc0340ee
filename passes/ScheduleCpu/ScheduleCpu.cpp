// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERASCHEDULECPUPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

// Tiles, in elements. A chunk is long enough that starting it costs little beside it. The matmul tile keeps its
// accumulator (192 KiB in f32) and the rows of A for one block of K (256 * 192 * 4 bytes) in a second-level cache of
// 1 MiB; rows are a multiple of the micro-kernel's 6 and 8.
constexpr int64_t kChunk = 4096;
constexpr int64_t kColumnChunk = 256;
constexpr int64_t kMatmulRows = 192;
constexpr int64_t kMatmulColumns = 256;

/// The structured operation that the kernel's result comes from.
static linalg::LinalgOp findRoot(func::FuncOp kernel) {
  auto results = cast<func::ReturnOp>(kernel.getBody().front().getTerminator()).getOperands();
  if (results.empty())
    return {};
  Value result = results.front();
  if (auto insert = result.getDefiningOp<tensor::InsertSliceOp>())
    result = insert.getSource();
  return result.getDefiningOp<linalg::LinalgOp>();
}

/// Whether the kernel is one loop nest that reads and writes every operand in order (or as a single element), so that
/// its operands may as well have one dimension.
static bool isFlat(func::FuncOp kernel, linalg::LinalgOp root) {
  if (root.getNumReductionLoops() > 0 || root.getNumLoops() < 2 || root.hasIndexSemantics())
    return false;
  for (Operation &op : kernel.getBody().front())
    if (&op != root && !isa<BindShapeOp, func::ReturnOp, arith::ConstantOp>(op))
      return false;
  // A body may read a tensor at a position of its own.
  bool readsElsewhere = false;
  root->walk([&](tensor::ExtractOp) { readsElsewhere = true; });
  return !readsElsewhere && llvm::all_of(root->getOpOperands(), [&](OpOperand &operand) {
    AffineMap map = root.getMatchingIndexingMap(&operand);
    if (!isa<RankedTensorType>(operand.get().getType()) || map.getNumResults() == 0)
      return true;
    return map.isIdentity() && isa<BlockArgument>(operand.get());
  });
}

/// Makes the operands and loops of a flat kernel one-dimensional. The memory behind them stays the same.
static linalg::LinalgOp flatten(func::FuncOp kernel, linalg::LinalgOp root) {
  OpBuilder builder(root);
  Location loc = root.getLoc();
  Value init = root.getDpsInits()[0];
  Value count = arith::ConstantIndexOp::create(builder, loc, 1);
  int64_t staticCount = 1;
  auto type = cast<RankedTensorType>(init.getType());
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    staticCount = type.isDynamicDim(dim) || staticCount == ShapedType::kDynamic ? ShapedType::kDynamic
                                                                                : staticCount * type.getDimSize(dim);
    Value size = getValueOrCreateConstantIndexOp(builder, loc, findSize(init, dim));
    count = builder.createOrFold<arith::MulIOp>(loc, count, size);
  }
  for (BindShapeOp bind : llvm::make_early_inc_range(kernel.getOps<BindShapeOp>()))
    bind.erase();
  SmallVector<AffineMap> maps;
  for (OpOperand &operand : root->getOpOperands()) {
    bool isElement = root.getMatchingIndexingMap(&operand).getNumResults() == 0;
    maps.push_back(isElement ? AffineMap::get(1, 0, builder.getContext()) : builder.getMultiDimIdentityMap(1));
    if (isElement || cast<RankedTensorType>(operand.get().getType()).getRank() == 1)
      continue;
    operand.get().setType(RankedTensorType::get(staticCount, getElementTypeOrSelf(operand.get())));
    if (staticCount == ShapedType::kDynamic)
      BindShapeOp::create(builder, loc, operand.get(), count);
  }
  auto flat = linalg::GenericOp::create(builder, loc, ValueRange(root.getDpsInits()).getTypes(), root.getDpsInputs(),
                                        root.getDpsInits(), maps,
                                        SmallVector<utils::IteratorType>{utils::IteratorType::parallel});
  flat.getRegion().takeBody(root->getRegion(0));
  root->replaceAllUsesWith(flat);
  root.erase();
  kernel.setType(FunctionType::get(kernel.getContext(), kernel.getBody().getArgumentTypes(), flat->getResultTypes()));
  return flat;
}

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

static SmallVector<int64_t> chooseTile(linalg::LinalgOp root, StringRef kind, ArrayRef<int64_t> tileDims) {
  SmallVector<int64_t> tile(root.getNumLoops(), 0);
  for (int64_t dim : tileDims)
    tile[dim] = 1;
  if (kind == "matmul" && tileDims.size() >= 2) {
    tile[tileDims[tileDims.size() - 2]] = kMatmulRows;
    tile[tileDims.back()] = kMatmulColumns;
    return tile;
  }
  int64_t innermost = innermostLoop(root);
  if (innermost >= 0 && llvm::is_contained(tileDims, innermost)) {
    if (root.getNumReductionLoops() > 0)
      tile[innermost] = kColumnChunk;
    else
      tile[innermost] = tileDims.size() == 1 ? kChunk : 0;
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

namespace {
struct ScheduleCpuPass : tessera::impl::TesseraScheduleCpuPassBase<ScheduleCpuPass> {
  void runOnOperation() override {
    func::FuncOp kernel = getOperation();
    auto kind = kernel->getAttrOfType<StringAttr>("tessera.kind");
    auto tileDims = kernel->getAttrOfType<DenseI64ArrayAttr>("tessera.tile_dims");
    if (!kind || !tileDims)
      return;
    linalg::LinalgOp root = findRoot(kernel);
    if (!root)
      return;
    SmallVector<int64_t> dims(tileDims.asArrayRef());
    if (kind == "elementwise" && isFlat(kernel, root)) {
      root = flatten(kernel, root);
      dims = {0};
    }
    SmallVector<int64_t> tile = chooseTile(root, kind, dims);
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
