// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Insertions.h"

#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"

using namespace mlir;
using namespace tessera;

/// The insertion into the result of `insertion`, if nothing else reads it.
static tensor::InsertSliceOp findNext(tensor::InsertSliceOp insertion) {
  if (!insertion->hasOneUse())
    return {};
  OpOperand &use = *insertion->use_begin();
  auto next = dyn_cast<tensor::InsertSliceOp>(use.getOwner());
  return next && next->getBlock() == insertion->getBlock() && &use == &next.getDestMutable() ? next : nullptr;
}

SmallVector<tensor::InsertSliceOp> tessera::findInsertions(tensor::InsertSliceOp last) {
  SmallVector<tensor::InsertSliceOp> insertions = {last};
  while (auto before = insertions.back().getDest().getDefiningOp<tensor::InsertSliceOp>()) {
    if (findNext(before) != insertions.back())
      break;
    insertions.push_back(before);
  }
  std::reverse(insertions.begin(), insertions.end());
  return insertions;
}

tensor::InsertSliceOp tessera::findLastInsertion(tensor::InsertSliceOp insertion) {
  while (tensor::InsertSliceOp next = findNext(insertion))
    insertion = next;
  return insertion;
}

/// Whether slice `a` is known to end, along a dimension, before `b` begins. Upstream's areOverlappingSlices knows only
/// of distances that are constants.
static bool endsBefore(OffsetSizeAndStrideOpInterface a, OffsetSizeAndStrideOpInterface b, unsigned dim) {
  using Bounds = ValueBoundsConstraintSet;
  std::optional<int64_t> stride = getConstantIntValue(a.getMixedStrides()[dim]);
  if (!stride)
    return false;
  AffineExpr offset = getAffineDimExpr(0, a->getContext()), size = getAffineDimExpr(1, a->getContext());
  SmallVector<Bounds::Variable> operands = {a.getMixedOffsets()[dim], a.getMixedSizes()[dim]};
  Bounds::Variable end(AffineMap::get(2, 0, offset + size * *stride), operands);
  return Bounds::compare(end, Bounds::LE, b.getMixedOffsets()[dim]);
}

bool tessera::areDisjoint(OffsetSizeAndStrideOpInterface a, OffsetSizeAndStrideOpInterface b) {
  return llvm::any_of(llvm::seq<unsigned>(a.getMixedOffsets().size()),
                      [&](unsigned dim) { return endsBefore(a, b, dim) || endsBefore(b, a, dim); });
}

int64_t tessera::countSharedDims(ArrayRef<tensor::InsertSliceOp> pieces) {
  tensor::InsertSliceOp first = pieces.front();
  int64_t shared = 0, rank = first.getSourceType().getRank();
  while (shared < rank && llvm::all_of(
                              pieces,
                              [&](tensor::InsertSliceOp piece) {
                                return isEqualConstantIntOrValue(findSize(piece.getSource(), shared),
                                                                 findSize(first.getSource(), shared));
                              }))
    ++shared;
  return shared;
}

SmallVector<tensor::InsertSliceOp> tessera::findPieces(tensor::InsertSliceOp last) {
  SmallVector<tensor::InsertSliceOp> pieces = findInsertions(last), onlyLast = {last};
  int64_t rank = last.getSourceType().getRank();
  if (llvm::any_of(pieces, [&](tensor::InsertSliceOp piece) { return piece.getSourceType().getRank() != rank; }))
    return onlyLast;
  int64_t shared = countSharedDims(pieces);
  bool isOneRow =
      llvm::all_of(last.getSourceType().getShape().take_front(shared), [](int64_t size) { return size == 1; });
  bool haveTiles = shared == rank || (shared == rank - 1 && !isOneRow);
  for (size_t i = 0; haveTiles && i < pieces.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      haveTiles &= areDisjoint(pieces[i], pieces[j]);
  return haveTiles ? pieces : onlyLast;
}
