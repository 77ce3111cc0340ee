// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Partition/LoopNest.h"

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Shard/Interfaces/ShardingInterface.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tessera;
using shard::ReductionKind;

namespace {

using Loop = ShardableNest::Loop;

constexpr Loop kFixed{std::nullopt, /*isDivisible=*/false};

ArrayRef<int64_t> shapeOf(Value tensor) { return cast<RankedTensorType>(tensor.getType()).getShape(); }

SmallVector<Value> operandsAndResults(Operation *op) {
  SmallVector<Value> values(op->getOperands());
  llvm::append_range(values, op->getResults());
  return values;
}

/// Builds the nest of one operation.
class NestBuilder {
public:
  NestBuilder(Operation *op, SizeFinder findSize) : op(op), findSize(findSize) {
    nest.dims.resize(op->getNumOperands() + op->getNumResults());
  }

  ShardableNest build() {
    TypeSwitch<Operation *>(op)
        .Case<ReduceSumOp>([&](auto reduce) { reduceDims(reduce.getDims(), reduce.getKeepdims(), ReductionKind::Sum); })
        .Case<ReduceProdOp>(
            [&](auto reduce) { reduceDims(reduce.getDims(), reduce.getKeepdims(), ReductionKind::Product); })
        .Case<ReduceMaxOp, ReduceAnyOp>(
            [&](auto reduce) { reduceDims(reduce.getDims(), reduce.getKeepdims(), ReductionKind::Max); })
        .Case<ReduceMinOp, ReduceAllOp>(
            [&](auto reduce) { reduceDims(reduce.getDims(), reduce.getKeepdims(), ReductionKind::Min); })
        .Case<ArgMaxOp, ArgMinOp>([&](auto search) {
          reduceDims({static_cast<int64_t>(search.getDim())}, search.getKeepdims(), std::nullopt);
        })
        .Case<CumSumOp, SortOp, TopKOp>([&](auto along) { alongDim(along.getDim()); })
        .Case([&](MatmulOp product) { multiply(product); })
        .Case([&](TransposeOp transpose) {
          ArrayRef<unsigned> loops = walk(operand(0), transpose.getOperand());
          for (int64_t dim : transpose.getPermutation())
            result(0).push_back(loops[dim]);
        })
        .Case([&](ReshapeOp view) { reshape(view); })
        .Case([&](SliceOp slice) { this->slice(slice); })
        .Case([&](ConcatOp concat) {
          walk(result(0), concat.getResult());
          nest.loops[concat.getDim()] = kFixed;
          for (unsigned i = 0; i < op->getNumOperands(); ++i)
            operand(i) = result(0);
        })
        .Case([&](IotaOp iota) {
          walk(result(0), iota.getResult());
          nest.loops[iota.getDim()] = kFixed;
        })
        .Case([&](ConstantOp constant) {
          walk(result(0), constant.getResult(), isa<SplatElementsAttr>(constant.getValue()) ? Loop() : kFixed);
        })
        .Case([&](GatherOp gather) { takeRows(gather); })
        .Case([&](FlashAttentionOp attention) { attend(attention); })
        .Default([&](Operation *) {
          if (op->hasTrait<Elementwise>() || isa<BroadcastToOp>(op))
            broadcast();
          else
            keepWhole();
        });
    return std::move(nest);
  }

private:
  SmallVector<unsigned> &operand(unsigned index) { return nest.dims[index]; }
  SmallVector<unsigned> &result(unsigned index) { return nest.dims[op->getNumOperands() + index]; }

  unsigned add(Loop loop = {}) {
    nest.loops.push_back(loop);
    return nest.loops.size() - 1;
  }

  /// A loop for each dimension of a tensor.
  ArrayRef<unsigned> walk(SmallVector<unsigned> &dims, Value tensor, Loop loop = {}) {
    for (size_t i = 0; i < shapeOf(tensor).size(); ++i)
      dims.push_back(add(loop));
    return dims;
  }

  void keepWhole() {
    for (auto [dims, value] : llvm::zip_equal(nest.dims, operandsAndResults(op)))
      if (isa<RankedTensorType>(value.getType()))
        walk(dims, value, kFixed);
  }

  /// Operands aligned on the right of the result. What is repeated has a loop of its own, which has one iteration.
  void broadcast() {
    SmallVector<unsigned> loops(walk(result(0), op->getResult(0)));
    ArrayRef<int64_t> shape = shapeOf(op->getResult(0));
    for (auto [index, value] : llvm::enumerate(op->getOperands())) {
      if (!isa<RankedTensorType>(value.getType()))
        continue;
      ArrayRef<int64_t> own = shapeOf(value);
      size_t missing = shape.size() - own.size();
      for (size_t dim = 0; dim < own.size(); ++dim)
        operand(index).push_back(own[dim] == 1 && shape[dim + missing] != 1 ? add(kFixed) : loops[dim + missing]);
    }
  }

  void reduceDims(ArrayRef<int64_t> dims, bool keepdims, std::optional<ReductionKind> kind) {
    Loop reduced = kind ? Loop{*kind, true} : kFixed;
    for (size_t dim = 0; dim < shapeOf(op->getOperand(0)).size(); ++dim) {
      bool isReduced = llvm::is_contained(dims, static_cast<int64_t>(dim));
      unsigned loop = add(isReduced ? reduced : Loop());
      operand(0).push_back(loop);
      if (!isReduced)
        result(0).push_back(loop);
      else if (keepdims)
        result(0).push_back(add(kFixed));
    }
  }

  void alongDim(int64_t dim) {
    walk(operand(0), op->getOperand(0));
    nest.loops[dim] = kFixed;
    for (unsigned i = 0; i < op->getNumResults(); ++i)
      result(i) = operand(0);
  }

  /// [batch..., M, K] x [batch..., K, N]; batch dimensions broadcast.
  void multiply(MatmulOp product) {
    walk(result(0), product.getResult());
    unsigned contracted = add({ReductionKind::Sum, true});
    SmallVector<unsigned> loops = result(0);
    for (unsigned side : {0u, 1u}) {
      ArrayRef<int64_t> own = shapeOf(op->getOperand(side));
      SmallVector<unsigned> dims;
      for (size_t dim = 0; dim + 2 < own.size(); ++dim) {
        size_t aligned = dim + loops.size() - own.size();
        dims.push_back(own[dim] == 1 ? add(kFixed) : loops[aligned]);
      }
      dims.push_back(side == 0 ? loops[loops.size() - 2] : contracted);
      dims.push_back(side == 0 ? contracted : loops.back());
      operand(side) = dims;
    }
  }

  /// Dimensions from the left in groups of equally many elements: the first of each group is what can be divided, as
  /// its parts are contiguous on both sides.
  void reshape(ReshapeOp view) {
    ArrayRef<int64_t> from = shapeOf(view.getOperand()), to = shapeOf(view.getResult());
    size_t i = 0, j = 0;
    auto put = [&](SmallVector<unsigned> &dims, size_t count, unsigned first) {
      for (size_t n = 0; n < count; ++n)
        dims.push_back(n == 0 ? first : add(kFixed));
    };
    while (i < from.size() && j < to.size()) {
      size_t iEnd = i + 1, jEnd = j + 1;
      bool isKnown = isSameSize(view, i, j);
      if (!isKnown && !ShapedType::isDynamic(from[i]) && !ShapedType::isDynamic(to[j])) {
        int64_t left = from[i], right = to[j];
        isKnown = true;
        while (left != right && isKnown) {
          bool growsLeft = left < right;
          size_t &end = growsLeft ? iEnd : jEnd;
          ArrayRef<int64_t> shape = growsLeft ? from : to;
          isKnown = end < shape.size() && !ShapedType::isDynamic(shape[end]);
          if (isKnown)
            (growsLeft ? left : right) *= shape[end++];
        }
      }
      if (!isKnown)
        break;
      unsigned first = add();
      put(operand(0), iEnd - i, first);
      put(result(0), jEnd - j, first);
      i = iEnd, j = jEnd;
    }
    while (operand(0).size() < from.size())
      operand(0).push_back(add(kFixed));
    while (result(0).size() < to.size())
      result(0).push_back(add(kFixed));
  }

  bool isSameSize(ReshapeOp view, size_t i, size_t j) {
    ArrayRef<int64_t> from = shapeOf(view.getOperand()), to = shapeOf(view.getResult());
    if (!ShapedType::isDynamic(to[j]))
      return from[i] == to[j];
    Value size = view.getSizes()[view.getResult().getType().getDynamicDimIndex(j)];
    return ShapedType::isDynamic(from[i]) && findSize(view.getOperand(), i) == OpFoldResult(size);
  }

  /// Dimensions of which everything is taken.
  void slice(SliceOp slice) {
    ArrayRef<int64_t> from = shapeOf(slice.getOperand()), to = shapeOf(slice.getResult());
    for (size_t dim = 0; dim < from.size(); ++dim) {
      bool isWhole = slice.getStrides()[dim] == 1 && matchPattern(slice.getOffsets()[dim], m_Zero());
      if (ShapedType::isDynamic(to[dim])) {
        Value size = slice.getSizes()[slice.getResult().getType().getDynamicDimIndex(dim)];
        isWhole &= findSize(slice.getOperand(), dim) == OpFoldResult(size);
      } else {
        isWhole &= from[dim] == to[dim];
      }
      operand(0).push_back(add(isWhole ? Loop() : kFixed));
      result(0).push_back(operand(0).back());
    }
  }

  /// The indices' dimensions take the place of `dim` in the table's.
  void takeRows(GatherOp gather) {
    walk(operand(0), gather.getOperand());
    nest.loops[gather.getDim()] = kFixed;
    walk(operand(1), gather.getIndices());
    SmallVector<unsigned> dims(operand(0));
    dims.erase(dims.begin() + gather.getDim());
    dims.insert(dims.begin() + gather.getDim(), operand(1).begin(), operand(1).end());
    result(0) = dims;
  }

  /// Batches and heads; groups of heads share a key, so both sides count heads alike only where parts hold whole
  /// groups. A head of which there is one serves all.
  void attend(FlashAttentionOp attention) {
    unsigned batch = add(), head = add(), query = add(kFixed), feature = add(kFixed);
    auto put = [&](SmallVector<unsigned> &dims, Value value, unsigned row, unsigned column) {
      ArrayRef<int64_t> shape = shapeOf(value);
      dims = {shape[0] == 1 ? add(kFixed) : batch, shape[1] == 1 ? add(kFixed) : head, row, column};
      dims.truncate(shape.size());
    };
    put(operand(0), attention.getQuery(), query, add(kFixed));
    put(operand(1), attention.getKey(), add(kFixed), add(kFixed));
    put(operand(2), attention.getValue(), add(kFixed), feature);
    for (unsigned index = 3; index < op->getNumOperands(); ++index) {
      if (op->getOperand(index) == attention.getMask() && shapeOf(attention.getMask()).size() == 4)
        put(operand(index), attention.getMask(), add(kFixed), add(kFixed));
      else
        walk(operand(index), op->getOperand(index), kFixed);
    }
    put(result(0), attention.getOutput(), query, feature);
    if (attention.getLse())
      put(result(1), attention.getLse(), query, feature);
    if (attention.getDropout()) // whose random numbers count elements
      nest.loops[batch] = nest.loops[head] = kFixed;
  }

  Operation *op;
  SizeFinder findSize;
  ShardableNest nest;
};

ShardableNest describe(Operation *op) { return tessera::describe(op, tessera::findSize); }

//===----------------------------------------------------------------------===//
// What upstream's propagation asks
//===----------------------------------------------------------------------===//

template <typename OpTy> struct ShardingModel : shard::ShardingInterface::ExternalModel<ShardingModel<OpTy>, OpTy> {
  SmallVector<utils::IteratorType> getLoopIteratorTypes(Operation *op) const {
    return llvm::map_to_vector(describe(op).loops, [](const Loop &loop) {
      return loop.reduction ? utils::IteratorType::reduction : utils::IteratorType::parallel;
    });
  }

  SmallVector<ReductionKind> getReductionLoopIteratorKinds(Operation *op) const {
    SmallVector<ReductionKind> kinds;
    for (const Loop &loop : describe(op).loops)
      if (loop.reduction)
        kinds.push_back(*loop.reduction);
    return kinds;
  }

  SmallVector<AffineMap> getIndexingMaps(Operation *op) const {
    ShardableNest nest = describe(op);
    return llvm::map_to_vector(nest.dims, [&](ArrayRef<unsigned> dims) {
      return AffineMap::getMultiDimMapWithTargets(nest.loops.size(), dims, op->getContext());
    });
  }

  FailureOr<shard::ShardingOption> getShardingOption(Operation *op, ArrayRef<shard::Sharding> operands,
                                                     ArrayRef<shard::Sharding> results) const {
    // Who has all of a tensor has every part of it: that decides nothing.
    auto withoutWhole = [](ArrayRef<shard::Sharding> all) {
      return llvm::map_to_vector<4>(all, [](const shard::Sharding &sharding) {
        return sharding && shard::isFullReplication(sharding) ? shard::Sharding() : sharding;
      });
    };
    auto option = shard::detail::defaultGetShardingOption(op, withoutWhole(operands), withoutWhole(results));
    if (failed(option) || option->empty)
      return option;
    ShardableNest nest = describe(op);
    auto grid = SymbolTable::lookupNearestSymbolFrom<shard::GridOp>(op, option->grid);
    for (auto [index, axes] : llvm::enumerate(option->shardingArray)) {
      int64_t parts = shard::collectiveProcessGroupSize(axes, grid);
      // As far as sizes are numbers; the partition knows what symbols are multiples of.
      auto divides = [&](Value tensor, unsigned dim) {
        int64_t size = shapeOf(tensor)[dim];
        return ShapedType::isDynamic(size) || size % parts == 0;
      };
      if (!nest.loops[index].isDivisible || !nest.allWalked(op, index, divides))
        axes.clear();
    }
    return option;
  }

  LogicalResult addShardingAnnotations(Operation *op, OpBuilder &b, const shard::ShardingOption &option) const {
    auto shardings = cast<shard::ShardingInterface>(op).getShardingAnnotations(option);
    if (failed(shardings))
      return failure();
    ArrayRef<shard::Sharding> all(*shardings);
    for (OpResult result : op->getResults())
      shard::maybeInsertTargetShardingAnnotation(all[op->getNumOperands() + result.getResultNumber()], result, b);
    for (OpOperand &operand : op->getOpOperands())
      if (isa<RankedTensorType>(operand.get().getType()))
        shard::maybeInsertSourceShardingAnnotation(all[operand.getOperandNumber()], operand, b);
    return success();
  }
};

template <typename... OpTys> void attachModels(MLIRContext *context, TesseraDialect *) {
  (OpTys::template attachInterface<ShardingModel<OpTys>>(*context), ...);
}

} // namespace

bool ShardableNest::allWalked(Operation *op, unsigned loop, llvm::function_ref<bool(Value, unsigned)> holds) const {
  for (auto [value, own] : llvm::zip_equal(operandsAndResults(op), dims))
    for (auto [dim, walker] : llvm::enumerate(own))
      if (walker == loop && !holds(value, dim))
        return false;
  return true;
}

ShardableNest tessera::describe(Operation *op, SizeFinder findSize) { return NestBuilder(op, findSize).build(); }

void tessera::registerShardingModels(DialectRegistry &registry) {
  registry.addExtension(attachModels<
#define GET_OP_LIST
#include "dialects/Tessera/TesseraOps.cpp.inc"
                        >);
}
