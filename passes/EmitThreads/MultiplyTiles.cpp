// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of matrices for any architecture and type: blocks of A and B go through shared memory, already in the type
// they are added up in, and each thread keeps some elements of C in registers.

#include "passes/EmitThreads/MultiplyTiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace tessera;

// A block of C is kTile by kTile, made in steps of kDepth along K; threads stand in rows of kThreadColumns.
constexpr int64_t kTile = 64, kDepth = 16, kThreadColumns = 16;
// A column more than there is: threads that write along K then meet different banks.
constexpr int64_t kStride = kTile + 1;

namespace {

class ProductEmitter {
public:
  ProductEmitter(ImplicitLocOpBuilder b, Contraction &contraction, int64_t threads, Value stageA, Value stageB)
      : b(b), contraction(contraction), threads(threads), stageA(stageA), stageB(stageB) {}

  void run();

private:
  using Values = SmallVector<Value>;

  Value constant(int64_t n) { return arith::ConstantIndexOp::create(b, n); }
  Value add(Value x, int64_t n) { return b.createOrFold<arith::AddIOp>(x, constant(n)); }
  Value zero() { return arith::ConstantOp::create(b, b.getZeroAttr(contraction.accumulator)); }
  Value isInside(Value row, Value rows, Value column, Value columns) {
    Value inRows = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, row, rows);
    Value inColumns = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, column, columns);
    return arith::AndIOp::create(b, inRows, inColumns);
  }
  void forEach(Value count, int64_t step, llvm::function_ref<void(Value)> body);
  void forEachOuter(size_t depth, MutableArrayRef<Value> indices);
  Value loadOr(Value inside, const Matrix &matrix, Value row, Value column, Value absent);
  void fill(Value stage, const Matrix &matrix, bool isA, Value first, Value count, Value k);
  void emitBlock(Value row, Value column);
  Values multiply(ValueRange sums);

  ImplicitLocOpBuilder b;
  Contraction &contraction;
  int64_t threads, rowsOfThreads = threads / kThreadColumns;
  Value stageA, stageB, thread, threadRow, threadColumn;
  Value sizeM, sizeN, sizeK;
  Matrix matrixA, matrixB, matrixC;
};

} // namespace

void ProductEmitter::forEach(Value count, int64_t step, llvm::function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, constant(0), count, constant(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void ProductEmitter::forEachOuter(size_t depth, MutableArrayRef<Value> indices) {
  if (depth == contraction.outer.size()) {
    matrixA = contraction.matrix(b, contraction.a, contraction.m, contraction.k, indices);
    matrixB = contraction.matrix(b, contraction.b, contraction.k, contraction.n, indices);
    matrixC = contraction.matrix(b, 2, contraction.m, contraction.n, indices);
    forEach(sizeM, kTile, [&](Value row) { forEach(sizeN, kTile, [&](Value column) { emitBlock(row, column); }); });
    return;
  }
  unsigned dim = contraction.outer[depth];
  forEach(contraction.size(b, dim), 1, [&](Value index) {
    indices[dim] = index;
    forEachOuter(depth + 1, indices);
  });
}

Value ProductEmitter::loadOr(Value inside, const Matrix &matrix, Value row, Value column, Value absent) {
  auto branch = scf::IfOp::create(b, contraction.accumulator, inside, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(branch.thenBlock());
  Value element = memref::LoadOp::create(b, matrix.memref, matrix.at(row, column));
  scf::YieldOp::create(b, matrix.cast(b, element));
  b.setInsertionPointToEnd(branch.elseBlock());
  scf::YieldOp::create(b, absent);
  return branch.getResult(0);
}

/// Brings a block of A or B to shared memory, K first; threads that follow each other read what lies side by side.
void ProductEmitter::fill(Value stage, const Matrix &matrix, bool isA, Value first, Value count, Value k) {
  auto alongK = isA ? Matrix::Contiguous::AlongColumns : Matrix::Contiguous::AlongRows;
  bool isAlongK = matrix.contiguous() == alongK;
  SmallVector<std::pair<Values, Value>> elements;
  for (int64_t start = 0; start < kTile * kDepth; start += threads) {
    Value number = add(thread, start), fast = constant(isAlongK ? kDepth : kTile);
    Value inner = arith::RemUIOp::create(b, number, fast), outer = arith::DivUIOp::create(b, number, fast);
    Value depth = isAlongK ? inner : outer, line = isAlongK ? outer : inner;
    Value atK = arith::AddIOp::create(b, k, depth), atLine = arith::AddIOp::create(b, first, line);
    Value inside = isInside(atK, sizeK, atLine, count);
    Value element = loadOr(inside, matrix, isA ? atLine : atK, isA ? atK : atLine, zero());
    elements.push_back({{depth, line}, element});
  }
  for (auto &[position, element] : elements)
    memref::StoreOp::create(b, element, stage, position);
}

/// One step along K from shared memory: each thread's elements of C stand kThreadColumns, or rows of threads, apart.
SmallVector<Value> ProductEmitter::multiply(ValueRange sums) {
  Values next(sums);
  for (int64_t k = 0; k < kDepth; ++k) {
    Values a, c;
    for (int64_t row = 0; row < kTile; row += rowsOfThreads)
      a.push_back(memref::LoadOp::create(b, stageA, ValueRange{constant(k), add(threadRow, row)}));
    for (int64_t column = 0; column < kTile; column += kThreadColumns)
      c.push_back(memref::LoadOp::create(b, stageB, ValueRange{constant(k), add(threadColumn, column)}));
    size_t at = 0;
    for (Value x : a)
      for (Value y : c) {
        next[at] = isa<FloatType>(contraction.accumulator)
                       ? math::FmaOp::create(b, x, y, next[at]).getResult()
                       : arith::AddIOp::create(b, next[at], arith::MulIOp::create(b, x, y)).getResult();
        ++at;
      }
  }
  return next;
}

void ProductEmitter::emitBlock(Value row, Value column) {
  SmallVector<std::pair<Value, Value>> positions;
  Values sums, inside;
  for (int64_t i = 0; i < kTile; i += rowsOfThreads)
    for (int64_t j = 0; j < kTile; j += kThreadColumns) {
      Value m = arith::AddIOp::create(b, row, add(threadRow, i));
      Value n = arith::AddIOp::create(b, column, add(threadColumn, j));
      positions.push_back({m, n});
      inside.push_back(isInside(m, sizeM, n, sizeN));
      sums.push_back(loadOr(inside.back(), matrixC, m, n, zero()));
    }
  auto loop = scf::ForOp::create(b, constant(0), sizeK, constant(kDepth), sums);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    gpu::BarrierOp::create(b); // all have used what is there
    fill(stageA, matrixA, /*isA=*/true, row, sizeM, loop.getInductionVar());
    fill(stageB, matrixB, /*isA=*/false, column, sizeN, loop.getInductionVar());
    gpu::BarrierOp::create(b);
    scf::YieldOp::create(b, multiply(loop.getRegionIterArgs()));
  }
  for (auto [position, isPresent, sum] : llvm::zip(positions, inside, loop.getResults())) {
    auto branch = scf::IfOp::create(b, isPresent, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    memref::StoreOp::create(b, sum, matrixC.memref, matrixC.at(position.first, position.second));
  }
}

void ProductEmitter::run() {
  thread = gpu::ThreadIdOp::create(b, gpu::Dimension::x);
  threadRow = arith::DivUIOp::create(b, thread, constant(kThreadColumns));
  threadColumn = arith::RemUIOp::create(b, thread, constant(kThreadColumns));
  sizeM = contraction.size(b, contraction.m);
  sizeN = contraction.size(b, contraction.n);
  sizeK = contraction.size(b, contraction.k);
  Values indices(contraction.op.getNumLoops(), constant(0));
  forEachOuter(0, indices);
}

bool TileMultiplier::emit(RewriterBase &rewriter, linalg::LinalgOp op) {
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!generic)
    return false;
  FailureOr<Contraction> contraction = Contraction::match(generic);
  if (failed(contraction))
    return false;
  Stages &stage = stages[contraction->accumulator];
  if (!stage.a) {
    auto space = gpu::AddressSpaceAttr::get(rewriter.getContext(), gpu::AddressSpace::Workgroup);
    auto type = MemRefType::get({kDepth, kStride}, contraction->accumulator, MemRefLayoutAttrInterface(), space);
    stage.a = kernel.addWorkgroupAttribution(type, op.getLoc());
    stage.b = kernel.addWorkgroupAttribution(type, op.getLoc());
  }
  rewriter.setInsertionPoint(op);
  ProductEmitter(ImplicitLocOpBuilder(op.getLoc(), rewriter), *contraction, threads, stage.a, stage.b).run();
  return true;
}
