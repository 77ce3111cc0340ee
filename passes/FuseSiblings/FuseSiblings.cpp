// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/Utils/Insertions.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Transforms/RegionUtils.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAFUSESIBLINGSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

using Readers = SmallPtrSet<Operation *, 4>;

namespace {

/// Finds what reads the results of operations.
class ReaderAnalysis {
public:
  Readers find(Operation *op) {
    Readers readers;
    for (Value result : op->getResults())
      collect(result, readers);
    return readers;
  }

private:
  /// What reads a tensor, by views or as it is.
  void collect(Value tensor, Readers &readers) {
    for (Operation *user : tensor.getUsers()) {
      auto insertion = dyn_cast<tensor::InsertSliceOp>(user);
      if (isa<ReshapeOp, tensor::ExtractSliceOp, tensor::CastOp>(user))
        collect(user->getResult(0), readers);
      else
        readers.insert(insertion ? findKernel(insertion) : user);
    }
  }

  /// Insertions of one kernel are one reader, the last of them.
  Operation *findKernel(tensor::InsertSliceOp insertion) {
    tensor::InsertSliceOp last = findLastInsertion(insertion);
    auto [known, isNew] = isOneKernel.try_emplace(last, false);
    if (isNew)
      known->second = findPieces(last).size() > 1;
    return known->second ? last : insertion;
  }

  DenseMap<Operation *, bool> isOneKernel;
};

} // namespace

/// Whether the loops of an operation are the dimensions of its results.
static bool isElementwise(linalg::GenericOp op) {
  return op.hasPureTensorSemantics() && op.getNumParallelLoops() == op.getNumLoops() &&
         llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
           return op.getMatchingIndexingMap(&init).isIdentity() && op.getMatchingBlockArgument(&init).use_empty();
         });
}

static bool walkSameLoops(linalg::GenericOp a, linalg::GenericOp b) {
  if (a.getNumLoops() != b.getNumLoops())
    return false;
  return llvm::all_of(llvm::seq<int64_t>(a.getNumLoops()), [&](int64_t dim) {
    return isEqualConstantIntOrValue(findSize(a->getResult(0), dim), findSize(b->getResult(0), dim));
  });
}

static bool haveSameOperands(linalg::GenericOp a, linalg::GenericOp b) {
  auto reads = [](linalg::GenericOp op) {
    SmallVector<std::pair<void *, void *>> result;
    for (OpOperand *input : op.getDpsInputOperands())
      result.emplace_back(input->get().getAsOpaquePointer(),
                          const_cast<void *>(op.getMatchingIndexingMap(input).getAsOpaquePointer()));
    llvm::sort(result);
    return result;
  };
  return a.getNumDpsInputs() > 0 && reads(a) == reads(b);
}

static bool areSiblings(ReaderAnalysis &analysis, linalg::GenericOp a, linalg::GenericOp b) {
  if (!walkSameLoops(a, b))
    return false;
  Readers readers = analysis.find(a);
  if (readers.empty() || readers != analysis.find(b))
    return false;
  bool arePieces = llvm::all_of(readers, llvm::IsaPred<tensor::InsertSliceOp>);
  return arePieces || haveSameOperands(a, b);
}

/// Puts the second operation beside the first, if what it is computed from can be there.
static FailureOr<linalg::GenericOp> merge(RewriterBase &b, linalg::GenericOp first, linalg::GenericOp second) {
  if (failed(moveOperationDependencies(b, second, first)))
    return failure();
  b.setInsertionPoint(first);
  auto concat = [](auto &&x, auto &&y) {
    auto result = llvm::to_vector(x);
    llvm::append_range(result, y);
    return result;
  };
  SmallVector<Value> inputs = concat(first.getDpsInputs(), SmallVector<Value>(second.getDpsInputs()));
  SmallVector<Value> inits = concat(first.getDpsInits(), SmallVector<Value>(second.getDpsInits()));
  SmallVector<AffineMap> maps = concat(ArrayRef(first.getIndexingMapsArray()).take_front(first.getNumDpsInputs()),
                                       ArrayRef(second.getIndexingMapsArray()).take_front(second.getNumDpsInputs()));
  maps.append(inits.size(), b.getMultiDimIdentityMap(first.getNumLoops()));
  Location loc = b.getFusedLoc({first.getLoc(), second.getLoc()});
  auto merged = linalg::GenericOp::create(b, loc, ValueRange(inits).getTypes(), inputs, inits, maps,
                                          first.getIteratorTypesArray(), [](OpBuilder &, Location, ValueRange) {});
  Block *body = merged.getBlock();
  SmallVector<Value> results;
  size_t input = 0, init = inputs.size();
  for (linalg::GenericOp part : {first, second}) {
    SmallVector<Value> arguments(body->getArguments().slice(input, part.getNumDpsInputs()));
    llvm::append_range(arguments, body->getArguments().slice(init, part.getNumDpsInits()));
    input += part.getNumDpsInputs();
    init += part.getNumDpsInits();
    b.inlineBlockBefore(part.getBlock(), body, body->end(), arguments);
    Operation *yield = &body->back();
    llvm::append_range(results, yield->getOperands());
    b.eraseOp(yield);
  }
  b.setInsertionPointToEnd(body);
  linalg::YieldOp::create(b, loc, results);
  b.replaceOp(first, merged.getResults().take_front(first->getNumResults()));
  b.replaceOp(second, merged.getResults().take_back(second->getNumResults()));
  return merged;
}

namespace {
struct FuseSiblingsPass : tessera::impl::TesseraFuseSiblingsPassBase<FuseSiblingsPass> {
  void runOnOperation() override {
    SmallVector<Block *> blocks;
    getOperation()->walk([&](Block *block) { blocks.push_back(block); });
    IRRewriter rewriter(&getContext());
    for (Block *block : blocks)
      fuse(rewriter, *block);
  }

  static void fuse(RewriterBase &rewriter, Block &block) {
    ReaderAnalysis analysis;
    SmallVector<linalg::GenericOp> kept;
    for (auto op : llvm::to_vector(block.getOps<linalg::GenericOp>())) {
      if (!isElementwise(op))
        continue;
      FailureOr<linalg::GenericOp> merged = failure();
      for (linalg::GenericOp &sibling : kept)
        if (areSiblings(analysis, sibling, op) && succeeded(merged = merge(rewriter, sibling, op))) {
          sibling = *merged;
          break;
        }
      if (failed(merged))
        kept.push_back(op);
    }
  }
};
} // namespace
