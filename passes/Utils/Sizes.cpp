// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Sizes.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Shard/IR/ShardOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tessera;

/// The tensor that had the same shape before: loops keep the shapes of what they carry, and a result has its
/// destination's shape.
static Value sameShape(Value tensor) {
  if (auto argument = dyn_cast<BlockArgument>(tensor)) {
    Operation *parent = argument.getOwner()->getParentOp();
    if (!parent) // a conversion has the block aside
      return {};
    if (auto loop = dyn_cast<scf::ForOp>(parent))
      return loop.getInitArgs()[argument.getArgNumber() - 1];
    // The condition hands on what the body and the results get, which may be fewer and in another order.
    if (auto loop = dyn_cast<scf::WhileOp>(parent))
      return argument.getOwner() == loop.getBeforeBody() ? loop.getInits()[argument.getArgNumber()]
                                                         : loop.getConditionOp().getArgs()[argument.getArgNumber()];
    if (auto loop = dyn_cast<scf::ForallOp>(parent))
      return loop.getOutputs()[argument.getArgNumber() - loop.getRank()];
    return {};
  }
  auto result = cast<OpResult>(tensor);
  unsigned index = result.getResultNumber();
  return TypeSwitch<Operation *, Value>(result.getOwner())
      .Case([&](scf::ForOp loop) { return loop.getInitArgs()[index]; })
      .Case([&](scf::WhileOp loop) { return loop.getConditionOp().getArgs()[index]; })
      .Case([&](scf::ForallOp loop) { return loop.getOutputs()[index]; })
      .Case([&](scf::IfOp branch) { return branch.thenYield().getOperand(index); })
      .Case([&](rt::DispatchOp dispatch) { return dispatch.getInits()[index]; })
      .Case([&](tensor::InsertSliceOp insert) { return insert.getDest(); })
      .Case([&](DestinationStyleOpInterface op) { return op.getDpsInits()[index]; })
      .Default([](Operation *) { return Value(); });
}

/// The operand, and its dimension, that a dynamic dimension of an elementwise result comes from.
static std::pair<Value, int64_t> broadcastFrom(Operation *op, int64_t dim) {
  int64_t rank = cast<RankedTensorType>(op->getResult(0).getType()).getRank();
  for (Value operand : op->getOperands()) {
    auto type = cast<RankedTensorType>(operand.getType());
    int64_t aligned = dim - (rank - type.getRank());
    if (aligned >= 0 && type.isDynamicDim(aligned))
      return {operand, aligned};
  }
  return {};
}

/// The operand of a product, and its dimension, that a dimension of the result comes from.
static std::pair<Value, int64_t> multipliedFrom(MatmulOp product, int64_t dim) {
  int64_t rank = product.getResult().getType().getRank();
  if (dim == rank - 1)
    return {product.getRhs(), product.getRhs().getType().getRank() - 1};
  if (dim == rank - 2)
    return {product.getLhs(), product.getLhs().getType().getRank() - 2};
  return broadcastFrom(product, dim);
}

/// The dimension of a reduction's operand that a dimension of its result is; nothing where it is no reduction.
static std::optional<int64_t> reducedFrom(Operation *op, int64_t dim) {
  return TypeSwitch<Operation *, std::optional<int64_t>>(op)
      .Case<ReduceSumOp, ReduceProdOp, ReduceMaxOp, ReduceMinOp, ReduceAnyOp, ReduceAllOp>([&](auto reduce) {
        int64_t from = dim;
        if (!reduce.getKeepdims())
          for (int64_t reduced : reduce.getDims()) // they are sorted
            from += reduced <= from;
        return from;
      })
      .Default([](Operation *) { return std::nullopt; });
}

OpFoldResult tessera::findSize(Value tensor, int64_t dim) {
  while (tensor) {
    auto type = cast<RankedTensorType>(tensor.getType());
    if (!type.isDynamicDim(dim))
      return IntegerAttr::get(IndexType::get(type.getContext()), type.getDimSize(dim));
    unsigned dynamic = type.getDynamicDimIndex(dim);
    for (Operation *user : tensor.getUsers())
      if (auto bind = dyn_cast<BindShapeOp>(user); bind && bind.getSource() == tensor)
        return bind.getSizes()[dynamic];
    if (auto empty = tensor.getDefiningOp<tensor::EmptyOp>())
      return empty.getDynamicSizes()[dynamic];
    if (auto reshape = tensor.getDefiningOp<ReshapeOp>())
      return reshape.getSizes()[dynamic];
    if (auto broadcast = tensor.getDefiningOp<BroadcastToOp>())
      return broadcast.getSizes()[dynamic];
    if (auto slice = tensor.getDefiningOp<SliceOp>())
      return slice.getSizes()[dynamic];
    if (auto transpose = tensor.getDefiningOp<TransposeOp>()) {
      dim = transpose.getPermutation()[dim];
      tensor = transpose.getOperand();
      continue;
    }
    if (auto annotated = tensor.getDefiningOp<shard::ShardOp>()) {
      tensor = annotated.getSrc();
      continue;
    }
    if (Operation *op = tensor.getDefiningOp()) {
      if (std::optional<int64_t> from = reducedFrom(op, dim)) {
        tensor = op->getOperand(0);
        dim = *from;
        continue;
      }
    }
    if (auto product = tensor.getDefiningOp<MatmulOp>()) {
      std::tie(tensor, dim) = multipliedFrom(product, dim);
      continue;
    }
    if (auto attention = tensor.getDefiningOp<FlashAttentionOp>()) {
      tensor = dim == 3 ? attention.getValue() : attention.getQuery();
      continue;
    }
    if (auto attention = tensor.getDefiningOp<PagedAttentionOp>()) {
      tensor = dim == 3 ? attention.getValue() : attention.getQuery();
      continue;
    }
    if (auto attention = tensor.getDefiningOp<FlashAttentionVarlenOp>()) {
      bool isLse = tensor == attention.getLse();
      tensor = dim == 2 ? attention.getValue() : attention.getQuery();
      dim = isLse ? 1 - dim : dim;
      continue;
    }
    if (auto scatter = tensor.getDefiningOp<ScatterOp>()) {
      tensor = scatter.getOperand();
      continue;
    }
    if (Operation *op = tensor.getDefiningOp(); op && op->hasTrait<Elementwise>()) {
      std::tie(tensor, dim) = broadcastFrom(op, dim);
      continue;
    }
    if (auto slice = tensor.getDefiningOp<tensor::ExtractSliceOp>()) {
      // A slice may have dropped dimensions of size 1.
      llvm::SmallBitVector dropped = slice.getDroppedDims();
      for (unsigned source = 0, kept = 0; source < dropped.size(); ++source)
        if (!dropped[source] && static_cast<int64_t>(kept++) == dim)
          return slice.getMixedSizes()[source];
    }
    // A cast says that a size is what a guard found it to be.
    if (auto cast = tensor.getDefiningOp<tensor::CastOp>()) {
      tensor = cast.getSource();
      continue;
    }
    tensor = sameShape(tensor);
  }
  return {};
}

FailureOr<SmallVector<Value>> tessera::findDynamicSizes(Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  SmallVector<Value> sizes;
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    if (!type.isDynamicDim(dim))
      continue;
    auto size = dyn_cast_if_present<Value>(findSize(tensor, dim));
    if (!size)
      return emitError(tensor.getLoc()) << "nothing says the size of dimension " << dim << " of " << type;
    sizes.push_back(size);
  }
  return sizes;
}

std::optional<int64_t> tessera::findUpperBound(const ValueBoundsConstraintSet::Variable &size) {
  FailureOr<int64_t> bound =
      ValueBoundsConstraintSet::computeConstantBound(presburger::BoundType::UB, size, nullptr, {/*closedUB=*/true});
  return succeeded(bound) ? std::optional(*bound) : std::nullopt;
}

OpFoldResult tessera::divideSize(OpBuilder &b, Location loc, OpFoldResult size, int64_t parts) {
  if (parts == 1)
    return size;
  if (auto number = getConstantIntValue(size))
    return b.getIndexAttr(*number / parts);
  Value by = arith::ConstantIndexOp::create(b, loc, parts);
  return arith::FloorDivSIOp::create(b, loc, cast<Value>(size), by).getResult();
}
