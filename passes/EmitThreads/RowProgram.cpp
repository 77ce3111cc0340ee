// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitThreads/RowProgram.h"

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace tessera;

Value tessera::findMemory(Value view) {
  while (auto op = view.getDefiningOp<ViewLikeOpInterface>())
    view = op.getViewSource();
  return view;
}

static bool isLocal(Value memory) { return memory.getDefiningOp<memref::AllocOp>() != nullptr; }

OpFoldResult tessera::findViewSize(Value view, int64_t dim) {
  auto type = cast<MemRefType>(view.getType());
  if (!type.isDynamicDim(dim))
    return IntegerAttr::get(IndexType::get(view.getContext()), type.getDimSize(dim));
  if (auto alloc = view.getDefiningOp<memref::AllocOp>())
    return alloc.getMixedSizes()[dim];
  if (auto bind = view.getDefiningOp<rt::BindOp>())
    return bind.getSizes()[type.getDynamicDimIndex(dim)];
  auto subview = view.getDefiningOp<memref::SubViewOp>();
  if (!subview)
    return {};
  llvm::SmallBitVector dropped = subview.getDroppedDims();
  for (auto [source, size] : llvm::enumerate(subview.getMixedSizes())) {
    if (dropped.test(source))
      continue;
    if (dim-- == 0)
      return size;
  }
  return {};
}

/// A plan for a step without a row.
static LoopPlan planNumbers(linalg::LinalgOp op) {
  LoopPlan plan;
  plan.accumulates.assign(op.getNumDpsInits(), false);
  plan.combiners.assign(op.getNumDpsInits(), nullptr);
  plan.accesses.assign(op->getNumOperands(), Access::Uniform);
  return plan;
}

bool RowProgram::Step::isRead(unsigned operand) const {
  linalg::LinalgOp of = op;
  OpOperand &use = of->getOpOperand(operand);
  return isa<MemRefType>(use.get().getType()) && sources[operand].step < 0 &&
         !of.getMatchingBlockArgument(&use).use_empty();
}

bool RowProgram::agreeOnLength(linalg::LinalgOp op, int64_t loop) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    for (auto [dim, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults())) {
      if (expr != getAffineDimExpr(loop, op.getContext()))
        continue;
      OpFoldResult size = findViewSize(operand.get(), dim);
      if (!size || (length && !isEqualConstantIntOrValue(length, size)))
        return false;
      length = size;
    }
  }
  return static_cast<bool>(length);
}

LogicalResult RowProgram::resolveSources(Step &step) {
  for (OpOperand &operand : step.op->getOpOperands()) {
    Source source;
    if (isa<MemRefType>(operand.get().getType())) {
      // Views of what the program itself computes must be whole.
      Value memory = findMemory(operand.get());
      auto known = current.find(operand.get());
      if (known != current.end())
        source = known->second;
      else if (isLocal(memory) && !step.op.getMatchingBlockArgument(&operand).use_empty())
        return failure();
    }
    step.sources.push_back(source);
  }
  return success();
}

LogicalResult RowProgram::addStep(linalg::LinalgOp op) {
  if (!op.hasPureBufferSemantics() || op->getNumRegions() != 1)
    return failure();
  int64_t loop = -1;
  for (auto [index, extent] : llvm::enumerate(op.getStaticLoopRanges())) {
    if (extent == 1)
      continue;
    if (loop >= 0 || extent == 0)
      return failure();
    loop = index;
  }
  Step step;
  step.op = op;
  if (loop < 0) {
    step.plan = planNumbers(op);
  } else {
    FailureOr<LoopPlan> plan = planLoops(op, /*vectorBits=*/128);
    if (failed(plan) || plan->vectorLoop != loop || !agreeOnLength(op, loop))
      return failure();
    step.plan = *plan;
    if (step.reduces() && !plan->isReduction)
      return failure();
    for (auto [accumulates, combiner] : llvm::zip(plan->accumulates, plan->combiners))
      if (accumulates && !combiner)
        return failure();
  }
  if (failed(resolveSources(step)))
    return failure();
  for (auto [index, init] : llvm::enumerate(op.getDpsInitsMutable()))
    current[init.get()] = {static_cast<int64_t>(steps.size()), static_cast<unsigned>(index)};
  steps.push_back(std::move(step));
  return success();
}

/// Whether two views of one memory have no element in common, as far as constants tell.
static bool areDisjoint(Value lhs, Value rhs) {
  auto a = lhs.getDefiningOp<memref::SubViewOp>(), b = rhs.getDefiningOp<memref::SubViewOp>();
  if (!a || !b)
    return false;
  if (a.getSource() != b.getSource())
    return areDisjoint(a.getSource(), b.getSource());
  for (auto [offsetA, offsetB, sizeA, sizeB, strideA, strideB] :
       llvm::zip(a.getStaticOffsets(), b.getStaticOffsets(), a.getStaticSizes(), b.getStaticSizes(),
                 a.getStaticStrides(), b.getStaticStrides())) {
    if (llvm::any_of(ArrayRef{offsetA, offsetB, strideA, strideB}, ShapedType::isDynamic) || strideA != strideB)
      continue;
    int64_t distance = std::abs(offsetA - offsetB), size = offsetA < offsetB ? sizeA : sizeB;
    if (distance % strideA != 0 || (!ShapedType::isDynamic(size) && distance >= size * strideA))
      return true;
  }
  return false;
}

/// Memory that the program writes is read at the very places that it writes, by the thread that writes them.
LogicalResult RowProgram::checkReads() {
  DenseMap<Value, SmallVector<Value>> written;
  for (auto &[view, source] : current) {
    Value memory = findMemory(view);
    if (isLocal(memory))
      continue;
    SmallVector<Value> &views = written[memory];
    if (llvm::any_of(views, [&, view = view](Value other) { return !areDisjoint(view, other); }))
      return failure();
    views.push_back(view);
    outputs.push_back(source);
  }
  // In the order of the program, which the map does not keep.
  llvm::sort(outputs, [](const Source &a, const Source &b) {
    return std::pair(a.step, a.result) < std::pair(b.step, b.result);
  });
  for (Step &step : steps) {
    for (OpOperand &operand : step.op->getOpOperands()) {
      if (!step.isRead(operand.getOperandNumber()))
        continue;
      // Which of several views stands for memory that is read too would have to be found out first.
      auto views = written.find(findMemory(operand.get()));
      if (views != written.end() && (views->second.size() > 1 || views->second.front() != operand.get()))
        return failure();
    }
    WalkResult reads = step.op->walk([&](memref::LoadOp read) {
      Value memory = findMemory(read.getMemref());
      return isLocal(memory) || written.contains(memory) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (reads.wasInterrupted())
      return failure();
  }
  return success();
}

FailureOr<RowProgram> RowProgram::analyze(Block &block) {
  RowProgram program;
  for (Operation &op : block.without_terminator()) {
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      if (failed(program.addStep(linalgOp)))
        return failure();
    } else if (op.getNumRegions() != 0 || !(isMemoryEffectFree(&op) || isa<memref::AllocOp>(op))) {
      return failure();
    }
  }
  if (program.steps.empty() || failed(program.checkReads()))
    return failure();
  if (program.length)
    program.maxLength = findUpperBound(program.length).value_or(program.maxLength);
  return program;
}

int64_t RowProgram::maxLanes() const {
  unsigned bits = 64;
  for (const Step &step : steps) {
    for (auto [operand, source, access] : llvm::zip(step.op->getOpOperands(), step.sources, step.plan.accesses)) {
      auto type = dyn_cast<MemRefType>(operand.get().getType());
      if (!type || access == Access::Uniform || isLocal(findMemory(operand.get())))
        continue;
      bits = std::min(bits, std::max(8u, type.getElementTypeBitWidth()));
    }
  }
  return 128 / bits;
}

bool RowProgram::reduces() const {
  return llvm::any_of(steps, [](const Step &step) { return step.reduces(); });
}

bool RowProgram::isNarrow() const {
  for (const Step &step : steps)
    for (auto [index, access] : llvm::enumerate(step.plan.accesses))
      if (access != Access::Uniform && step.isRead(index) &&
          getElementTypeOrSelf(step.op->getOperand(index)).getIntOrFloatBitWidth() >= 32)
        return false;
  return true;
}

int64_t RowProgram::chooseBlocks(int64_t maxCluster) const {
  if (!length || maxLength <= kMaxThreads * kMaxResident || !reduces())
    return 1;
  int64_t blocks = llvm::PowerOf2Ceil(llvm::divideCeil(maxLength, kSmallBlock * kMaxResident));
  return blocks <= maxCluster ? blocks : 1;
}

int64_t RowProgram::chooseThreads(bool hasDeviceToItself, int64_t blocks) const {
  if (!length)
    return 1;
  if (blocks > 1)
    return kSmallBlock;
  if (hasDeviceToItself)
    return kMaxThreads;
  if (maxLength < 0)
    return 256;
  int64_t vectors = llvm::divideCeil(maxLength, maxLanes());
  // A warp reads whole rows, however short.
  int64_t least = std::min<int64_t>(llvm::PowerOf2Ceil(vectors), 32);
  int64_t threads = llvm::PowerOf2Ceil(llvm::divideCeil(vectors, kFewVectors));
  int64_t few = reduces() ? kFewThreads : kSmallBlock; // what they do to combine their results costs each the same
  if (threads > few)
    threads = std::max<int64_t>(few, llvm::PowerOf2Ceil(llvm::divideCeil(vectors, kRowVectors)));
  return std::clamp<int64_t>(threads, least, kMaxThreads);
}
