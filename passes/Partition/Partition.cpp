// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Partition/LoopNest.h"
#include "passes/Partition/Reshard.h"
#include "passes/Passes.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Shard/IR/ShardDialect.h"
#include "mlir/Dialect/Shard/Transforms/Passes.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAPARTITIONPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

constexpr llvm::StringLiteral kPartition = "tessera.partition", kSharding = "tessera.sharding";

static bool isTensor(Value value) { return isa<RankedTensorType>(value.getType()); }

static bool hasTensor(Operation *op) {
  return llvm::any_of(op->getOperands(), isTensor) || llvm::any_of(op->getResults(), isTensor);
}

static RankedTensorType typeOf(Value tensor) { return cast<RankedTensorType>(tensor.getType()); }

/// Whether a size is a multiple of a number whatever the symbols are.
static bool isMultipleOf(OpFoldResult size, int64_t divisor) {
  if (divisor == 1)
    return true;
  if (auto number = getConstantIntValue(size))
    return *number % divisor == 0;
  Operation *op = cast<Value>(size).getDefiningOp();
  if (auto symbol = dyn_cast_or_null<SymbolOp>(op))
    return symbol.getMultipleOf().value_or(1) % divisor == 0;
  if (auto product = dyn_cast_or_null<arith::MulIOp>(op))
    return isMultipleOf(product.getLhs(), divisor) || isMultipleOf(product.getRhs(), divisor);
  if (auto sum = dyn_cast_or_null<arith::AddIOp>(op))
    return isMultipleOf(sum.getLhs(), divisor) && isMultipleOf(sum.getRhs(), divisor);
  if (auto quotient = dyn_cast_or_null<arith::FloorDivSIOp>(op))
    if (auto by = getConstantIntValue(quotient.getRhs()))
      return isMultipleOf(quotient.getLhs(), *by * divisor);
  return false;
}

namespace {

/// Keeps index arithmetic out of a function while upstream's propagation runs: it wants an interface of every operation
/// it sees, and sizes are arguments meanwhile.
class SizesAside {
public:
  explicit SizesAside(func::FuncOp function) : function(function) {
    Block &body = function.getBody().front();
    first = function.getNumArguments();
    for (Operation &op : llvm::make_early_inc_range(body.without_terminator())) {
      if (!isa<BindShapeOp>(op) && (hasTensor(&op) || isa<shard::ShardingOp>(op)))
        continue;
      op.remove();
      aside.push_back(&op);
    }
    for (Operation *op : aside)
      for (Value value : op->getResults()) {
        unsigned index = function.getNumArguments();
        (void)function.insertArgument(index, value.getType(), {}, value.getLoc());
        Value argument = function.getArgument(index);
        value.replaceUsesWithIf(
            argument, [&](OpOperand &use) { return use.getOwner()->getBlock() || isa<BindShapeOp>(use.getOwner()); });
        values.push_back(value);
      }
  }

  ~SizesAside() {
    Block &body = function.getBody().front();
    for (Operation *op : llvm::reverse(aside))
      body.push_front(op);
    for (auto [index, value] : llvm::enumerate(values))
      function.getArgument(first + index).replaceAllUsesWith(value);
    llvm::BitVector erased(function.getNumArguments());
    erased.set(first, function.getNumArguments());
    (void)function.eraseArguments(erased);
  }

private:
  func::FuncOp function;
  unsigned first;
  SmallVector<Operation *> aside;
  SmallVector<Value> values;
};

/// Rewrites one annotated function.
class Partitioner {
public:
  Partitioner(func::FuncOp function, shard::GridOp grid) : function(function), grid(grid), b(function.getContext()) {}

  LogicalResult run() {
    Block &body = function.getBody().front();
    for (BlockArgument argument : body.getArguments())
      divideArgument(argument);
    SmallVector<Operation *> ops = llvm::map_to_vector(body, [](Operation &op) { return &op; });
    for (Operation *op : ops)
      if (failed(divide(op)))
        return failure();
    for (Operation *op : llvm::reverse(done))
      op->erase();
    function->removeAttr(kPartition);
    return success();
  }

private:
  /// A tensor of the function as it is on a rank.
  struct Part {
    Value value;
    Cuts cuts;
  };

  Cuts cutsOf(shard::ShardOp op) {
    shard::Sharding sharding(op.getSharding());
    Cuts cuts(typeOf(op.getSrc()).getRank());
    for (auto [axes, split] : llvm::zip(cuts, sharding.getSplitAxes()))
      axes.assign(split.asArrayRef().begin(), split.asArrayRef().end());
    return cuts;
  }

  /// What is said of a value itself, not of one that reads it.
  std::optional<Cuts> annotationOf(Value value) {
    for (Operation *user : value.getUsers())
      if (auto op = dyn_cast<shard::ShardOp>(user); op && op.getSrc() == value && !op.getAnnotateForUsers())
        return cutsOf(op);
    return std::nullopt;
  }

  /// What propagation says of a value, but for axes that may not divide its sizes. What the user said is checked by
  /// guards.
  Cuts feasible(shard::ShardOp op) {
    Cuts cuts = cutsOf(op);
    bool isUsers = isa<BlockArgument>(op.getSrc()) || llvm::any_of(op->getUsers(), llvm::IsaPred<func::ReturnOp>);
    for (auto [dim, axes] : llvm::enumerate(cuts))
      if (!isUsers && !isMultipleOf(sizeOf(op.getSrc(), dim), countParts(grid, axes)))
        axes.clear();
    return cuts;
  }

  /// The sizes of a result's dynamic dimensions, on a rank.
  SmallVector<Value> divideSizes(ValueRange sizes, RankedTensorType whole, const Cuts &cuts) {
    SmallVector<Value> divided;
    for (auto [dim, axes] : llvm::enumerate(cuts))
      if (whole.isDynamicDim(dim)) {
        Value size = sizes[divided.size()];
        OpFoldResult part = divideSize(b, size.getLoc(), size, countParts(grid, axes));
        divided.push_back(getValueOrCreateConstantIndexOp(b, size.getLoc(), part));
      }
    return divided;
  }

  void divideArgument(BlockArgument argument) {
    if (!isTensor(argument))
      return;
    RankedTensorType whole = typeOf(argument);
    Cuts cuts = annotationOf(argument).value_or(Cuts(whole.getRank()));
    wholes[argument] = whole;
    parts[argument] = {argument, cuts};
    for (Operation *user : argument.getUsers())
      if (auto bind = dyn_cast<BindShapeOp>(user)) {
        recordSizes(argument, bind.getSizes());
        b.setInsertionPoint(bind);
        SmallVector<Value> sizes = divideSizes(bind.getSizes(), whole, cuts);
        bind.getSizesMutable().assign(sizes);
      }
    argument.setType(partType(whole, cuts, grid));
  }

  /// Remembers what a tensor's dynamic sizes are made of.
  void recordSizes(Value tensor, ValueRange dynamic) {
    RankedTensorType whole = wholeOf(tensor);
    for (unsigned dim = 0; dim < whole.getRank(); ++dim)
      if (whole.isDynamicDim(dim))
        sizes[{tensor, dim}] = dynamic[whole.getDynamicDimIndex(dim)];
  }

  RankedTensorType wholeOf(Value tensor) {
    auto known = wholes.find(tensor);
    return known == wholes.end() ? typeOf(tensor) : known->second;
  }

  /// A value of the function, cut so.
  Value fetch(Value tensor, const Cuts &cuts, Location loc) {
    Part &part = parts.find(tensor)->second;
    return reshard(b, loc, grid, part.value, wholeOf(tensor), part.cuts, cuts);
  }

  LogicalResult divide(Operation *op) {
    b.setInsertionPoint(op);
    if (isa<shard::ShardingOp>(op)) {
      done.push_back(op);
      return success();
    }
    if (auto annotation = dyn_cast<shard::ShardOp>(op)) {
      Cuts cuts = feasible(annotation);
      wholes[annotation.getResult()] = wholeOf(annotation.getSrc());
      for (int64_t dim = 0; dim < typeOf(annotation.getSrc()).getRank(); ++dim)
        sizes[{annotation.getResult(), dim}] = sizeOf(annotation.getSrc(), dim);
      parts[annotation.getResult()] = {fetch(annotation.getSrc(), cuts, op->getLoc()), cuts};
      done.push_back(op);
      return success();
    }
    if (auto end = dyn_cast<func::ReturnOp>(op))
      return finish(end);
    if (!hasTensor(op) || isa<BindShapeOp>(op))
      return success();
    if (op->getNumRegions() != 0)
      return keepWhole(op);
    return divideLoops(op);
  }

  /// Loops, branches and what they read have whole tensors.
  LogicalResult keepWhole(Operation *op) {
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(op->getRegions(), captured);
    for (Value value : captured)
      if (isTensor(value)) {
        Value whole = fetch(value, Cuts(wholeOf(value).getRank()), op->getLoc());
        for (Region &region : op->getRegions())
          replaceAllUsesInRegionWith(value, whole, region);
      }
    for (OpOperand &operand : op->getOpOperands())
      if (isTensor(operand.get()))
        operand.set(fetch(operand.get(), Cuts(wholeOf(operand.get()).getRank()), op->getLoc()));
    for (Value result : op->getResults())
      if (isTensor(result))
        parts[result] = {result, Cuts(typeOf(result).getRank())};
    return success();
  }

  /// Which axes divide each loop: what results are to be, then what operands are. An axis divides one loop.
  Cuts chooseLoops(Operation *op, const ShardableNest &nest) {
    Cuts loops(nest.loops.size());
    llvm::SmallDenseSet<int> used;
    auto offer = [&](ArrayRef<unsigned> dims, const Cuts &cuts) {
      for (auto [loop, axes] : llvm::zip_equal(dims, cuts)) {
        if (axes.empty() || !nest.loops[loop].isDivisible || !loops[loop].empty() ||
            llvm::any_of(axes, [&](shard::GridAxis axis) { return used.contains(axis); }) ||
            !nest.allWalked(op, loop, [&, parts = countParts(grid, axes)](Value tensor, unsigned dim) {
              return isMultipleOf(sizeOf(tensor, dim), parts);
            }))
          continue;
        loops[loop].assign(axes.begin(), axes.end());
        used.insert(axes.begin(), axes.end());
      }
    };
    for (OpResult result : op->getResults())
      if (auto cuts = annotationOf(result))
        offer(nest.result(op, result.getResultNumber()), *cuts);
    for (OpOperand &operand : op->getOpOperands())
      if (isTensor(operand.get()))
        offer(nest.operand(operand.getOperandNumber()), parts.find(operand.get())->second.cuts);
    return loops;
  }

  /// The whole size of a dimension, as index arithmetic where that is known; an unknown one counts as 1, which no
  /// number of parts divides.
  OpFoldResult sizeOf(Value tensor, unsigned dim) {
    RankedTensorType whole = wholeOf(tensor);
    if (!whole.isDynamicDim(dim))
      return b.getIndexAttr(whole.getDimSize(dim));
    auto known = sizes.find({tensor, dim});
    return known == sizes.end() ? OpFoldResult(b.getIndexAttr(1)) : known->second;
  }

  LogicalResult divideLoops(Operation *op) {
    ShardableNest nest = describe(op, [&](Value tensor, int64_t dim) { return sizeOf(tensor, dim); });
    recordResultSizes(op, nest);
    Cuts loops = chooseLoops(op, nest);
    auto cutsOf = [&](ArrayRef<unsigned> dims) {
      return Cuts(llvm::map_range(dims, [&](unsigned loop) { return loops[loop]; }));
    };
    for (OpResult result : op->getResults()) {
      wholes[result] = typeOf(result);
      parts[result] = {result, cutsOf(nest.result(op, result.getResultNumber()))};
    }
    if (MutableOperandRange dynamic = dynamicSizesOf(op); !dynamic.empty()) {
      Value result = op->getResult(0);
      dynamic.assign(divideSizes(OperandRange(dynamic), typeOf(result), parts[result].cuts));
    }
    for (OpOperand &operand : op->getOpOperands())
      if (isTensor(operand.get()))
        operand.set(fetch(operand.get(), cutsOf(nest.operand(operand.getOperandNumber())), op->getLoc()));
    for (OpResult result : op->getResults())
      result.setType(partType(typeOf(result), parts[result].cuts, grid));
    if (auto constant = dyn_cast<ConstantOp>(op))
      if (auto splat = dyn_cast<SplatElementsAttr>(constant.getValue()))
        constant.setValueAttr(splat.resizeSplat(typeOf(constant.getResult())));
    return reduce(op, nest, loops);
  }

  /// Combines what ranks have reduced each in its part of a loop.
  LogicalResult reduce(Operation *op, const ShardableNest &nest, const Cuts &loops) {
    SmallVector<shard::GridAxis> axes;
    std::optional<shard::ReductionKind> kind;
    for (auto [loop, cut] : llvm::zip_equal(nest.loops, loops))
      if (loop.reduction && !cut.empty()) {
        kind = loop.reduction;
        llvm::append_range(axes, cut);
      }
    if (!kind)
      return success();
    llvm::sort(axes);
    Value result = op->getResult(0);
    RankedTensorType type = typeOf(result);
    // Products are added up in the accumulator's type, and rounded once.
    if (auto product = dyn_cast<MatmulOp>(op))
      result.setType(type.clone(
          accumulatorType(typeOf(product.getLhs()).getElementType(), typeOf(product.getRhs()).getElementType())));
    b.setInsertionPointAfter(op);
    Value total = shard::AllReduceOp::create(b, op->getLoc(), result.getType(), grid.getSymName(), axes, result, *kind);
    if (total.getType() != type)
      total = CastOp::create(b, op->getLoc(), type, total);
    parts[result].value = total;
    return success();
  }

  /// The operands that are the sizes of a result's dynamic dimensions.
  static MutableOperandRange dynamicSizesOf(Operation *op) {
    return llvm::TypeSwitch<Operation *, MutableOperandRange>(op)
        .Case<ReshapeOp, BroadcastToOp, IotaOp, SliceOp>([](auto sized) { return sized.getSizesMutable(); })
        .Default([](Operation *other) { return MutableOperandRange(other, 0, 0); });
  }

  /// A result's sizes are those of the loops that walk it, as operands have them, unless the operation says them.
  void recordResultSizes(Operation *op, const ShardableNest &nest) {
    if (MutableOperandRange dynamic = dynamicSizesOf(op); !dynamic.empty()) {
      recordSizes(op->getResult(0), OperandRange(dynamic));
      return;
    }
    DenseMap<unsigned, OpFoldResult> loopSizes;
    for (OpOperand &operand : op->getOpOperands())
      for (auto [dim, loop] : llvm::enumerate(nest.operand(operand.getOperandNumber())))
        if (auto known = sizes.find({operand.get(), dim}); known != sizes.end())
          loopSizes.try_emplace(loop, known->second);
    for (OpResult result : op->getResults())
      for (auto [dim, loop] : llvm::enumerate(nest.result(op, result.getResultNumber())))
        if (auto known = loopSizes.find(loop); known != loopSizes.end() && typeOf(result).isDynamicDim(dim))
          sizes[{result, dim}] = known->second;
  }

  LogicalResult finish(func::ReturnOp end) {
    SmallVector<Type> types;
    for (OpOperand &operand : end->getOpOperands()) {
      Part &part = parts.find(operand.get())->second;
      SmallVector<Attribute> axes = llvm::map_to_vector(
          part.cuts, [&](ArrayRef<shard::GridAxis> cut) -> Attribute { return b.getDenseI16ArrayAttr(cut); });
      function.setResultAttr(operand.getOperandNumber(), kSharding, b.getArrayAttr(axes));
      operand.set(part.value);
      types.push_back(part.value.getType());
    }
    function.setType(b.getFunctionType(function.getBody().front().getArgumentTypes(), types));
    return success();
  }

  func::FuncOp function;
  shard::GridOp grid;
  OpBuilder b;
  llvm::MapVector<Value, Part> parts;
  DenseMap<Value, RankedTensorType> wholes;
  DenseMap<std::pair<Value, unsigned>, OpFoldResult> sizes;
  SmallVector<Operation *> done;
};

struct PartitionPass : tessera::impl::TesseraPartitionPassBase<PartitionPass> {
  void getDependentDialects(DialectRegistry &registry) const override {
    TesseraPartitionPassBase::getDependentDialects(registry);
    registerShardingModels(registry);
  }

  void runOnOperation() override {
    for (func::FuncOp function : getOperation().getOps<func::FuncOp>()) {
      if (!function->hasAttr(kPartition))
        continue;
      shard::GridOp grid;
      function.walk([&](shard::ShardingOp op) {
        grid = SymbolTable::lookupNearestSymbolFrom<shard::GridOp>(op, op.getGridAttr());
      });
      if (!grid) { // nothing is annotated
        function->removeAttr(kPartition);
        continue;
      }
      if (failed(propagate(function)) || failed(Partitioner(function, grid).run()))
        return signalPassFailure();
    }
  }

  LogicalResult propagate(func::FuncOp function) {
    SizesAside aside(function);
    OpPassManager pipeline(func::FuncOp::getOperationName());
    // From the arguments on: seen from the results first, a reduction would want its operand whole.
    shard::ShardingPropagationOptions options;
    options.traversal = shard::TraversalOrder::ForwardBackward;
    pipeline.addPass(shard::createShardingPropagation(options));
    return runPipeline(pipeline, function);
  }
};

} // namespace
