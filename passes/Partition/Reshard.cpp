// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Partition/Reshard.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace tessera;

bool tessera::isWhole(const Cuts &cuts) {
  return llvm::all_of(cuts, [](ArrayRef<shard::GridAxis> axes) { return axes.empty(); });
}

int64_t tessera::countParts(shard::GridOp grid, ArrayRef<shard::GridAxis> axes) {
  return shard::collectiveProcessGroupSize(axes, grid);
}

RankedTensorType tessera::partType(RankedTensorType whole, const Cuts &cuts, shard::GridOp grid) {
  SmallVector<int64_t> shape(whole.getShape());
  for (auto [size, axes] : llvm::zip_equal(shape, cuts))
    if (!ShapedType::isDynamic(size))
      size /= countParts(grid, axes);
  return whole.clone(shape);
}

namespace {

/// Works on one tensor, step by step.
class Resharding {
public:
  Resharding(OpBuilder &b, Location loc, shard::GridOp grid, Value part, RankedTensorType whole, Cuts cuts)
      : b(b), loc(loc), grid(grid), part(part), whole(whole), cuts(std::move(cuts)) {}

  Value to(const Cuts &target) {
    exchange(target);
    for (size_t dim = 0; dim < target.size(); ++dim)
      gather(dim, target[dim]);
    for (size_t dim = 0; dim < target.size(); ++dim)
      slice(dim, target[dim]);
    return part;
  }

private:
  FlatSymbolRefAttr gridRef() { return FlatSymbolRefAttr::get(grid.getSymNameAttr()); }
  Type type() { return partType(whole, cuts, grid); }

  /// The axes by which one list is longer than another that it begins with.
  static std::optional<ArrayRef<shard::GridAxis>> findRest(ArrayRef<shard::GridAxis> longer,
                                                           ArrayRef<shard::GridAxis> shorter) {
    if (longer.size() < shorter.size() || longer.take_front(shorter.size()) != shorter)
      return std::nullopt;
    return longer.drop_front(shorter.size());
  }

  /// Where axes that cut one dimension are to cut another, each rank sends the others their parts, and no rank ever has
  /// more than its share.
  void exchange(const Cuts &target) {
    for (size_t from = 0; from < cuts.size(); ++from)
      for (size_t into = 0; into < cuts.size(); ++into) {
        auto leaving = findRest(cuts[from], target[from]), coming = findRest(target[into], cuts[into]);
        if (from == into || !leaving || !coming || leaving->empty() || *leaving != *coming)
          continue;
        SmallVector<shard::GridAxis> axes(*leaving);
        cuts[from] = target[from];
        cuts[into] = target[into];
        part = shard::AllToAllOp::create(b, loc, type(), gridRef(), b.getDenseI16ArrayAttr(axes), part,
                                         b.getIndexAttr(into), b.getIndexAttr(from));
      }
  }

  /// Joins what is cut otherwise than it is to be.
  void gather(size_t dim, ArrayRef<shard::GridAxis> target) {
    size_t kept = 0;
    while (kept < cuts[dim].size() && kept < target.size() && cuts[dim][kept] == target[kept])
      ++kept;
    SmallVector<shard::GridAxis> axes(ArrayRef(cuts[dim]).drop_front(kept));
    if (axes.empty())
      return;
    cuts[dim].truncate(kept);
    part =
        shard::AllGatherOp::create(b, loc, type(), gridRef(), b.getDenseI16ArrayAttr(axes), part, b.getIndexAttr(dim));
  }

  void slice(size_t dim, ArrayRef<shard::GridAxis> target) {
    SmallVector<shard::GridAxis> axes(target.drop_front(cuts[dim].size()));
    if (axes.empty())
      return;
    llvm::append_range(cuts[dim], axes);
    part =
        shard::AllSliceOp::create(b, loc, type(), gridRef(), b.getDenseI16ArrayAttr(axes), part, b.getIndexAttr(dim));
  }

  OpBuilder &b;
  Location loc;
  shard::GridOp grid;
  Value part;
  RankedTensorType whole;
  Cuts cuts;
};

} // namespace

Value tessera::reshard(OpBuilder &b, Location loc, shard::GridOp grid, Value part, RankedTensorType whole, Cuts from,
                       const Cuts &to) {
  return Resharding(b, loc, grid, part, whole, std::move(from)).to(to);
}
