// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the threads of a row go over it: in vectors or by elements, once or in a loop.

#include "passes/EmitThreads/Divisibility.h"
#include "passes/EmitThreads/EmitThreads.h"
#include "passes/EmitThreads/RowEmitter.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace tessera;

Value tessera::createRowNumber(OpBuilder &b, Location loc, int64_t rows, int64_t rowThreads) {
  auto constant = [&](int64_t n) -> Value { return arith::ConstantIndexOp::create(b, loc, n); };
  Value block = gpu::BlockIdOp::create(b, loc, gpu::Dimension::x);
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value inBlock = b.createOrFold<arith::DivUIOp>(loc, thread, constant(rowThreads));
  return arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, block, constant(rows)), inBlock);
}

static Divisibility findDivisibility(RowProgram &program, int64_t lanes) {
  Divisibility result;
  for (RowProgram::Step &step : program.steps) {
    for (auto [operand, source, access] : llvm::zip(step.op->getOpOperands(), step.sources, step.plan.accesses)) {
      auto type = dyn_cast<MemRefType>(operand.get().getType());
      Value memory = type ? findMemory(operand.get()) : Value();
      if (!type || access != Access::Adjacent || memory.getDefiningOp<memref::AllocOp>())
        continue;
      result.requireView(operand.get(), lanes);
    }
  }
  return result;
}

namespace {
using EmitFn = llvm::function_ref<void(OpBuilder, Walk)>;
}

/// By single elements; a row of a known length may stay in registers.
static Walk walkElements(int64_t length, int64_t rowThreads) {
  int64_t vectors = llvm::divideCeil(length, rowThreads);
  bool isResident = length >= 0 && vectors <= kMaxResident / 2;
  return Walk{1, isResident ? vectors : kRowVectors, isResident, isResident && length == vectors * rowThreads};
}

/// A tile that is cut off at the end. Where rows are divided into tiles, each has such an end, which goes by vectors
/// too if it is made of whole ones; otherwise there is one.
static void emitCutTile(OpBuilder b, Location loc, RowProgram &program, const Divisibility &divisible, Walk wide,
                        Walk elements, EmitFn emit) {
  if (divisible.unknown.empty())
    return emit(b, elements);
  Value isWhole = createDivides(b, loc, wide.lanes, cast<Value>(program.length));
  for (Value value : divisible.unknown)
    isWhole = arith::AndIOp::create(b, loc, isWhole, createDivides(b, loc, wide.lanes, value));
  auto branch = scf::IfOp::create(b, loc, isWhole, /*withElseRegion=*/true);
  wide.isExact = false;
  emit(branch.getThenBodyBuilder(), wide);
  emit(branch.getElseBodyBuilder(), elements);
}

/// The forms of a program along a row, and what picks one.
static void emitForms(OpBuilder b, Location loc, RowProgram &program, int64_t rowThreads, EmitFn emit) {
  int64_t lanes = program.maxLanes(), bound = program.bound();
  std::optional<int64_t> length = getConstantIntValue(program.length);
  Divisibility divisible = findDivisibility(program, lanes);
  int64_t vectors = bound < 0 ? 0 : llvm::divideCeil(bound, rowThreads * lanes);
  bool fits = bound >= 0 && vectors * lanes <= kMaxResident;
  Walk wide = {lanes, fits ? vectors : kRowVectors, fits, fits && bound == vectors * rowThreads * lanes};
  bool isTile = !length && wide.isExact;
  Value isWide;
  auto require = [&](Value condition) {
    isWide = isWide ? arith::AndIOp::create(b, loc, isWide, condition).getResult() : condition;
  };
  if (isTile)
    require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, cast<Value>(program.length),
                                  arith::ConstantIndexOp::create(b, loc, bound)));
  else
    divisible.require(program.length, lanes);
  if (!divisible.isPossible || lanes == 1)
    return emit(b, walkElements(length.value_or(-1), rowThreads));
  for (Value value : divisible.unknown)
    require(createDivides(b, loc, lanes, value));
  if (!isWide)
    return emit(b, wide);
  auto branch = scf::IfOp::create(b, loc, isWide, /*withElseRegion=*/true);
  emit(branch.getThenBodyBuilder(), wide);
  Walk elements = walkElements(-1, rowThreads);
  if (isTile)
    emitCutTile(branch.getElseBodyBuilder(), loc, program, divisible, wide, elements, emit);
  else
    emit(branch.getElseBodyBuilder(), elements);
}

void tessera::emitRows(gpu::GPUFuncOp kernel, RowProgram &program, int64_t threadsOfBlock, int64_t blocks) {
  Block &block = kernel.getBody().front();
  OpBuilder b(block.getTerminator());
  int64_t rowThreads = threadsOfBlock * blocks;
  auto emit = [&](OpBuilder at, Walk walk) { RowEmitter(program, kernel, rowThreads, blocks, at, walk).run(); };
  if (program.length)
    emitForms(b, kernel.getLoc(), program, rowThreads, emit);
  else
    emit(b, {1, 0, true, true});
  for (RowProgram::Step &step : program.steps)
    step.op->erase();
  for (auto alloc : llvm::to_vector(block.getOps<memref::AllocOp>()))
    alloc->erase();
}
