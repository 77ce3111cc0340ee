// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"
#include "passes/PlanMemory/Sharing.h"
#include "passes/PlanMemory/Workspace.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/CSE.h"
#include "llvm/ADT/TypeSwitch.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAPLANMEMORYPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

static bool isTensor(Value value) { return isa<RankedTensorType>(value.getType()); }

static bool isTensorType(Type type) { return isa<TensorType>(type); }

static SmallVector<Value> withoutTensors(ValueRange values) {
  return llvm::filter_to_vector(values, [](Value value) { return !isTensor(value); });
}

static SmallVector<Type> withoutTensors(TypeRange types) {
  return llvm::filter_to_vector(types, [](Type type) { return !isTensorType(type); });
}

namespace {

/// Writes the buffer function of one entry beside it. The entry itself stays whole until the end, because what may
/// share memory is read off its tensors.
class HostPlanner {
public:
  HostPlanner(func::FuncOp entry, bool observes)
      : entry(entry), observes(observes), builder(entry.getContext()),
        bufferType(rt::BufferType::get(entry.getContext())), workspace(sizes) {}

  LogicalResult run();

private:
  /// One of several copies that happen at once.
  struct Move {
    Value source, target;
    SizeExpr bytes;
  };

  /// A collective that has begun.
  struct Running {
    int32_t number;
    Location loc;
    Value source, target;
  };

  LogicalResult checkSignature();
  void createHost();
  LogicalResult placeAliases(ValueRange results, MutableArrayRef<Value> outputs);
  LogicalResult planBody();
  void createWorkspaceFunction();

  LogicalResult planBlock(Block &block);
  LogicalResult planOp(Operation *op);
  LogicalResult planDispatch(rt::DispatchOp dispatch);
  LogicalResult planCollective(rt::CollectiveOp collective);
  void wait(llvm::function_ref<bool(const Running &)> concerns);
  void waitFor(Operation *op);
  LogicalResult observe(rt::DispatchOp dispatch);
  LogicalResult planRead(tensor::ExtractOp read);
  LogicalResult planFor(scf::ForOp loop);
  LogicalResult planWhile(scf::WhileOp loop);
  LogicalResult planIf(scf::IfOp branch);
  LogicalResult cloneScalar(Operation *op);

  void computeIn(Value target, Block &block, Value tensor, Value previous = {});
  LogicalResult createMemory(Value root, Value shape);
  LogicalResult createCarried(BlockArgument carried, Value init);
  Value allocate(Location loc, const SizeExpr &bytes);
  Value lookup(Value tensor);
  SmallVector<Value> lookupScalars(ValueRange values);
  void mapScalars(ValueRange from, ValueRange to);
  LogicalResult copy(Location loc, ValueRange tensors, ArrayRef<Value> targets);

  func::FuncOp entry, host;
  const bool observes;
  int32_t observed = 0;
  SmallVector<SymbolOp> symbols;
  OpBuilder builder;
  Type bufferType;
  /// Where every slice begins until the workspace is divided; what stands before it are sizes.
  Operation *zero = nullptr;
  IRMapping scalars;
  SizeAlgebra sizes;
  Workspace workspace;
  std::unique_ptr<SizeWriter> sizeWriter;
  /// The memory of each root, and the memory of those that are still to come where it is known already.
  DenseMap<Value, Value> memory, planned;
  SmallVector<Running> running;
  int32_t numCollectives = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

LogicalResult HostPlanner::checkSignature() {
  if (!entry.getBody().hasOneBlock())
    return entry.emitOpError("expected one block; got ") << entry.getBody().getBlocks().size();
  for (TypeRange types : {TypeRange(entry.getArgumentTypes()), TypeRange(entry.getResultTypes())})
    for (Type type : types)
      if (!isa<RankedTensorType>(type))
        return entry.emitOpError("expected ranked tensors as arguments and results; got ") << type;
  return success();
}

static IRMapping mapSymbols(MutableArrayRef<SymbolOp> symbols, ValueRange arguments) {
  IRMapping mapping;
  for (auto [symbol, argument] : llvm::zip_equal(symbols, arguments))
    mapping.map(symbol.getResult(), argument);
  return mapping;
}

void HostPlanner::createHost() {
  entry.walk([&](SymbolOp symbol) { symbols.push_back(symbol); });
  unsigned inputs = entry.getNumArguments(), outputs = entry.getNumResults();
  SmallVector<Type> types(inputs + outputs + 1, bufferType);
  types.append(symbols.size(), builder.getIndexType());

  builder.setInsertionPointAfter(entry);
  Location loc = entry.getLoc();
  host = func::FuncOp::create(builder, loc, entry.getName(), builder.getFunctionType(types, {}));
  host->setDiscardableAttrs(entry->getDiscardableAttrDictionary());
  host.setVisibility(entry.getVisibility());
  SmallVector<Attribute> names;
  for (SymbolOp symbol : symbols)
    names.push_back(symbol.getNameAttr());
  host->setAttr("tessera.buffers", builder.getI64IntegerAttr(inputs + outputs));
  host->setAttr("tessera.symbols", builder.getArrayAttr(names));
  for (unsigned i = 0; i < inputs; ++i)
    host.setArgAttrs(i, entry.getArgAttrDict(i));
  for (unsigned i = 0; i < outputs; ++i)
    host.setArgAttrs(inputs + i, entry.getResultAttrDict(i));

  Block *body = host.addEntryBlock();
  for (auto [tensor, buffer] : llvm::zip_first(entry.getArguments(), body->getArguments()))
    memory[tensor] = buffer;
  scalars = mapSymbols(symbols, body->getArguments().take_back(symbols.size()));
  builder.setInsertionPointToStart(body);
  zero = arith::ConstantIndexOp::create(builder, loc, 0);
  sizeWriter = std::make_unique<SizeWriter>(sizes, OpBuilder(zero), loc, scalars);
}

/// Sizes were written wherever one was needed, and sizes that only tensors needed are left.
static void removeRepeated(func::FuncOp function) {
  IRRewriter rewriter(function.getContext());
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);
  function.walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
    if (isOpTriviallyDead(op))
      op->erase();
  });
}

/// A result that is a donated argument, changed, is in that argument's memory, without a copy on the way.
LogicalResult HostPlanner::placeAliases(ValueRange results, MutableArrayRef<Value> outputs) {
  for (auto [index, result] : llvm::enumerate(results)) {
    auto alias = entry.getResultAttrOfType<IntegerAttr>(index, kAlias);
    if (!alias)
      continue;
    BlockArgument argument = entry.getArgument(alias.getInt());
    if (findRoot(result) != argument) {
      InFlightDiagnostic error = emitError(result.getLoc())
                                 << "a donated argument is copied: expected result " << index
                                 << " to change it in place, got a use of the argument after the change";
      for (Operation *user : argument.getUsers())
        if (!isa<BindShapeOp>(user))
          error.attachNote(user->getLoc()) << "the argument is used here";
      return error;
    }
    outputs[index] = memory.lookup(argument);
  }
  return success();
}

LogicalResult HostPlanner::planBody() {
  Block &block = entry.getBody().front();
  Operation *end = block.getTerminator();
  SmallVector<Value> outputs(host.getArguments().slice(entry.getNumArguments(), entry.getNumResults()));
  if (failed(placeAliases(end->getOperands(), outputs)))
    return failure();
  for (auto [tensor, output] : llvm::zip_equal(end->getOperands(), outputs))
    computeIn(output, block, tensor);
  if (failed(planBlock(block)) || failed(copy(end->getLoc(), end->getOperands(), outputs)))
    return failure();
  func::ReturnOp::create(builder, end->getLoc());

  workspace.assignSlots(host);
  SmallVector<Value> offsets;
  workspace.writeOffsets(*sizeWriter, offsets);
  workspace.moveSlices(offsets);
  removeRepeated(host);
  return success();
}

void HostPlanner::createWorkspaceFunction() {
  builder.setInsertionPointAfter(host);
  Location loc = entry.getLoc();
  SmallVector<Type> types(symbols.size(), builder.getIndexType());
  auto function = func::FuncOp::create(builder, loc, (entry.getName() + ".workspace").str(),
                                       builder.getFunctionType(types, builder.getIndexType()));
  function->setAttr("tessera.workspace", builder.getUnitAttr());
  Block *body = function.addEntryBlock();
  builder.setInsertionPointToStart(body);
  SizeWriter writer(sizes, builder, loc, mapSymbols(symbols, body->getArguments()));
  SmallVector<Value> offsets;
  func::ReturnOp::create(builder, loc, workspace.writeOffsets(writer, offsets));
  removeRepeated(function);
}

LogicalResult HostPlanner::run() {
  if (failed(checkSignature()))
    return failure();
  createHost();
  if (failed(planBody())) {
    host.erase();
    return failure();
  }
  createWorkspaceFunction();
  entry.erase();
  return success();
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Lets a tensor that the block ends with be computed where it has to end up. `previous` is what that memory holds.
void HostPlanner::computeIn(Value target, Block &block, Value tensor, Value previous) {
  Value root = findRoot(tensor);
  if (canTakeOver(block, root, previous))
    planned.try_emplace(root, target);
}

Value HostPlanner::allocate(Location loc, const SizeExpr &bytes) {
  Value whole = host.getArgument(entry.getNumArguments() + entry.getNumResults());
  auto slice = rt::SliceOp::create(builder, loc, bufferType, whole, zero->getResult(0));
  workspace.add(slice, bytes);
  return slice;
}

/// Gives a root memory, the bytes of `shape`.
LogicalResult HostPlanner::createMemory(Value root, Value shape) {
  if (Value target = planned.lookup(root)) {
    memory[root] = target;
    return success();
  }
  FailureOr<SizeExpr> bytes = sizes.bytesOf(shape);
  if (failed(bytes))
    return failure();
  memory[root] = allocate(root.getLoc(), *bytes);
  return success();
}

/// The buffer of a tensor; null, with an error, if it has none.
Value HostPlanner::lookup(Value tensor) {
  Value root = findRoot(tensor);
  // Reading what nothing wrote needs memory all the same.
  if (isUndefined(root) && !memory.contains(root) && failed(createMemory(root, root)))
    return {};
  if (Value buffer = memory.lookup(root))
    return buffer;
  emitError(root.getLoc()) << "expected a tensor that the caller or a kernel wrote; got one without memory";
  return {};
}

/// Copies tensors all at once: a target may be the source of another.
LogicalResult HostPlanner::copy(Location loc, ValueRange tensors, ArrayRef<Value> targets) {
  SmallVector<Move> moves;
  for (auto [tensor, target] : llvm::zip_equal(tensors, targets)) {
    if (isUndefined(tensor))
      continue;
    Value source = lookup(tensor);
    FailureOr<SizeExpr> bytes = sizes.bytesOf(tensor);
    if (!source || failed(bytes))
      return failure();
    if (source != target)
      moves.push_back({source, target, *bytes});
  }
  auto emit = [&](Value source, Value target, const SizeExpr &bytes) {
    rt::CopyOp::create(builder, loc, source, target, sizeWriter->write(bytes));
  };
  while (!moves.empty()) {
    auto ready = llvm::find_if(moves, [&](const Move &move) {
      return llvm::none_of(moves, [&](const Move &other) { return &other != &move && other.source == move.target; });
    });
    if (ready != moves.end()) {
      emit(ready->source, ready->target, ready->bytes);
      moves.erase(ready);
      continue;
    }
    // Every target is still to be read: a cycle, which a temporary opens.
    Move &move = moves.front();
    Value temporary = allocate(loc, move.bytes);
    emit(move.source, temporary, move.bytes);
    move.source = temporary;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

SmallVector<Value> HostPlanner::lookupScalars(ValueRange values) {
  return llvm::map_to_vector(withoutTensors(values), [&](Value value) { return scalars.lookup(value); });
}

void HostPlanner::mapScalars(ValueRange from, ValueRange to) { scalars.map(withoutTensors(from), to); }

/// Plans all operations but the terminator, which is for the caller.
LogicalResult HostPlanner::planBlock(Block &block) {
  for (Operation &op : block.without_terminator()) {
    waitFor(&op);
    if (failed(planOp(&op)))
      return failure();
  }
  wait([](const Running &) { return true; });
  return success();
}

/// Waits for collectives that concern somebody, in the order in which they began: other ranks do the same.
void HostPlanner::wait(llvm::function_ref<bool(const Running &)> concerns) {
  llvm::erase_if(running, [&](const Running &one) {
    if (!concerns(one))
      return false;
    rt::WaitCollectiveOp::create(builder, one.loc, one.number, one.source, one.target);
    return true;
  });
}

/// Waits for the collectives that an operation must not overtake: those whose target it touches and those whose source
/// it changes. Loops and branches are seen as a whole.
void HostPlanner::waitFor(Operation *op) {
  if (running.empty() || isa<ReshapeOp>(op))
    return;
  if (op->getNumRegions() != 0)
    return wait([](const Running &) { return true; });
  SmallVector<Value> touched;
  for (Value operand : op->getOperands())
    if (isTensor(operand) && !isUndefined(operand))
      touched.push_back(memory.lookup(findRoot(operand)));
  SmallVector<Value> changed;
  for (Value result : op->getResults())
    if (isTensor(result) && findRoot(result) != result)
      changed.push_back(memory.lookup(findRoot(result)));
  wait([&](const Running &one) {
    return llvm::is_contained(touched, one.target) || llvm::is_contained(changed, one.source);
  });
}

LogicalResult HostPlanner::planOp(Operation *op) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<SymbolOp, BindShapeOp, ReshapeOp, tensor::EmptyOp>([](Operation *) { return success(); })
      .Case([&](rt::DispatchOp dispatch) { return planDispatch(dispatch); })
      .Case([&](rt::CollectiveOp collective) { return planCollective(collective); })
      .Case([&](tensor::ExtractOp read) { return planRead(read); })
      .Case([&](scf::ForOp loop) { return planFor(loop); })
      .Case([&](scf::WhileOp loop) { return planWhile(loop); })
      .Case([&](scf::IfOp branch) { return planIf(branch); })
      .Default([&](Operation *other) { return cloneScalar(other); });
}

LogicalResult HostPlanner::cloneScalar(Operation *op) {
  if (op->getNumRegions() != 0 || llvm::any_of(op->getOperandTypes(), isTensorType) ||
      llvm::any_of(op->getResultTypes(), isTensorType))
    return op->emitOpError("expected only dispatches, collectives, views, reads of scalars, loops, branches and index "
                           "arithmetic in a host function; got '")
           << op->getName() << "'";
  builder.clone(*op, scalars);
  return success();
}

LogicalResult HostPlanner::planDispatch(rt::DispatchOp dispatch) {
  SmallVector<Value> buffers;
  for (Value input : dispatch.getInputs())
    buffers.push_back(lookup(input));
  for (auto [init, result] : llvm::zip_equal(dispatch.getInits(), dispatch.getResults())) {
    if (findRoot(result) == result)
      if (failed(createMemory(result, init)) || failed(copy(dispatch.getLoc(), init, memory.lookup(result))))
        return failure();
    buffers.push_back(lookup(result));
  }
  if (llvm::is_contained(buffers, Value()))
    return failure();
  auto launch = rt::LaunchOp::create(builder, dispatch.getLoc(), dispatch.getKernel(), buffers,
                                     lookupScalars(dispatch.getSizes()));
  launch->setDiscardableAttrs(dispatch->getDiscardableAttrDictionary());
  return observes ? observe(dispatch) : success();
}

/// Shows the runtime what the kernel computed, as long as it is there.
LogicalResult HostPlanner::observe(rt::DispatchOp dispatch) {
  for (auto [init, result] : llvm::zip_equal(dispatch.getInits(), dispatch.getResults())) {
    FailureOr<SmallVector<Value>> dynamic = findDynamicSizes(init);
    if (failed(dynamic))
      return failure();
    rt::ObserveOp::create(builder, dispatch.getLoc(), observed++, dispatch.getKernel(), lookup(result),
                          lookupScalars(*dynamic), cast<RankedTensorType>(result.getType()));
  }
  return success();
}

LogicalResult HostPlanner::planCollective(rt::CollectiveOp collective) {
  Value source = lookup(collective.getSource());
  if (!source || failed(createMemory(collective.getResult(), collective.getInit())))
    return failure();
  // One rank's elements: the fewer of the two sides, or a piece of them.
  rt::CollectiveKind kind = collective.getWhat().getKind();
  auto type = cast<RankedTensorType>(collective.getSource().getType());
  FailureOr<SizeExpr> bytes =
      sizes.bytesOf(kind == rt::CollectiveKind::reduce_scatter ? collective.getInit() : collective.getSource());
  if (failed(bytes))
    return failure();
  Location loc = collective.getLoc();
  int64_t unit = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  if (kind == rt::CollectiveKind::all_to_all)
    unit *= collective.getWhat().getRanks();
  Value divisor = arith::ConstantIndexOp::create(builder, loc, unit);
  Value count = arith::DivUIOp::create(builder, loc, sizeWriter->write(*bytes), divisor);
  Value target = memory.lookup(collective.getResult());
  rt::StartCollectiveOp::create(builder, loc, numCollectives, collective.getWhat(), type.getElementType(), source,
                                target, count);
  running.push_back({numCollectives++, loc, source, target});
  return success();
}

LogicalResult HostPlanner::planRead(tensor::ExtractOp read) {
  auto type = cast<RankedTensorType>(read.getTensor().getType());
  if (type.getRank() != 0 || !type.getElementType().isSignlessInteger())
    return read.emitOpError("expected the host to read only integers of rank 0; got ") << type;
  Value buffer = lookup(read.getTensor());
  if (!buffer)
    return failure();
  scalars.map(read.getResult(), rt::LoadOp::create(builder, read.getLoc(), type.getElementType(), buffer));
  return success();
}

/// Gives memory to what a loop carries, unless it takes over the initial value's.
LogicalResult HostPlanner::createCarried(BlockArgument carried, Value init) {
  if (!isTensor(carried) || findRoot(carried) != carried)
    return success();
  if (failed(createMemory(carried, init)))
    return failure();
  return copy(carried.getOwner()->getParentOp()->getLoc(), init, memory.lookup(carried));
}

LogicalResult HostPlanner::planFor(scf::ForOp loop) {
  for (auto [carried, init] : llvm::zip_equal(loop.getRegionIterArgs(), loop.getInitArgs()))
    if (failed(createCarried(carried, init)))
      return failure();

  Operation *end = loop.getBody()->getTerminator();
  SmallVector<Value> tensors, targets;
  for (auto [carried, value] : llvm::zip_equal(loop.getRegionIterArgs(), end->getOperands())) {
    if (!isTensor(carried))
      continue;
    tensors.push_back(value);
    targets.push_back(lookup(carried));
    computeIn(targets.back(), *loop.getBody(), value, /*previous=*/carried);
  }

  auto lowered = scf::ForOp::create(
      builder, loop.getLoc(), scalars.lookup(loop.getLowerBound()), scalars.lookup(loop.getUpperBound()),
      scalars.lookup(loop.getStep()), lookupScalars(loop.getInitArgs()),
      [](OpBuilder &, Location, Value, ValueRange) {}, loop.getUnsignedCmp());
  lowered->setDiscardableAttrs(loop->getDiscardableAttrDictionary());
  mapScalars(loop.getBody()->getArguments(), lowered.getBody()->getArguments());
  mapScalars(loop.getResults(), lowered.getResults());

  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(lowered.getBody());
  if (failed(planBlock(*loop.getBody())) || failed(copy(end->getLoc(), tensors, targets)))
    return failure();
  scf::YieldOp::create(builder, end->getLoc(), lookupScalars(end->getOperands()));
  return success();
}

LogicalResult HostPlanner::planWhile(scf::WhileOp loop) {
  Block *before = loop.getBeforeBody(), *after = loop.getAfterBody();
  scf::ConditionOp condition = loop.getConditionOp();
  scf::YieldOp yield = loop.getYieldOp();
  for (auto [carried, init] : llvm::zip_equal(before->getArguments(), loop.getInits()))
    if (failed(createCarried(carried, init)))
      return failure();

  // What the condition hands on is in the memory of what the loop carries, or is copied to memory of its own.
  SmallVector<Value> handed, handedTargets, yielded, yieldedTargets;
  DenseMap<Value, Value> holds;
  for (auto [index, result, value] : llvm::enumerate(loop.getResults(), condition.getArgs())) {
    if (!isTensor(result))
      continue;
    if (BlockArgument carried = findForwarded(loop, index)) {
      holds[carried] = after->getArgument(index);
      continue;
    }
    if (failed(createMemory(result, value)))
      return failure();
    handed.push_back(value);
    handedTargets.push_back(memory.lookup(result));
    computeIn(handedTargets.back(), *before, value);
  }
  for (auto [carried, value] : llvm::zip_equal(before->getArguments(), yield.getOperands())) {
    if (!isTensor(carried))
      continue;
    yielded.push_back(value);
    yieldedTargets.push_back(lookup(carried));
    computeIn(yieldedTargets.back(), *after, value, holds.lookup(carried));
  }

  auto lowered = scf::WhileOp::create(builder, loop.getLoc(), withoutTensors(loop.getResultTypes()),
                                      lookupScalars(loop.getInits()), nullptr, nullptr);
  lowered->setDiscardableAttrs(loop->getDiscardableAttrDictionary());
  mapScalars(before->getArguments(), lowered.getBeforeBody()->getArguments());
  mapScalars(after->getArguments(), lowered.getAfterBody()->getArguments());
  mapScalars(loop.getResults(), lowered.getResults());

  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(lowered.getBeforeBody());
  if (failed(planBlock(*before)) || failed(copy(condition.getLoc(), handed, handedTargets)))
    return failure();
  scf::ConditionOp::create(builder, condition.getLoc(), scalars.lookup(condition.getCondition()),
                           lookupScalars(condition.getArgs()));
  builder.setInsertionPointToEnd(lowered.getAfterBody());
  if (failed(planBlock(*after)) || failed(copy(yield.getLoc(), yielded, yieldedTargets)))
    return failure();
  scf::YieldOp::create(builder, yield.getLoc(), lookupScalars(yield.getOperands()));
  return success();
}

LogicalResult HostPlanner::planIf(scf::IfOp branch) {
  SmallVector<Value> targets;
  for (Value result : branch.getResults()) {
    if (!isTensor(result))
      continue;
    if (failed(createMemory(result, result)))
      return failure();
    targets.push_back(memory.lookup(result));
  }
  auto lowered = scf::IfOp::create(builder, branch.getLoc(), withoutTensors(branch.getResultTypes()),
                                   scalars.lookup(branch.getCondition()), /*addThenBlock=*/true,
                                   /*addElseBlock=*/!branch.getElseRegion().empty());
  lowered->setDiscardableAttrs(branch->getDiscardableAttrDictionary());
  mapScalars(branch.getResults(), lowered.getResults());

  OpBuilder::InsertionGuard guard(builder);
  for (auto [region, loweredRegion] : llvm::zip_equal(branch->getRegions(), lowered->getRegions())) {
    if (region.empty())
      continue;
    Operation *end = region.front().getTerminator();
    SmallVector<Value> tensors = llvm::filter_to_vector(end->getOperands(), isTensor);
    for (auto [tensor, target] : llvm::zip_equal(tensors, targets))
      computeIn(target, region.front(), tensor);
    builder.setInsertionPointToEnd(&loweredRegion.front());
    if (failed(planBlock(region.front())) || failed(copy(end->getLoc(), tensors, targets)))
      return failure();
    scf::YieldOp::create(builder, end->getLoc(), lookupScalars(end->getOperands()));
  }
  return success();
}

namespace {

struct PlanMemoryPass : tessera::impl::TesseraPlanMemoryPassBase<PlanMemoryPass> {
  using Base::Base;

  void runOnOperation() override {
    for (func::FuncOp function : llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      if (function->hasAttr("tessera.entry") && failed(HostPlanner(function, observe).run()))
        return signalPassFailure();
  }
};

} // namespace
