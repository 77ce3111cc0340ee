// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/FormKernels/KernelGroups.h"
#include "passes/Passes.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAFORMKERNELSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

static Value createCopy(OpBuilder &builder, Location loc, Value source, Value init) {
  int64_t rank = cast<RankedTensorType>(source.getType()).getRank();
  SmallVector<AffineMap> maps(2, builder.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, init.getType(), source, init, maps, iterators,
             [](OpBuilder &b, Location l, ValueRange args) { linalg::YieldOp::create(b, l, args[0]); })
      .getResult(0);
}

/// What the host hands on (returns, carries through a loop, reshapes, has a kernel change) must be in memory of its
/// own, so views and constants are copied there.
static LogicalResult materializeCopies(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if ((isComputed(&op) && !isa<ScatterOp>(op)) || isCloned(&op) || isa<BindShapeOp>(op))
      continue;
    for (OpOperand &operand : op.getOpOperands()) {
      if (auto scatter = dyn_cast<ScatterOp>(op); scatter && operand.get() != scatter.getOperand())
        continue;
      Operation *producer = operand.get().getDefiningOp();
      if (!producer || !isa<RankedTensorType>(operand.get().getType()) || !isCloned(producer) ||
          isa<tensor::EmptyOp>(producer))
        continue;
      FailureOr<SmallVector<Value>> sizes = findDynamicSizes(operand.get());
      if (failed(sizes))
        return failure();
      OpBuilder builder(&op);
      Value empty = tensor::EmptyOp::create(builder, producer->getLoc(), operand.get().getType(), *sizes);
      operand.set(createCopy(builder, producer->getLoc(), operand.get(), empty));
    }
  }
  return success();
}

namespace {

/// Builds the function of one group and the dispatch that takes its place.
class KernelBuilder {
public:
  KernelBuilder(const KernelGroup &group, StringRef name) : group(group), root(group.root), name(name) {}

  FailureOr<func::FuncOp> build(OpBuilder &moduleBuilder);

private:
  void addInput(Value tensor);
  LogicalResult addSizes(Value tensor);
  LogicalResult collectInputs();
  LogicalResult collect(Value value);
  Value cloneInto(OpBuilder &builder, Value value);
  Value cloneInit(OpBuilder &builder, Value init, Value destination);

  const KernelGroup &group;
  Operation *root;
  StringRef name;
  llvm::SetVector<Value> inputs, sizes;
  SmallVector<Value> inits;
  IRMapping mapping;
};

} // namespace

/// The tensor that an operation writes: the destination under fills.
static Value destinationOf(Value init) {
  while (auto fill = init.getDefiningOp<linalg::FillOp>())
    init = fill.getDpsInits()[0];
  return init;
}

LogicalResult KernelBuilder::addSizes(Value tensor) {
  FailureOr<SmallVector<Value>> dynamic = findDynamicSizes(tensor);
  if (failed(dynamic))
    return failure();
  for (Value size : *dynamic)
    if (!matchPattern(size, m_Constant()))
      sizes.insert(size);
  return success();
}

/// Finds what a value in the kernel needs from outside.
LogicalResult KernelBuilder::collect(Value value) {
  Operation *op = value.getDefiningOp();
  if (op && llvm::is_contained(group.members, op))
    return success();
  if (op && matchPattern(op, m_Constant()))
    return success();
  if (!isa<RankedTensorType>(value.getType())) {
    sizes.insert(value);
    return success();
  }
  if (llvm::is_contained(inits, value))
    return success();
  if (op && isCloned(op)) {
    for (Value operand : op->getOperands())
      if (failed(collect(operand)))
        return failure();
    return success();
  }
  inputs.insert(value);
  return addSizes(value);
}

LogicalResult KernelBuilder::collectInputs() {
  for (Operation *member : llvm::reverse(group.members)) {
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(member->getRegions(), captured);
    for (Value operand : llvm::concat<Value>(llvm::to_vector(member->getOperands()), captured.takeVector()))
      if (failed(collect(operand)))
        return failure();
  }
  for (Value init : inits)
    if (failed(addSizes(init)))
      return failure();
  return success();
}

Value KernelBuilder::cloneInto(OpBuilder &builder, Value value) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  assert(op && "everything else was collected");
  for (Value operand : op->getOperands())
    cloneInto(builder, operand);
  builder.clone(*op, mapping);
  return mapping.lookup(value);
}

/// The init of a root's result: the kernel's destination, filled where the root's was.
Value KernelBuilder::cloneInit(OpBuilder &builder, Value init, Value destination) {
  auto fill = init.getDefiningOp<linalg::FillOp>();
  if (!fill)
    return destination;
  Value below = cloneInit(builder, fill.getDpsInits()[0], destination);
  Value number = cloneInto(builder, fill.value());
  return linalg::FillOp::create(builder, fill.getLoc(), number, below).getResult(0);
}

/// The user's lines of all that a group computes, for who looks at it as it runs; the root's is the first. What was
/// fused into one operation is told apart in its body; its own location may be that of operands too.
static Location locateAll(const KernelGroup &group) {
  SmallVector<Location> lines;
  for (Operation *member : group.members) {
    size_t before = lines.size();
    member->walk<WalkOrder::PostOrder, ReverseIterator>([&](Operation *op) {
      if (op != member && !isa<UnknownLoc>(op->getLoc()) && !matchPattern(op, m_Constant()))
        lines.push_back(op->getLoc());
    });
    if (lines.size() == before)
      lines.push_back(member->getLoc());
  }
  return FusedLoc::get(group.root->getContext(), lines);
}

FailureOr<func::FuncOp> KernelBuilder::build(OpBuilder &moduleBuilder) {
  OpBuilder host(root);
  Location loc = root->getLoc();
  // Destinations: memory of the host's, or what the root changes in place.
  SmallVector<Value> rootInits;
  Value changed = changedInPlace(group);
  if (changed) {
    rootInits = {changed};
    inits = rootInits;
  } else {
    if (auto destinations = dyn_cast<DestinationStyleOpInterface>(root))
      rootInits = destinations.getDpsInits();
    for (OpResult result : root->getResults()) {
      Value init = rootInits.empty() ? Value() : destinationOf(rootInits[result.getResultNumber()]);
      FailureOr<SmallVector<Value>> dynamic = findDynamicSizes(init ? init : result);
      if (failed(dynamic))
        return failure();
      inits.push_back(tensor::EmptyOp::create(host, loc, result.getType(), *dynamic));
    }
  }
  if (failed(collectInputs()))
    return failure();

  SmallVector<Value> arguments(inputs.getArrayRef());
  llvm::append_range(arguments, inits);
  llvm::append_range(arguments, sizes);
  auto type = FunctionType::get(root->getContext(), ValueRange(arguments).getTypes(), root->getResultTypes());
  Location lines = locateAll(group);
  auto kernel = func::FuncOp::create(moduleBuilder, lines, name, type);
  kernel.setPrivate();
  Block *body = kernel.addEntryBlock();
  mapping.map(arguments, body->getArguments());
  OpBuilder builder = OpBuilder::atBlockEnd(body);

  for (auto [value, argument] : llvm::zip(arguments, body->getArguments())) {
    auto tensorType = dyn_cast<RankedTensorType>(value.getType());
    if (!tensorType || tensorType.hasStaticShape())
      continue;
    SmallVector<Value> bound;
    for (Value size : *findDynamicSizes(value))
      bound.push_back(cloneInto(builder, size));
    BindShapeOp::create(builder, loc, argument, bound);
  }
  for (Operation *member : llvm::reverse(group.members)) {
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(member->getRegions(), captured);
    for (Value operand : llvm::concat<Value>(llvm::to_vector(member->getOperands()), captured.takeVector()))
      cloneInto(builder, operand);
    Operation *cloned = builder.clone(*member, mapping);
    if (member == root && !changed) {
      auto destinations = dyn_cast<DestinationStyleOpInterface>(cloned);
      for (auto [index, init] : llvm::enumerate(rootInits)) {
        builder.setInsertionPoint(cloned);
        destinations.setDpsInitOperand(index, cloneInit(builder, init, body->getArgument(inputs.size() + index)));
      }
      builder.setInsertionPointToEnd(body);
    }
  }
  SmallVector<Value> results;
  for (Value result : root->getResults())
    results.push_back(mapping.lookup(result));
  func::ReturnOp::create(builder, loc, results);
  kernel->setAttr("tessera.kind", builder.getStringAttr(kindName(group.kind)));
  kernel->setAttr("tessera.tile_dims", builder.getDenseI64ArrayAttr(group.tileDims));

  auto dispatch = rt::DispatchOp::create(host, lines, root->getResultTypes(), name, inputs.getArrayRef(), inits,
                                         sizes.getArrayRef());
  root->replaceAllUsesWith(dispatch);
  return kernel;
}

namespace {

struct FormKernelsPass : tessera::impl::TesseraFormKernelsPassBase<FormKernelsPass> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> entries(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp entry : entries) {
      SmallVector<Block *> blocks;
      entry.walk([&](Block *block) {
        if (!isa<linalg::LinalgOp>(block->getParentOp()))
          blocks.push_back(block);
      });
      for (Block *block : blocks)
        if (failed(formKernels(entry, *block)))
          return signalPassFailure();
    }
  }

  LogicalResult formKernels(func::FuncOp entry, Block &block) {
    if (failed(materializeCopies(block)))
      return failure();
    SmallVector<std::unique_ptr<KernelGroup>> groups = groupKernels(block);
    OpBuilder builder(entry);
    for (auto &group : llvm::reverse(groups)) {
      std::string name = (entry.getName() + "_" + Twine(counter[entry])).str();
      FailureOr<func::FuncOp> kernel = KernelBuilder(*group, name).build(builder);
      if (failed(kernel))
        return failure();
      mergeEqual(*kernel, entry);
    }
    for (auto &group : groups)
      for (Operation *member : group->members)
        member->dropAllUses();
    for (auto &group : groups)
      for (Operation *member : group->members)
        member->erase();
    return success();
  }

  /// Keeps one function of those that differ only in name and location, with the locations of all.
  void mergeEqual(func::FuncOp kernel, func::FuncOp entry) {
    StringAttr name = kernel.getSymNameAttr();
    std::string text;
    llvm::raw_string_ostream stream(text);
    kernel.setSymName("kernel");
    kernel->print(stream, OpPrintingFlags().useLocalScope());
    kernel.setSymNameAttr(name);
    auto [known, isNew] = kernels.try_emplace(text, kernel);
    if (isNew) {
      ++counter[entry];
      return;
    }
    func::FuncOp same = known->second;
    same->setLoc(FusedLoc::get(&getContext(), {same.getLoc(), kernel.getLoc()}));
    entry.walk([&](rt::DispatchOp dispatch) {
      if (dispatch.getKernel() == name.getValue())
        dispatch.setKernel(same.getName());
    });
    kernel.erase();
  }

  llvm::StringMap<func::FuncOp> kernels;
  DenseMap<Operation *, int> counter;
};

} // namespace
