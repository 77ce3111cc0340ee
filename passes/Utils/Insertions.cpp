// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Insertions.h"

#include "mlir/Interfaces/ValueBoundsOpInterface.h"

using namespace mlir;

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

bool tessera::areDisjoint(OffsetSizeAndStrideOpInterface a, OffsetSizeAndStrideOpInterface b) {
  FailureOr<bool> overlap = ValueBoundsConstraintSet::areOverlappingSlices(a->getContext(), HyperrectangularSlice(a),
                                                                           HyperrectangularSlice(b));
  return succeeded(overlap) && !*overlap;
}
