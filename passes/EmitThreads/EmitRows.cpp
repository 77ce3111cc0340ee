// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the threads of a row go over it: in vectors or by elements, once or in a loop.

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/EmitThreads/EmitThreads.h"
#include "passes/EmitThreads/RowEmitter.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace tessera;

/// Elements of a row that a thread holds in registers at most.
constexpr int64_t kMaxResident = 64;

Value tessera::createRowNumber(OpBuilder &b, Location loc, int64_t rows, int64_t rowThreads) {
  auto constant = [&](int64_t n) -> Value { return arith::ConstantIndexOp::create(b, loc, n); };
  Value block = gpu::BlockIdOp::create(b, loc, gpu::Dimension::x);
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value inBlock = b.createOrFold<arith::DivUIOp>(loc, thread, constant(rowThreads));
  return arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, block, constant(rows)), inBlock);
}

/// A constant that divides an index.
static int64_t knownFactor(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return *constant == 0 ? kAccessBytes : *constant;
  if (auto product = value.getDefiningOp<arith::MulIOp>())
    return knownFactor(product.getLhs()) * knownFactor(product.getRhs());
  return 1;
}

namespace {
/// What must be divisible by the lanes for vectors of the row to be aligned and whole.
struct Divisibility {
  SmallVector<Value> unknown;
  bool isPossible = true;

  void require(OpFoldResult size, int64_t lanes) {
    if (std::optional<int64_t> constant = getConstantIntValue(size)) {
      isPossible &= *constant % lanes == 0;
      return;
    }
    Value value = cast<Value>(size);
    if (knownFactor(value) % lanes == 0)
      return;
    // What differs from row to row would divide the threads of a block.
    if (isa<BlockArgument>(value) && !llvm::is_contained(unknown, value))
      unknown.push_back(value);
    else if (!isa<BlockArgument>(value))
      isPossible = false;
  }
};
} // namespace

static Divisibility findDivisibility(RowProgram &program, int64_t lanes) {
  Divisibility result;
  for (RowProgram::Step &step : program.steps) {
    for (auto [operand, source, access] : llvm::zip(step.op->getOpOperands(), step.sources, step.plan.accesses)) {
      auto type = dyn_cast<MemRefType>(operand.get().getType());
      Value memory = type ? findMemory(operand.get()) : Value();
      if (!type || access != Access::Adjacent || memory.getDefiningOp<memref::AllocOp>())
        continue;
      Value view = operand.get();
      for (; auto subview = view.getDefiningOp<memref::SubViewOp>(); view = subview.getSource())
        result.require(subview.getMixedOffsets().back(), lanes);
      auto bind = view.getDefiningOp<rt::BindOp>();
      if (!bind) {
        result.isPossible = false;
        continue;
      }
      if (int64_t rank = bind.getResult().getType().getRank(); rank > 1)
        result.require(findViewSize(bind, rank - 1), lanes);
    }
  }
  return result;
}

void tessera::emitRows(gpu::GPUFuncOp kernel, RowProgram &program, int64_t rowThreads) {
  Block &block = kernel.getBody().front();
  Location loc = kernel.getLoc();
  OpBuilder b(block.getTerminator());
  auto emit = [&](OpBuilder at, Walk walk) { RowEmitter(program, kernel, rowThreads, at, walk).run(); };
  auto scalars = [&](int64_t length) {
    int64_t vectors = llvm::divideCeil(length, rowThreads);
    bool isResident = length >= 0 && vectors <= kMaxResident / 2;
    return Walk{1, isResident ? vectors : kRowVectors, isResident, isResident && length == vectors * rowThreads};
  };

  if (!program.length) {
    emit(b, {1, 0, true, true});
  } else {
    int64_t lanes = program.maxLanes(), bound = program.bound();
    std::optional<int64_t> length = getConstantIntValue(program.length);
    Divisibility divisible = findDivisibility(program, lanes);
    int64_t vectors = bound < 0 ? 0 : llvm::divideCeil(bound, rowThreads * lanes);
    bool fits = bound >= 0 && vectors * lanes <= kMaxResident;
    Walk wide = {lanes, fits ? vectors : kRowVectors, fits, fits && bound == vectors * rowThreads * lanes};
    Value isWide;
    auto require = [&](Value condition) {
      isWide = isWide ? arith::AndIOp::create(b, loc, isWide, condition).getResult() : condition;
    };
    if (length) {
      divisible.require(program.length, lanes);
    } else if (wide.isExact) {
      // A tile that is cut off at the end goes by single elements.
      require(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, cast<Value>(program.length),
                                    arith::ConstantIndexOp::create(b, loc, bound)));
    } else {
      divisible.require(program.length, lanes);
    }
    if (divisible.isPossible && lanes > 1) {
      for (Value value : divisible.unknown) {
        Value rest = arith::RemUIOp::create(b, loc, value, arith::ConstantIndexOp::create(b, loc, lanes));
        require(
            arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, rest, arith::ConstantIndexOp::create(b, loc, 0)));
      }
    }
    if (!divisible.isPossible || lanes == 1) {
      emit(b, scalars(length.value_or(-1)));
    } else if (!isWide) {
      emit(b, wide);
    } else {
      auto branch = scf::IfOp::create(b, loc, isWide, /*withElseRegion=*/true);
      emit(branch.getThenBodyBuilder(), wide);
      emit(branch.getElseBodyBuilder(), scalars(-1));
    }
  }
  for (RowProgram::Step &step : program.steps)
    step.op->erase();
  for (auto alloc : llvm::to_vector(block.getOps<memref::AllocOp>()))
    alloc->erase();
}
