// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Elementwise operations on tiles of which some inputs lie transposed: a thread reads a square of such an input in
// vectors along one side, turns it in registers, and writes vectors along the other.

#include "passes/EmitLoops/EmitPoint.h"
#include "passes/EmitThreads/Divisibility.h"
#include "passes/EmitThreads/EmitThreads.h"
#include "passes/Utils/Sizes.h"
#include "passes/Utils/Transpose.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

// The squares of a warp: so many where it reads, which are 128 bytes, by so many where it writes.
constexpr int64_t kReadSquares = 8, kWriteSquares = 4;

namespace {

class SquareEmitter {
public:
  SquareEmitter(RewriterBase &b, linalg::LinalgOp op, int64_t threads)
      : b(b), op(op), loc(op.getLoc()), threads(threads), point(op, plan) {}

  bool match();
  /// Whether vectors are aligned: null where they always are.
  Value createIsAligned();
  void emit();

private:
  using Values = SmallVector<Value>;

  Value constant(int64_t n) { return arith::ConstantIndexOp::create(b, loc, n); }
  int64_t boundOf(int64_t loop);
  Value place(Value number, int64_t count) { return arith::MulIOp::create(b, loc, number, constant(count)); }
  Value isWhole(Value first, int64_t loop);
  void emitSquare(Value read, Value written);
  void emitElements(Value read, Value written);

  RewriterBase &b;
  linalg::LinalgOp op;
  Location loc;
  int64_t threads, lanes = 1;
  LoopPlan plan;
  PointEmitter point;
  SmallVector<OpOperand *> transposed, straight;
  Values sizes;
  Divisibility divisible;
};

} // namespace

int64_t SquareEmitter::boundOf(int64_t loop) { return findUpperBound(sizes[loop]).value_or(0); }

bool SquareEmitter::match() {
  FailureOr<LoopPlan> found = planLoops(op, /*vectorBits=*/128);
  if (failed(found) || found->blockLoop < 0)
    return false;
  plan = *found;
  if (!llvm::all_of(plan.outerLoops, [&](int64_t loop) { return op.getStaticLoopRanges()[loop] == 1; }))
    return false;
  for (OpOperand &operand : op->getOpOperands()) {
    Access access = plan.accesses[operand.getOperandNumber()];
    if (access == Access::Uniform)
      continue;
    bool isTurned = access == Access::Strided && !op.isDpsInit(&operand) &&
                    classifyAccess(op, operand, plan.blockLoop) == Access::Adjacent;
    if (access == Access::Strided && !isTurned)
      return false;
    (isTurned ? transposed : straight).push_back(&operand);
  }
  // The narrowest operand fills 16 bytes.
  for (OpOperand *operand : llvm::concat<OpOperand *>(transposed, straight))
    lanes = std::max<int64_t>(lanes, 8 * kAccessBytes / getElementTypeOrSelf(operand->get()).getIntOrFloatBitWidth());
  for (OpOperand *operand : llvm::concat<OpOperand *>(transposed, straight))
    divisible.requireView(operand->get(), lanes);
  if (!divisible.isPossible)
    return false;
  b.setInsertionPoint(op);
  for (Range range : op.createLoopRanges(b, loc))
    sizes.push_back(getValueOrCreateConstantIndexOp(b, loc, range.size));
  return boundOf(plan.blockLoop) > 0 && boundOf(plan.vectorLoop) > 0;
}

Value SquareEmitter::createIsAligned() {
  Value isAligned;
  for (Value value : divisible.unknown) {
    Value divides = createDivides(b, loc, lanes, value);
    isAligned = isAligned ? arith::AndIOp::create(b, loc, isAligned, divides).getResult() : divides;
  }
  return isAligned;
}

/// Whether all lanes from a position on are inside.
Value SquareEmitter::isWhole(Value first, int64_t loop) {
  Value end = arith::AddIOp::create(b, loc, first, constant(lanes));
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ule, end, sizes[loop]);
}

void SquareEmitter::emitSquare(Value read, Value written) {
  point.ivs[plan.blockLoop] = read;
  point.ivs[plan.vectorLoop] = written;
  SmallVector<Values> turned;
  for (OpOperand *input : transposed) {
    auto type = VectorType::get(lanes, getElementTypeOrSelf(input->get()));
    Values rows;
    for (int64_t lane = 0; lane < lanes; ++lane)
      rows.push_back(vector::LoadOp::create(b, loc, type, input->get(), point.position(b, *input, lane),
                                            /*nontemporal=*/false, llvm::MaybeAlign(kAccessBytes)));
    turned.push_back(transposeSquare(b, loc, rows));
  }
  point.alignment = kAccessBytes;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    point.ivs[plan.blockLoop] = arith::AddIOp::create(b, loc, read, constant(lane));
    for (auto [input, columns] : llvm::zip(transposed, turned))
      point.provide(*input, columns[lane]);
    point.emit(b, lanes, Value(), {});
    point.forgetPreloaded();
  }
}

/// What there is of a square at the end of a tile.
void SquareEmitter::emitElements(Value read, Value written) {
  auto end = [&](Value first, int64_t loop) -> Value {
    return arith::MinUIOp::create(b, loc, arith::AddIOp::create(b, loc, first, constant(lanes)), sizes[loop]);
  };
  Values ends = {end(read, plan.blockLoop), end(written, plan.vectorLoop)}, steps(2, constant(1));
  scf::buildLoopNest(b, loc, {read, written}, ends, steps, [&](OpBuilder &nested, Location, ValueRange ivs) {
    point.ivs[plan.blockLoop] = ivs[0];
    point.ivs[plan.vectorLoop] = ivs[1];
    point.emit(nested, 1, Value(), {});
  });
}

void SquareEmitter::emit() {
  point.ivs.assign(sizes.size(), constant(0));
  int64_t readGroups = llvm::divideCeil(boundOf(plan.blockLoop), lanes * kReadSquares);
  int64_t writeGroups = llvm::divideCeil(boundOf(plan.vectorLoop), lanes * kWriteSquares);
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value total = constant(readGroups * writeGroups * kReadSquares * kWriteSquares);
  auto loop = scf::ForOp::create(b, loc, thread, total, constant(threads));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  // From the fastest on: squares of a warp where it reads, where it writes, and then groups of them.
  Value number = loop.getInductionVar();
  auto take = [&](int64_t count) -> Value {
    Value digit = arith::RemUIOp::create(b, loc, number, constant(count));
    number = arith::DivUIOp::create(b, loc, number, constant(count));
    return digit;
  };
  Value read = take(kReadSquares), written = take(kWriteSquares);
  read = arith::AddIOp::create(b, loc, read, place(take(readGroups), kReadSquares));
  written = arith::AddIOp::create(b, loc, written, place(number, kWriteSquares));
  read = place(read, lanes);
  written = place(written, lanes);
  Value isSquare = arith::AndIOp::create(b, loc, isWhole(read, plan.blockLoop), isWhole(written, plan.vectorLoop));
  auto branch = scf::IfOp::create(b, loc, isSquare, /*withElseRegion=*/true);
  b.setInsertionPointToStart(branch.thenBlock());
  emitSquare(read, written);
  point.alignment = 0;
  b.setInsertionPointToStart(branch.elseBlock());
  emitElements(read, written);
}

bool tessera::transposeSquares(RewriterBase &b, linalg::LinalgOp op, int64_t threads,
                               llvm::function_ref<LogicalResult(linalg::LinalgOp)> otherwise) {
  SquareEmitter squares(b, op, threads);
  if (!squares.match())
    return false;
  Value isAligned = squares.createIsAligned();
  if (!isAligned) {
    squares.emit();
    return true;
  }
  auto branch = scf::IfOp::create(b, op.getLoc(), isAligned, /*withElseRegion=*/true);
  b.setInsertionPointToStart(branch.elseBlock());
  auto copy = cast<linalg::LinalgOp>(b.clone(*op));
  bool isDone = succeeded(otherwise(copy));
  b.eraseOp(copy);
  b.setInsertionPointToStart(branch.thenBlock());
  squares.emit();
  return isDone;
}
