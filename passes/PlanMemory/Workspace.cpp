// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/PlanMemory/Workspace.h"

using namespace mlir;
using namespace tessera;

/// Enough for the widest vectors and for a cache line; the workspace itself begins so.
constexpr int64_t kAlignment = 64;

void Workspace::assignSlots(func::FuncOp host) {
  DenseMap<Operation *, Lifetime> moments;
  unsigned clock = 0;
  host.walk([&](Operation *op, const WalkStage &stage) {
    if (stage.isBeforeAllRegions())
      moments[op].first = clock++;
    if (stage.isAfterAllRegions())
      moments[op].second = clock++;
  });
  host.walk([&](rt::SliceOp slice) {
    auto size = sizes.find(slice);
    if (size == sizes.end() || slice->use_empty() || size->second.getConstant() == 0)
      return;
    // A use within a loop is a use in all of it, if the slice is older than the loop: another iteration may read what
    // this one left. What is born in the loop's body dies before the iteration ends.
    Lifetime lifetime(std::numeric_limits<unsigned>::max(), 0);
    for (Operation *user : slice->getUsers()) {
      Lifetime use = moments.lookup(slice->getBlock()->findAncestorOpInBlock(*user));
      lifetime = {std::min(lifetime.first, use.first), std::max(lifetime.second, use.second)};
    }
    slotOf[slice] = findSlot(size->second, lifetime);
  });
}

/// The smallest free slot that is large enough, or a free one that can grow to be, or a new one.
unsigned Workspace::findSlot(const SizeExpr &bytes, Lifetime lifetime) {
  Slot *best = nullptr;
  bool fits = false;
  for (Slot &slot : slots) {
    if (llvm::any_of(slot.taken, [&](const Lifetime &other) {
          return other.first <= lifetime.second && lifetime.first <= other.second;
        }))
      continue;
    if (algebra.isAtLeast(slot.bytes, bytes)) {
      if (!fits || !algebra.isAtLeast(slot.bytes, best->bytes))
        best = &slot;
      fits = true;
    } else if (!fits && algebra.isAtLeast(bytes, slot.bytes)) {
      // The larger it is already, the less it grows.
      if (!best || algebra.isAtLeast(slot.bytes, best->bytes))
        best = &slot;
    }
  }
  if (!best)
    best = &slots.emplace_back(Slot{bytes, {}});
  else if (!fits)
    best->bytes = bytes;
  best->taken.push_back(lifetime);
  return best - slots.begin();
}

Value Workspace::writeOffsets(SizeWriter &writer, SmallVectorImpl<Value> &offsets) const {
  offsets.resize(slots.size());
  Value end = writer.write(0);
  // Slots of constant size come first, so that their offsets are constants.
  for (bool isConstant : {true, false}) {
    for (auto [slot, offset] : llvm::zip(slots, offsets)) {
      if (slot.bytes.getConstant().has_value() != isConstant)
        continue;
      offset = end;
      end = writer.writeSum(end, writer.writeAligned(slot.bytes, kAlignment));
    }
  }
  return end;
}

void Workspace::moveSlices(ArrayRef<Value> offsets) const {
  for (auto [op, slot] : slotOf)
    cast<rt::SliceOp>(op).getOffsetMutable().assign(offsets[slot]);
}
