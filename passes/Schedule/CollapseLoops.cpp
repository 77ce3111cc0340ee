// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Schedule/CollapseLoops.h"

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tessera;

namespace {

/// An operand's map without one of two loops, and where its tensor has the dimensions of both: -1 for nowhere.
struct CollapsedMap {
  AffineMap map;
  int64_t position = -1;
};

class LoopCollapse {
public:
  LoopCollapse(func::FuncOp kernel, int64_t first) : kernel(kernel), first(first) {}

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
  /// Finds the tensors that have both dimensions side by side, or false where one has them otherwise.
  bool plan() {
    for (Operation &op : kernel.getBody().front()) {
      if (isa<BindShapeOp, func::ReturnOp, tensor::EmptyOp, linalg::FillOp>(op) || matchPattern(&op, m_Constant()))
        continue;
      if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
        if (!plan(linalgOp))
          return false;
      } else if (llvm::any_of(op.getOperandTypes(), llvm::IsaPred<RankedTensorType>)) {
        return false;
      }
    }
    // What only passes through must follow what uses it.
    return llvm::any_of(positions, [](auto entry) { return entry.second >= 0; });
  }

  bool plan(linalg::LinalgOp op) {
    bool hasLoops = op.getNumLoops() > first + 1;
    bool readsElsewhere = false;
    op->walk([&](tensor::ExtractOp) { readsElsewhere = true; });
    SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
    if (readsElsewhere || (hasLoops && (op.hasIndexSemantics() || iterators[first] != iterators[first + 1])))
      return false;
    for (OpOperand &operand : op->getOpOperands()) {
      std::optional<CollapsedMap> map = CollapsedMap();
      if (hasLoops)
        map = collapse(op.getMatchingIndexingMap(&operand));
      if (!map || !agree(operand.get(), map->position))
        return false;
    }
    return llvm::all_of(llvm::enumerate(op->getResults()), [&](auto result) {
      return agree(result.value(), positions.lookup(op.getDpsInitOperand(result.index())->get()));
    });
  }

  std::optional<CollapsedMap> collapse(AffineMap map) const {
    MLIRContext *context = map.getContext();
    AffineExpr outer = getAffineDimExpr(first, context), inner = getAffineDimExpr(first + 1, context);
    SmallVector<AffineExpr> shifted;
    for (int64_t dim = 0; dim < map.getNumDims(); ++dim)
      shifted.push_back(getAffineDimExpr(dim > first ? dim - 1 : dim, context));
    CollapsedMap result;
    SmallVector<AffineExpr> collapsed;
    for (auto [index, expr] : llvm::enumerate(map.getResults())) {
      bool isBoth = expr == outer && index + 1 < map.getNumResults() && map.getResult(index + 1) == inner;
      if (isBoth && result.position < 0) {
        result.position = index;
        continue;
      }
      bool isInner = result.position >= 0 && static_cast<int64_t>(index) == result.position + 1;
      if (!isInner && (expr.isFunctionOfDim(first) || expr.isFunctionOfDim(first + 1)))
        return std::nullopt;
      collapsed.push_back(expr.replaceDims(shifted));
    }
    result.map = AffineMap::get(map.getNumDims() - 1, 0, collapsed, context);
    return result;
  }

  bool agree(Value tensor, int64_t position) {
    if (!isa<RankedTensorType>(tensor.getType()))
      return position < 0;
    auto [known, isNew] = positions.try_emplace(tensor, position);
    if (!isNew)
      return known->second == position;
    if (auto fill = tensor.getDefiningOp<linalg::FillOp>())
      return agree(fill.getDpsInits()[0], position);
    return true;
  }

  /// Where a tensor has both dimensions, or -1.
  int64_t positionOf(Value tensor) const {
    auto known = positions.find(tensor);
    return known == positions.end() ? -1 : known->second;
  }

  void collapseType(Value tensor) {
    auto type = cast<RankedTensorType>(tensor.getType());
    int64_t outer = positionOf(tensor);
    SmallVector<int64_t> shape(type.getShape());
    bool isDynamic = ShapedType::isDynamic(shape[outer]) || ShapedType::isDynamic(shape[outer + 1]);
    shape[outer] = isDynamic ? ShapedType::kDynamic : shape[outer] * shape[outer + 1];
    shape.erase(shape.begin() + outer + 1);
    tensor.setType(type.clone(shape));
  }

  /// The dynamic sizes of a collapsed tensor, from those of the original type.
  SmallVector<Value> collapseSizes(OpBuilder &b, Location loc, Value tensor, ValueRange sizes) {
    auto type = cast<RankedTensorType>(tensor.getType());
    SmallVector<OpFoldResult> all = getMixedValues(type.getShape(), sizes, b);
    int64_t outer = positionOf(tensor);
    if (type.isDynamicDim(outer) || type.isDynamicDim(outer + 1))
      all[outer] = b.createOrFold<arith::MulIOp>(loc, getValueOrCreateConstantIndexOp(b, loc, all[outer]),
                                                 getValueOrCreateConstantIndexOp(b, loc, all[outer + 1]));
    all.erase(all.begin() + outer + 1);
    SmallVector<Value> result;
    for (OpFoldResult size : all)
      if (auto value = dyn_cast<Value>(size))
        result.push_back(value);
    return result;
  }

  void rewrite(OpBuilder &b, Operation *op) {
    b.setInsertionPoint(op);
    Location loc = op->getLoc();
    if (auto bind = dyn_cast<BindShapeOp>(op)) {
      if (positionOf(bind.getSource()) < 0)
        return;
      SmallVector<Value> sizes = collapseSizes(b, loc, bind.getSource(), bind.getSizes());
      collapseType(bind.getSource());
      if (!sizes.empty())
        BindShapeOp::create(b, loc, bind.getSource(), sizes);
      op->erase();
    } else if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
      if (positionOf(empty) < 0)
        return;
      SmallVector<Value> sizes = collapseSizes(b, loc, empty, empty.getDynamicSizes());
      collapseType(empty);
      auto collapsed = tensor::EmptyOp::create(b, loc, empty.getType(), sizes);
      empty.replaceAllUsesWith(collapsed.getResult());
      op->erase();
    } else if (auto fill = dyn_cast<linalg::FillOp>(op)) {
      if (positionOf(fill.getResult(0)) < 0)
        return;
      // An argument of static shape has no bind_shape that would have changed it.
      if (fill.getDpsInits()[0].getType() == fill.getResult(0).getType())
        collapseType(fill.getDpsInits()[0]);
      collapseType(fill.getResult(0));
    } else if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      rewrite(b, linalgOp);
    }
  }

  void rewrite(OpBuilder &b, linalg::LinalgOp op) {
    if (op.getNumLoops() <= first + 1)
      return;
    // Arguments of static shape have no bind_shape that would have changed them.
    SmallVector<AffineMap> maps;
    for (OpOperand &operand : op->getOpOperands()) {
      maps.push_back(collapse(op.getMatchingIndexingMap(&operand))->map);
      auto type = dyn_cast<RankedTensorType>(operand.get().getType());
      if (type && static_cast<int64_t>(maps.back().getNumResults()) < type.getRank())
        collapseType(operand.get());
    }
    for (OpResult result : op->getResults())
      if (positionOf(result) >= 0)
        collapseType(result);
    SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
    iterators.erase(iterators.begin() + first);
    auto collapsed = linalg::GenericOp::create(b, op.getLoc(), op->getResultTypes(), op.getDpsInputs(),
                                               op.getDpsInits(), maps, iterators);
    collapsed.getRegion().takeBody(op->getRegion(0));
    op->replaceAllUsesWith(collapsed);
    op->erase();
  }

  func::FuncOp kernel;
  int64_t first;
  /// For each tensor, where it has the two dimensions, or -1.
  DenseMap<Value, int64_t> positions;
};

} // namespace

bool tessera::collapseLoops(func::FuncOp kernel, int64_t first) { return LoopCollapse(kernel, first).run(); }
