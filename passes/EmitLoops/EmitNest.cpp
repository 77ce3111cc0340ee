// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitLoops/EmitPoint.h"
#include "passes/EmitLoops/LoopNest.h"
#include "passes/Utils/Transpose.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace tessera;

// Vectors that one turn of the main loop takes: enough independent partial results to hide the latency of an addition,
// and enough elementwise work to hide the loop's own.
constexpr int64_t kReductionVectors = 4;
constexpr int64_t kElementwiseVectors = 2;

namespace {

using Values = SmallVector<Value>;
using BodyFn = llvm::function_ref<Values(OpBuilder &, Value iv, ValueRange carried)>;

class NestEmitter {
public:
  NestEmitter(RewriterBase &b, linalg::LinalgOp op, const LoopPlan &plan)
      : b(b), op(op), plan(plan), point(op, plan), loc(op.getLoc()) {}

  void run();

private:
  Value constant(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }
  Value size(int64_t loop) { return getValueOrCreateConstantIndexOp(b, loc, ranges[loop].size); }

  Values createLoop(Value lower, Value upper, int64_t step, ValueRange carried, BodyFn body);
  Values nest(ArrayRef<int64_t> loops, ValueRange carried, llvm::function_ref<Values(ValueRange)> body);
  Values stripMine(ValueRange carried, int64_t vectors,
                   llvm::function_ref<Values(int64_t vectors, int64_t lanes, Value mask, ValueRange)> step);
  void emitReduction();
  void emitParallel();
  void emitTransposed();
  void emitBlock(ArrayRef<OpOperand *> inputs, ArrayRef<Value> buffers);
  Value createStackBuffer(Type element);
  Values neutralVectors();
  void finishReduction(ValueRange partial);
  bool needsScalarRest() const;

  RewriterBase &b;
  linalg::LinalgOp op;
  const LoopPlan &plan;
  PointEmitter point;
  Location loc;
  SmallVector<Range> ranges;
  SmallVector<OpOperand *> accumulated;
  SmallVector<Operation *> combiners;
};

} // namespace

Values NestEmitter::createLoop(Value lower, Value upper, int64_t step, ValueRange carried, BodyFn body) {
  auto loop = scf::ForOp::create(b, loc, lower, upper, constant(step), carried);
  OpBuilder::InsertionGuard guard(b);
  if (carried.empty())
    b.setInsertionPoint(loop.getBody()->getTerminator());
  else
    b.setInsertionPointToStart(loop.getBody());
  Values next = body(b, loop.getInductionVar(), loop.getRegionIterArgs());
  if (!carried.empty())
    scf::YieldOp::create(b, loc, next);
  return loop.getResults();
}

/// Loops one inside the other, those of one iteration left out.
Values NestEmitter::nest(ArrayRef<int64_t> loops, ValueRange carried, llvm::function_ref<Values(ValueRange)> body) {
  if (loops.empty())
    return body(carried);
  int64_t loop = loops.front();
  if (isConstantIntValue(ranges[loop].size, 1)) {
    point.ivs[loop] = constant(0);
    return nest(loops.drop_front(), carried, body);
  }
  return createLoop(constant(0), size(loop), 1, carried, [&](OpBuilder &, Value iv, ValueRange inner) {
    point.ivs[loop] = iv;
    return nest(loops.drop_front(), inner, body);
  });
}

/// Elements at positions of their own cannot be masked: past the end there may be no memory.
bool NestEmitter::needsScalarRest() const {
  bool readsElsewhere = false;
  op->walk([&](memref::LoadOp) { readsElsewhere = true; });
  return plan.hasStrided() || readsElsewhere;
}

/// Walks the vectorized loop: several vectors at a time, then one, then what is left. `carried` holds `vectors` values
/// for each accumulated result; the single steps add to the first.
Values NestEmitter::stripMine(ValueRange carried, int64_t vectors,
                              llvm::function_ref<Values(int64_t, int64_t, Value, ValueRange)> step) {
  int64_t lanes = plan.lanes, stride = lanes * vectors;
  Value zero = constant(0), total = size(plan.vectorLoop);
  AffineExpr n = b.getAffineSymbolExpr(0);
  auto floorTo = [&](int64_t unit) {
    return getValueOrCreateConstantIndexOp(
        b, loc, affine::makeComposedFoldedAffineApply(b, loc, n.floorDiv(unit) * unit, {OpFoldResult(total)}));
  };
  Value mainEnd = floorTo(stride), wholeEnd = floorTo(lanes);
  auto atLoop = [&](int64_t count, int64_t width, Value mask) {
    return [&, count, width, mask](OpBuilder &, Value iv, ValueRange inner) {
      point.ivs[plan.vectorLoop] = iv;
      return step(count, width, mask, inner);
    };
  };
  Values values = createLoop(zero, mainEnd, stride, carried, atLoop(vectors, lanes, {}));
  values = createLoop(mainEnd, wholeEnd, lanes, values, atLoop(1, lanes, {}));
  if (needsScalarRest()) {
    // A carried vector takes scalar elements in its first lane.
    return createLoop(wholeEnd, total, 1, values, atLoop(1, 1, {}));
  }
  Value rest = arith::SubIOp::create(b, loc, total, wholeEnd);
  Value some = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, rest, zero);
  auto branch = scf::IfOp::create(b, loc, ValueRange(values).getTypes(), some, /*withElseRegion=*/!values.empty());
  OpBuilder::InsertionGuard guard(b);
  if (values.empty())
    b.setInsertionPoint(branch.thenBlock()->getTerminator());
  else
    b.setInsertionPointToStart(branch.thenBlock());
  Value mask = vector::CreateMaskOp::create(b, loc, VectorType::get(lanes, b.getI1Type()), rest);
  Values then = atLoop(1, lanes, mask)(b, wholeEnd, values);
  if (!values.empty()) {
    scf::YieldOp::create(b, loc, then);
    b.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(b, loc, values);
  }
  return branch.getResults();
}

/// One vector of neutral elements for each partial result.
Values NestEmitter::neutralVectors() {
  Values result;
  for (int64_t vector = 0; vector < kReductionVectors; ++vector)
    for (Operation *combiner : combiners)
      result.push_back(
          point.broadcast(b, arith::ConstantOp::create(b, loc, *arith::getNeutralElement(combiner)), plan.lanes));
  return result;
}

static Value combine(OpBuilder &b, Operation *combiner, Value x, Value y) {
  OperationState state(combiner->getLoc(), combiner->getName());
  state.addOperands({x, y});
  state.addTypes(x.getType());
  state.addAttributes(combiner->getAttrs());
  return b.create(state)->getResult(0);
}

/// Adds up the partial results, with what the destination held before.
void NestEmitter::finishReduction(ValueRange partial) {
  size_t results = combiners.size();
  for (size_t result = 0; result < results; ++result) {
    Value sum = partial[result];
    for (int64_t vector = 1; vector < kReductionVectors; ++vector)
      sum = combine(b, combiners[result], sum, partial[vector * results + result]);
    auto kind = linalg::getCombinerOpKind(combiners[result]);
    Value scalar = vector::ReductionOp::create(b, loc, *kind, sum);
    Value before = point.load(b, *accumulated[result], 1, {});
    point.store(b, *accumulated[result], combine(b, combiners[result], scalar, before), 1, {});
  }
}

/// The vectorized loop is a reduction: partial results in the lanes of several vectors.
void NestEmitter::emitReduction() {
  Values partial = nest(plan.innerLoops, neutralVectors(), [&](ValueRange outer) {
    point.ivs[plan.vectorLoop] = constant(0);
    point.preload(b);
    return stripMine(outer, kReductionVectors, [&](int64_t vectors, int64_t lanes, Value mask, ValueRange carried) {
      Values next(carried);
      size_t results = combiners.size();
      Value base = point.ivs[plan.vectorLoop];
      for (int64_t vector = 0; vector < vectors; ++vector) {
        if (vector)
          point.ivs[plan.vectorLoop] = arith::AddIOp::create(b, loc, base, constant(vector * lanes));
        Values mine(carried.slice(vector * results, results));
        if (lanes == 1)
          for (Value &value : mine)
            value = vector::ExtractOp::create(b, loc, value, 0);
        Values computed = point.emit(b, lanes, mask, mine);
        for (auto [result, value] : llvm::enumerate(computed))
          next[vector * results + result] =
              lanes == 1 ? vector::InsertOp::create(b, loc, value, carried[result], 0).getResult() : value;
      }
      return next;
    });
  });
  point.forgetPreloaded();
  if (!combiners.empty()) {
    point.ivs[plan.vectorLoop] = constant(0);
    for (int64_t loop : plan.innerLoops)
      point.ivs[loop] = constant(0);
    finishReduction(partial);
  }
}

/// The vectorized loop is parallel; reductions, if any, run inside it with one accumulator for each vector.
void NestEmitter::emitParallel() {
  bool hasReductions = !plan.innerLoops.empty();
  point.ivs[plan.vectorLoop] = constant(0);
  if (!hasReductions)
    point.preload(b);
  int64_t vectors = hasReductions ? kReductionVectors : kElementwiseVectors;
  stripMine({}, vectors, [&](int64_t count, int64_t lanes, Value mask, ValueRange) -> Values {
    Value base = point.ivs[plan.vectorLoop];
    Values positions;
    for (int64_t vector = 0; vector < count; ++vector)
      positions.push_back(vector ? arith::AddIOp::create(b, loc, base, constant(vector * lanes)).getResult() : base);
    if (!hasReductions) {
      for (Value position : positions) {
        point.ivs[plan.vectorLoop] = position;
        point.emit(b, lanes, mask, {});
      }
      return {};
    }
    Values accumulators;
    for (int64_t loop : plan.innerLoops)
      point.ivs[loop] = constant(0);
    for (Value position : positions) {
      point.ivs[plan.vectorLoop] = position;
      for (OpOperand *init : accumulated)
        accumulators.push_back(point.broadcast(b, point.load(b, *init, lanes, mask), lanes));
    }
    size_t results = accumulated.size();
    Values sums = nest(plan.innerLoops, accumulators, [&](ValueRange carried) {
      Values next;
      for (auto [vector, position] : llvm::enumerate(positions)) {
        point.ivs[plan.vectorLoop] = position;
        llvm::append_range(next, point.emit(b, lanes, mask, carried.slice(vector * results, results)));
      }
      return next;
    });
    for (int64_t loop : plan.innerLoops)
      point.ivs[loop] = constant(0);
    for (auto [vector, position] : llvm::enumerate(positions)) {
      point.ivs[plan.vectorLoop] = position;
      for (auto [result, init] : llvm::enumerate(accumulated))
        point.store(b, *init, sums[vector * results + result], lanes, mask);
    }
    return {};
  });
}

/// A square of the stack, outside of all loops.
Value NestEmitter::createStackBuffer(Type element) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&op->getParentOfType<FunctionOpInterface>().getFunctionBody().front());
  auto type = MemRefType::get({plan.lanes, plan.lanes}, element);
  return memref::AllocaOp::create(b, loc, type, b.getI64IntegerAttr(64));
}

/// One square of the block loop and the vectorized loop: each transposed input goes through a buffer, whose rows are
/// then what the steps read.
void NestEmitter::emitBlock(ArrayRef<OpOperand *> inputs, ArrayRef<Value> buffers) {
  for (auto [input, buffer] : llvm::zip_equal(inputs, buffers)) {
    auto type = VectorType::get(plan.lanes, cast<MemRefType>(buffer.getType()).getElementType());
    Values columns;
    for (int64_t lane = 0; lane < plan.lanes; ++lane)
      columns.push_back(vector::LoadOp::create(b, loc, type, input->get(), point.position(b, *input, lane)));
    for (auto [row, value] : llvm::enumerate(transposeSquare(b, loc, columns)))
      vector::StoreOp::create(b, loc, value, buffer, ValueRange{constant(row), constant(0)});
  }
  Value base = point.ivs[plan.blockLoop];
  createLoop(constant(0), constant(plan.lanes), 1, {}, [&](OpBuilder &, Value row, ValueRange) -> Values {
    point.ivs[plan.blockLoop] = arith::AddIOp::create(b, loc, base, row);
    point.preload(b);
    for (auto [input, buffer] : llvm::zip_equal(inputs, buffers)) {
      auto type = VectorType::get(plan.lanes, cast<MemRefType>(buffer.getType()).getElementType());
      point.provide(*input, vector::LoadOp::create(b, loc, type, buffer, ValueRange{row, constant(0)}));
    }
    point.emit(b, plan.lanes, {}, {});
    point.forgetPreloaded();
    return {};
  });
}

/// Squares of the block loop and the vectorized loop; what is left of either goes element by element.
void NestEmitter::emitTransposed() {
  SmallVector<OpOperand *> inputs;
  Values buffers;
  for (OpOperand *input : op.getDpsInputOperands())
    if (plan.accesses[input->getOperandNumber()] == Access::Strided &&
        classifyAccess(op, *input, plan.blockLoop) == Access::Adjacent) {
      inputs.push_back(input);
      buffers.push_back(createStackBuffer(cast<MemRefType>(input->get().getType()).getElementType()));
    }
  Value zero = constant(0), lanes = constant(plan.lanes);
  Value rows = size(plan.blockLoop), columns = size(plan.vectorLoop);
  auto wholeBlocks = [&](Value total) -> Value {
    return arith::SubIOp::create(b, loc, total, arith::RemUIOp::create(b, loc, total, lanes));
  };
  Value wholeRows = wholeBlocks(rows), wholeColumns = wholeBlocks(columns);
  createLoop(zero, wholeRows, plan.lanes, {}, [&](OpBuilder &, Value row, ValueRange) -> Values {
    createLoop(zero, wholeColumns, plan.lanes, {}, [&](OpBuilder &, Value column, ValueRange) -> Values {
      point.ivs[plan.blockLoop] = row;
      point.ivs[plan.vectorLoop] = column;
      emitBlock(inputs, buffers);
      return {};
    });
    Value end = arith::AddIOp::create(b, loc, row, lanes);
    createLoop(row, end, 1, {}, [&](OpBuilder &, Value single, ValueRange) -> Values {
      point.ivs[plan.blockLoop] = single;
      createLoop(wholeColumns, columns, 1, {}, [&](OpBuilder &, Value column, ValueRange) -> Values {
        point.ivs[plan.vectorLoop] = column;
        point.emit(b, 1, {}, {});
        return {};
      });
      return {};
    });
    return {};
  });
  createLoop(wholeRows, rows, 1, {}, [&](OpBuilder &, Value row, ValueRange) -> Values {
    point.ivs[plan.blockLoop] = row;
    point.forgetPreloaded();
    emitParallel();
    return {};
  });
}

void NestEmitter::run() {
  b.setInsertionPoint(op);
  ranges = op.createLoopRanges(b, loc);
  point.ivs.assign(op.getNumLoops(), Value());
  auto inits = op.getDpsInitsMutable();
  for (auto [index, accumulates] : llvm::enumerate(plan.accumulates)) {
    if (!accumulates)
      continue;
    accumulated.push_back(&inits[index]);
    combiners.push_back(plan.combiners[index]);
  }
  nest(plan.outerLoops, {}, [&](ValueRange) -> Values {
    point.forgetPreloaded();
    if (plan.isReduction)
      emitReduction();
    else if (plan.blockLoop >= 0)
      emitTransposed();
    else
      emitParallel();
    return {};
  });
  b.eraseOp(op);
}

void tessera::emitLoops(RewriterBase &rewriter, linalg::LinalgOp op, const LoopPlan &plan) {
  NestEmitter(rewriter, op, plan).run();
}
