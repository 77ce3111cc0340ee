// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitThreads/RowEmitter.h"

#include "passes/EmitThreads/EmitThreads.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

PointEmitter RowEmitter::pointAt(Step &step, Value column) {
  PointEmitter point(step.op, step.plan);
  for (unsigned loop = 0; loop < step.op.getNumLoops(); ++loop)
    point.ivs.push_back(step.isRow() && loop == step.plan.vectorLoop && column ? column
                                                                               : constant(step.op.getLoc(), 0));
  return point;
}

/// The same where an operand is read or written.
PointEmitter RowEmitter::pointAt(Step &step, OpOperand &operand, const Chunk &chunk) {
  PointEmitter point = pointAt(step, chunk.column);
  if (walk.lanes > 1)
    point.alignment = std::min<int64_t>(
        kAccessBytes, walk.lanes * cast<MemRefType>(operand.get().getType()).getElementTypeBitWidth() / 8);
  return point;
}

SmallVector<Chunk> RowEmitter::createChunks(Location loc, Value base) {
  SmallVector<Chunk> chunks;
  Value length = getValueOrCreateConstantIndexOp(b, loc, program.length);
  for (int64_t index = 0; index < walk.vectors; ++index) {
    Value first = arith::MulIOp::create(b, loc, lane, constant(loc, walk.lanes));
    Value column = b.createOrFold<arith::AddIOp>(loc, first, constant(loc, index * rowThreads * walk.lanes));
    if (base)
      column = arith::AddIOp::create(b, loc, base, column);
    Value inside;
    if (!walk.isExact)
      inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, column, length);
    chunks.push_back({index, column, inside});
  }
  return chunks;
}

/// Runs the body for all of the thread's vectors, group by group.
SmallVector<Value> RowEmitter::forEachGroup(Location loc, ValueRange carried,
                                            llvm::function_ref<Values(ArrayRef<Chunk>, ValueRange carried)> body) {
  if (walk.isResident)
    return body(resident, carried);
  Value length = getValueOrCreateConstantIndexOp(b, loc, program.length);
  Value step = constant(loc, rowThreads * walk.lanes * walk.vectors);
  auto loop = scf::ForOp::create(b, loc, constant(loc, 0), length, step, carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  read.clear();
  computed.clear();
  SmallVector<Chunk> chunks = createChunks(loc, loop.getInductionVar());
  Values next = body(chunks, loop.getRegionIterArgs());
  if (!carried.empty())
    scf::YieldOp::create(b, loc, next);
  read.clear();
  computed.clear();
  return loop.getResults();
}

void RowEmitter::readNumbers() {
  for (Step &step : program.steps)
    for (auto [index, access] : llvm::enumerate(step.plan.accesses))
      if (access == Access::Uniform && step.isRead(index))
        memoryNumbers[&step.op->getOpOperand(index)] =
            pointAt(step, Value()).load(b, step.op->getOpOperand(index), 1, Value());
}

/// Reads what a step's row needs before anything of it is computed, so that the latencies overlap. What only later
/// steps need takes no registers until then.
void RowEmitter::readRows(Step &step, ArrayRef<Chunk> chunks) {
  if (!step.isRow())
    return;
  for (auto [index, access] : llvm::enumerate(step.plan.accesses)) {
    if (int64_t producer = step.sources[index].step; producer >= 0) {
      if (!isNumber(step.sources[index]))
        readRows(program.steps[producer], chunks);
    } else if (access != Access::Uniform && step.isRead(index)) {
      for (const Chunk &chunk : chunks)
        readRow(step, step.op->getOpOperand(index), chunk);
    }
  }
}

Value RowEmitter::readRow(Step &step, OpOperand &operand, const Chunk &chunk) {
  AffineMap map = step.op.getMatchingIndexingMap(&operand);
  Value &known = read[{operand.get().getAsOpaquePointer(), map.getAsOpaquePointer(), chunk.index}];
  if (known)
    return known;
  Location loc = step.op.getLoc();
  PointEmitter point = pointAt(step, operand, chunk);
  Type element = cast<MemRefType>(operand.get().getType()).getElementType();
  if (!chunk.inside)
    return known = point.load(b, operand, walk.lanes, Value());
  // What is not there reads as 1: a divisor of 0 would trap on some targets, and the values are not used.
  Type type = point.vectorOf(element, walk.lanes);
  auto branch = scf::IfOp::create(b, loc, type, chunk.inside, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(branch.thenBlock());
  scf::YieldOp::create(b, loc, point.load(b, operand, walk.lanes, Value()));
  b.setInsertionPointToEnd(branch.elseBlock());
  scf::YieldOp::create(b, loc, arith::ConstantOp::create(b, loc, b.getOneAttr(type)).getResult());
  return known = branch.getResult(0);
}

bool RowEmitter::isNumber(RowProgram::Source source) const {
  const Step &step = program.steps[source.step];
  return !step.isRow() || step.plan.accumulates[source.result];
}

Value RowEmitter::valueOf(Step &step, unsigned operand, const Chunk *chunk) {
  OpOperand &use = step.op->getOpOperand(operand);
  RowProgram::Source source = step.sources[operand];
  if (source.step >= 0)
    return resultOf(source, chunk);
  if (!isa<MemRefType>(use.get().getType()))
    return use.get();
  if (step.plan.accesses[operand] == Access::Uniform)
    return memoryNumbers.lookup(&use);
  return readRow(step, use, *chunk);
}

Value RowEmitter::resultOf(RowProgram::Source source, const Chunk *chunk) {
  if (isNumber(source))
    return numbers.at({source.step, source.result});
  auto key = std::tuple(source.step, source.result, chunk->index);
  if (auto known = computed.find(key); known != computed.end())
    return known->second;
  // A row beside sums: the sums are complete, and only the row is computed again.
  Step &step = program.steps[source.step];
  Values sums;
  for (auto [index, accumulates] : llvm::enumerate(step.plan.accumulates))
    if (accumulates)
      sums.push_back(numbers.at({source.step, static_cast<unsigned>(index)}));
  compute(step, chunk, sums);
  return computed.at(key);
}

/// Computes a step, at a chunk of the row if it has one.
SmallVector<Value> RowEmitter::compute(Step &step, const Chunk *chunk, ValueRange accumulators) {
  PointEmitter point = pointAt(step, chunk ? chunk->column : Value());
  int64_t lanes = step.isRow() ? walk.lanes : 1;
  for (OpOperand &operand : step.op->getOpOperands()) {
    unsigned index = operand.getOperandNumber();
    bool isAccumulated = step.op.isDpsInit(&operand) && step.plan.accumulates[index - step.op.getNumDpsInputs()];
    if (!isAccumulated && !step.op.getMatchingBlockArgument(&operand).use_empty())
      point.provide(operand, valueOf(step, index, chunk));
  }
  Values results = point.compute(b, lanes, Value(), accumulators);
  int64_t number = &step - program.steps.data();
  for (auto [index, value] : llvm::enumerate(results)) {
    if (!step.isRow())
      numbers[{number, static_cast<unsigned>(index)}] = value;
    else if (!step.plan.accumulates[index])
      computed[{number, static_cast<unsigned>(index), chunk->index}] = value;
  }
  return results;
}

void RowEmitter::reduce(Step &step) {
  Location loc = step.op.getLoc();
  int64_t number = &step - program.steps.data();
  SmallVector<unsigned> accumulated;
  Values neutral;
  for (auto [index, accumulates] : llvm::enumerate(step.plan.accumulates)) {
    if (!accumulates)
      continue;
    accumulated.push_back(index);
    TypedAttr element = *arith::getNeutralElement(step.plan.combiners[index]);
    Value one = arith::ConstantOp::create(b, loc, element);
    neutral.push_back(walk.lanes == 1
                          ? one
                          : vector::BroadcastOp::create(b, loc, VectorType::get(walk.lanes, element.getType()), one));
  }
  Values partial = forEachGroup(loc, neutral, [&](ArrayRef<Chunk> chunks, ValueRange carried) {
    Values sums(carried);
    readRows(step, chunks);
    for (const Chunk &chunk : chunks) {
      Values next = compute(step, &chunk, sums);
      for (auto [sum, index] : llvm::zip(sums, accumulated))
        sum = chunk.inside ? arith::SelectOp::create(b, loc, chunk.inside, next[index], sum).getResult() : next[index];
    }
    return sums;
  });
  for (auto [value, index] : llvm::zip(partial, accumulated)) {
    Operation *combiner = step.plan.combiners[index];
    // Halves onto halves: neighbours stay apart as long as they can.
    Values parts = {value};
    if (walk.lanes > 1) {
      parts.clear();
      for (int64_t part = 0; part < walk.lanes; ++part)
        parts.push_back(vector::ExtractOp::create(b, loc, value, part));
    }
    for (size_t half = parts.size() / 2; half > 0; half /= 2)
      for (size_t part = 0; part < half; ++part)
        parts[part] = combine(b, combiner, parts[part], parts[part + half]);
    Value total = cluster ? cluster->reduce(b, combiner, parts.front())
                          : reduceAcrossThreads(b, kernel, combiner, parts.front(), rowThreads);
    Value first = valueOf(step, step.op.getNumDpsInputs() + index, nullptr);
    numbers[{number, index}] = combine(b, combiner, first, total);
  }
  forgetWidened();
}

/// The same words, of which the compiler knows nothing.
static Value hide(OpBuilder &b, Location loc, Value vector) {
  auto type = cast<VectorType>(vector.getType());
  int64_t words = type.getNumElements() * type.getElementTypeBitWidth() / 32;
  auto asWords = VectorType::get(words, b.getI32Type());
  vector = vector::BitCastOp::create(b, loc, asWords, vector);
  auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
  for (int64_t i = 0; i < words; ++i) {
    Value word = vector::ExtractOp::create(b, loc, vector, i);
    auto hidden = LLVM::InlineAsmOp::create(b, loc, b.getI32Type(), word, "", "=r,0", /*has_side_effects=*/true,
                                            /*is_align_stack=*/false, LLVM::TailCallKind::None, dialect, ArrayAttr());
    vector = vector::InsertOp::create(b, loc, hidden.getResult(0), vector, i);
  }
  return vector::BitCastOp::create(b, loc, type, vector);
}

/// A long row fills the registers. Where it was read in few bits, they hold it so until what comes after a reduction,
/// which widens it and computes on it again.
void RowEmitter::forgetWidened() {
  if (!walk.isResident || walk.lanes == 1 || walk.vectors * walk.lanes < kMaxResident || !program.isNarrow())
    return;
  computed.clear();
  DenseSet<Value *> hidden;
  // In the order of the program, which the map does not keep.
  for (Step &step : program.steps)
    for (OpOperand &operand : step.op->getOpOperands())
      for (const Chunk &chunk : resident) {
        AffineMap map = step.op.getMatchingIndexingMap(&operand);
        auto known = read.find({operand.get().getAsOpaquePointer(), map.getAsOpaquePointer(), chunk.index});
        if (known != read.end() && hidden.insert(&known->second).second)
          known->second = hide(b, step.op.getLoc(), known->second);
      }
}

void RowEmitter::storeOutputs() {
  SmallVector<RowProgram::Source> rows;
  Location loc = kernel.getLoc();
  auto storeIf = [&](Value condition, llvm::function_ref<void()> store) {
    if (!condition)
      return store();
    auto branch = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    store();
  };
  auto both = [&](Value x, Value y) -> Value {
    return x && y ? arith::AndIOp::create(b, loc, x, y).getResult() : x ? x : y;
  };
  for (RowProgram::Source source : program.outputs) {
    if (!isNumber(source)) {
      rows.push_back(source);
      continue;
    }
    Step &step = program.steps[source.step];
    Value isFirst;
    if (rowThreads > 1)
      isFirst = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, lane, constant(loc, 0));
    storeIf(both(isFirst, isRow), [&] {
      pointAt(step, Value())
          .store(b, step.op.getDpsInitsMutable()[source.result], numbers.at({source.step, source.result}), 1, Value());
    });
  }
  if (rows.empty())
    return;
  forEachGroup(loc, {}, [&](ArrayRef<Chunk> chunks, ValueRange) {
    for (RowProgram::Source source : rows)
      readRows(program.steps[source.step], chunks);
    for (const Chunk &chunk : chunks) {
      Values values;
      for (RowProgram::Source source : rows)
        values.push_back(resultOf(source, &chunk));
      storeIf(both(chunk.inside, isRow), [&] {
        for (auto [source, value] : llvm::zip(rows, values)) {
          Step &step = program.steps[source.step];
          OpOperand &init = step.op.getDpsInitsMutable()[source.result];
          pointAt(step, init, chunk).store(b, init, value, walk.lanes, Value());
        }
      });
    }
    return Values();
  });
}

/// Which row a thread works on, and where in the row it stands.
void RowEmitter::identifyThread() {
  Location loc = kernel.getLoc();
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  if (blocks > 1) {
    Value block = gpu::ClusterBlockIdOp::create(b, loc, gpu::Dimension::x);
    Value before = arith::MulIOp::create(b, loc, block, constant(loc, rowThreads / blocks));
    lane = arith::AddIOp::create(b, loc, before, thread);
    SmallVector<Type> reduced;
    for (Step &step : program.steps)
      for (Operation *combiner : step.plan.combiners)
        if (combiner)
          reduced.push_back(combiner->getResult(0).getType());
    cluster.emplace(b, kernel, blocks, reduced);
    return;
  }
  int64_t threads = kernel->getAttrOfType<IntegerAttr>("tessera.threads").getInt();
  lane = b.createOrFold<arith::RemUIOp>(loc, thread, constant(loc, rowThreads));
  if (int64_t rows = threads / rowThreads; rows > 1) {
    Value row = createRowNumber(b, loc, rows, rowThreads);
    isRow = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, row, kernel.getArguments().back());
  }
}

void RowEmitter::run() {
  Location loc = kernel.getLoc();
  identifyThread();
  readNumbers();
  if (walk.isResident && program.length)
    resident = createChunks(loc, Value());
  for (Step &step : program.steps) {
    if (step.reduces())
      reduce(step);
    else if (!step.isRow())
      compute(step, nullptr, {});
  }
  storeOutputs();
}
