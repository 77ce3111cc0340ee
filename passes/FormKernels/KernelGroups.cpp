// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/FormKernels/KernelGroups.h"

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Utils/Insertions.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

StringRef tessera::kindName(KernelGroup::Kind kind) {
  switch (kind) {
  case KernelGroup::Kind::Elementwise:
    return "elementwise";
  case KernelGroup::Kind::Rowwise:
    return "rowwise";
  case KernelGroup::Kind::Matmul:
    return "matmul";
  case KernelGroup::Kind::Attention:
    return "attention";
  case KernelGroup::Kind::Scatter:
    return "scatter";
  }
  llvm_unreachable("all kinds have a name");
}

bool tessera::isCloned(Operation *op) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return isa<RankedTensorType>(constant.getType());
  if (isa<tensor::EmptyOp, tensor::ExtractSliceOp, tensor::CastOp>(op))
    return true;
  return isa<linalg::FillOp>(op) &&
         llvm::all_of(op->getUsers(), [&](Operation *user) { return isa<linalg::LinalgOp>(user); });
}

bool tessera::isComputed(Operation *op) {
  return isa<linalg::LinalgOp, tensor::InsertSliceOp, FlashAttentionOp, FlashAttentionVarlenOp, PagedAttentionOp,
             ScatterOp>(op) &&
         !isCloned(op);
}

Value tessera::changedInPlace(const KernelGroup &group) {
  if (auto scatter = dyn_cast<ScatterOp>(group.root))
    return scatter.getOperand();
  Value changed;
  for (Operation *member : group.members)
    if (auto insertion = dyn_cast<tensor::InsertSliceOp>(member);
        insertion && (!changed || changed == insertion.getResult()))
      changed = insertion.getDest();
  return changed;
}

namespace {

/// The loop of an operation that walks each tile dimension of its group's root.
using TileLoops = SmallVector<int64_t>;
constexpr int64_t kMissing = -1;

bool isMatmul(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp || !linalg::isaContractionOpInterface(linalgOp))
    return false;
  FailureOr<linalg::ContractionDimensions> dims = linalg::inferContractionDims(linalgOp);
  return succeeded(dims) && !dims->m.empty() && dims->n.size() == 1 && dims->k.size() == 1;
}

bool hasReduction(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return linalgOp && linalgOp.getNumReductionLoops() > 0;
}

class Grouping {
public:
  explicit Grouping(Block &block) : block(block) {}

  SmallVector<std::unique_ptr<KernelGroup>> run() {
    for (Operation &op : llvm::reverse(block))
      if (isComputed(&op) && !groupOf.contains(&op) && !absorb(&op))
        startGroup(&op);
    return std::move(groups);
  }

private:
  void startGroup(Operation *op) {
    auto group = std::make_unique<KernelGroup>();
    group->root = op;
    group->members.push_back(op);
    TileLoops loops;
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      for (auto [loop, iterator] : llvm::enumerate(linalgOp.getIteratorTypesArray()))
        if (linalg::isParallelIterator(iterator))
          loops.push_back(loop);
      group->kind = isMatmul(op)       ? KernelGroup::Kind::Matmul
                    : hasReduction(op) ? KernelGroup::Kind::Rowwise
                                       : KernelGroup::Kind::Elementwise;
    } else if (auto insertion = dyn_cast<tensor::InsertSliceOp>(op)) {
      SmallVector<tensor::InsertSliceOp> pieces = findPieces(insertion);
      llvm::append_range(loops, llvm::seq<int64_t>(countSharedDims(pieces)));
      for (tensor::InsertSliceOp piece : llvm::reverse(ArrayRef(pieces).drop_back())) {
        group->members.push_back(piece);
        tileLoops[piece] = loops;
        groupOf[piece] = group.get();
      }
      group->kind = KernelGroup::Kind::Elementwise;
    } else {
      group->kind = isa<ScatterOp>(op) ? KernelGroup::Kind::Scatter : KernelGroup::Kind::Attention;
    }
    group->tileDims = loops;
    tileLoops[op] = loops;
    groupOf[op] = group.get();
    groups.push_back(std::move(group));
  }

  /// Puts a producer into the group that all its readers are in, if it can be computed tile by tile there.
  bool absorb(Operation *op) {
    auto producer = dyn_cast<linalg::LinalgOp>(op);
    if (!producer || op->use_empty())
      return false;
    KernelGroup *group = nullptr;
    for (Operation *user : op->getUsers()) {
      KernelGroup *mine = user->getBlock() == &block ? groupOf.lookup(user) : nullptr;
      if (!mine || (group && mine != group))
        return false;
      group = mine;
    }
    if (group->kind == KernelGroup::Kind::Attention || group->kind == KernelGroup::Kind::Scatter)
      return false;
    FailureOr<TileLoops> loops = findTileLoops(producer, group);
    if (failed(loops))
      return false;

    // What stays divided must be the outer dimensions of the root: rows, not columns.
    size_t kept = llvm::find(*loops, kMissing) - loops->begin();
    if (llvm::any_of(ArrayRef(*loops).drop_front(kept), [](int64_t loop) { return loop != kMissing; }))
      return false;
    bool shrinks = kept < loops->size();
    if (kept == 0 && !group->tileDims.empty())
      return false;
    bool feedsMatmul = llvm::any_of(op->getUsers(), isMatmul);
    if (isMatmul(op)) {
      // Rows and columns of a product are divided, so all of its readers must be too, and be elementwise.
      if (shrinks || (group->kind != KernelGroup::Kind::Elementwise && group->kind != KernelGroup::Kind::Matmul) ||
          feedsMatmul || isa<tensor::InsertSliceOp>(group->root))
        return false;
      group->kind = KernelGroup::Kind::Matmul;
    } else if (group->kind == KernelGroup::Kind::Matmul) {
      if (shrinks || feedsMatmul || hasReduction(op))
        return false;
    } else if (shrinks || hasReduction(op)) {
      group->kind = KernelGroup::Kind::Rowwise;
    }

    tileLoops[op] = *loops;
    for (Operation *member : group->members)
      tileLoops[member].truncate(kept);
    tileLoops[op].truncate(kept);
    group->tileDims.truncate(kept);
    group->members.push_back(op);
    groupOf[op] = group;
    return true;
  }

  /// The loops of a producer that walk the group's tile dimensions, the same seen from every reader.
  FailureOr<TileLoops> findTileLoops(linalg::LinalgOp producer, KernelGroup *group) {
    TileLoops result;
    for (OpOperand &use : producer->getUses()) {
      AffineMap read;
      if (auto reader = dyn_cast<linalg::LinalgOp>(use.getOwner())) {
        read = reader.getMatchingIndexingMap(&use);
      } else if (auto insert = dyn_cast<tensor::InsertSliceOp>(use.getOwner());
                 insert && insert.getSource() == use.get()) {
        read = AffineMap::getMultiDimIdentityMap(insert.getSourceType().getRank(), insert.getContext());
      } else {
        return failure();
      }
      AffineMap write = producer.getIndexingMapMatchingResult(cast<OpResult>(use.get()));
      TileLoops loops;
      for (int64_t readerLoop : tileLoops[use.getOwner()]) {
        int64_t loop = kMissing;
        for (auto [expr, target] : llvm::zip(read.getResults(), write.getResults()))
          if (expr == getAffineDimExpr(readerLoop, expr.getContext()))
            if (auto dim = dyn_cast<AffineDimExpr>(target))
              loop = dim.getPosition();
        loops.push_back(loop);
      }
      if (!result.empty() && result != loops)
        return failure();
      result = loops;
    }
    return result;
  }

  Block &block;
  SmallVector<std::unique_ptr<KernelGroup>> groups;
  DenseMap<Operation *, KernelGroup *> groupOf;
  DenseMap<Operation *, TileLoops> tileLoops;
};

} // namespace

SmallVector<std::unique_ptr<KernelGroup>> tessera::groupKernels(Block &block) { return Grouping(block).run(); }
