// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/Utils/Contraction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace tessera;

SmallVector<Value> Matrix::at(Value row, Value column) const {
  SmallVector<Value> result = indices;
  result[rowPosition] = row;
  result[columnPosition] = column;
  return result;
}

Matrix::Contiguous Matrix::contiguous() const {
  auto type = mlir::cast<MemRefType>(memref.getType());
  if (!type.isLastDimUnitStride())
    return Contiguous::No;
  int64_t last = type.getRank() - 1;
  return columnPosition == last ? Contiguous::AlongColumns
         : rowPosition == last  ? Contiguous::AlongRows
                                : Contiguous::No;
}

Value Matrix::cast(OpBuilder &builder, Value value) const {
  for (Operation *op : casts) {
    IRMapping mapping;
    mapping.map(op->getOperand(0), value);
    Operation *cloned = builder.clone(*op, mapping);
    Type type = op->getResult(0).getType();
    if (auto vector = dyn_cast<VectorType>(value.getType()))
      type = vector.clone(type);
    cloned->getResult(0).setType(type);
    value = cloned->getResult(0);
  }
  return value;
}

/// The argument of a loop body that a chain of casts begins with.
static BlockArgument traceCasts(Value value, SmallVector<Operation *> &casts) {
  while (Operation *op = value.getDefiningOp()) {
    if (op->getNumOperands() != 1 || op->getNumResults() != 1 || !OpTrait::hasElementwiseMappableTraits(op))
      return {};
    casts.insert(casts.begin(), op);
    value = op->getOperand(0);
  }
  return cast<BlockArgument>(value);
}

/// Matches a body of one product, added to the accumulator.
static LogicalResult matchBody(Contraction &contraction) {
  Block *body = contraction.op.getBody();
  Value accumulator = body->getArgument(2);
  Operation *add = body->getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_present<arith::AddFOp, arith::AddIOp>(add))
    return failure();
  Value addend = add->getOperand(0) == accumulator ? add->getOperand(1) : add->getOperand(0);
  if (!llvm::is_contained(add->getOperands(), accumulator))
    return failure();
  Operation *mul = addend.getDefiningOp();
  if (!isa_and_present<arith::MulFOp, arith::MulIOp>(mul))
    return failure();
  SmallVector<Operation *> left, right;
  BlockArgument x = traceCasts(mul->getOperand(0), left), y = traceCasts(mul->getOperand(1), right);
  if (!x || !y || x.getOwner() != body || y.getOwner() != body || x.getArgNumber() + y.getArgNumber() != 1)
    return failure();
  contraction.casts[x.getArgNumber()] = left;
  contraction.casts[y.getArgNumber()] = right;
  contraction.accumulator = accumulator.getType();
  return success(contraction.accumulator.isF32() || contraction.accumulator.isF64() ||
                 contraction.accumulator.isInteger(32) || contraction.accumulator.isInteger(64));
}

/// Sorts the loop dimensions by the operands that they index. Of several candidates for m and n the innermost is taken;
/// the others are outer dimensions.
static LogicalResult matchDims(Contraction &contraction) {
  SmallVector<AffineMap> maps = contraction.op.getIndexingMapsArray();
  for (AffineMap map : maps)
    if (!map.isProjectedPermutation(/*allowZeroInResults=*/true))
      return failure();
  SmallVector<unsigned> reductions;
  contraction.op.getReductionDims(reductions);
  if (reductions.size() != 1 || !maps[0].isFunctionOfDim(reductions[0]) || !maps[1].isFunctionOfDim(reductions[0]))
    return failure();
  contraction.k = reductions[0];
  std::optional<unsigned> m, n;
  for (AffineExpr expr : maps[2].getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      continue;
    bool inA = maps[0].isFunctionOfDim(dim.getPosition()), inB = maps[1].isFunctionOfDim(dim.getPosition());
    if (inA && !inB)
      m = dim.getPosition();
    if (inB && !inA)
      n = dim.getPosition();
  }
  if (!m || !n)
    return failure();
  contraction.m = *m;
  contraction.n = *n;
  for (unsigned dim = 0; dim < contraction.op.getNumLoops(); ++dim) {
    if (dim == *m || dim == *n || dim == contraction.k)
      continue;
    if (!maps[2].isFunctionOfDim(dim))
      return failure();
    contraction.outer.push_back(dim);
  }
  return success();
}

FailureOr<Contraction> Contraction::match(linalg::GenericOp op) {
  Contraction contraction{op};
  if (!op.hasPureBufferSemantics() || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 ||
      llvm::any_of(op->getOperandTypes(), [](Type type) { return !isa<MemRefType>(type); }) ||
      failed(matchBody(contraction)) || failed(matchDims(contraction)))
    return failure();
  auto resultType = cast<MemRefType>(op->getOperand(2).getType());
  AffineMap resultMap = op.getIndexingMapsArray()[2];
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  bool isContiguousAlongM = resultType.isLastDimUnitStride() &&
                            resultMap.getResults().back() == getAffineDimExpr(contraction.m, op.getContext());
  if (sizes[contraction.m] != 1 && (isContiguousAlongM || sizes[contraction.n] == 1)) {
    std::swap(contraction.m, contraction.n);
    std::swap(contraction.a, contraction.b);
  }
  return contraction;
}

bool Contraction::multipliesBf16() const {
  return accumulator.isF32() && llvm::all_of(casts, [](ArrayRef<Operation *> operand) {
           return operand.size() == 1 && isa<arith::ExtFOp>(operand[0]) && operand[0]->getOperand(0).getType().isBF16();
         });
}

Matrix Contraction::matrix(OpBuilder &builder, unsigned operand, unsigned row, unsigned column,
                           ArrayRef<Value> loopIndices) {
  Matrix matrix{op->getOperand(operand), {}, -1, -1, {}};
  if (operand < 2)
    matrix.casts = casts[operand];
  Value zero = arith::ConstantIndexOp::create(builder, op.getLoc(), 0);
  for (auto [position, expr] : llvm::enumerate(op.getIndexingMapsArray()[operand].getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (dim && dim.getPosition() == row)
      matrix.rowPosition = position;
    else if (dim && dim.getPosition() == column)
      matrix.columnPosition = position;
    bool isOuter = dim && llvm::is_contained(outer, dim.getPosition());
    matrix.indices.push_back(isOuter ? loopIndices[dim.getPosition()] : zero);
  }
  return matrix;
}

Value Contraction::size(OpBuilder &builder, unsigned dim) {
  Value found;
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    std::optional<unsigned> position = map.getResultPosition(getAffineDimExpr(dim, op.getContext()));
    if (!position)
      continue;
    // A static size is worth more than a dynamic one of another operand.
    if (!found || !cast<MemRefType>(operand.get().getType()).isDynamicDim(*position))
      found = builder.createOrFold<memref::DimOp>(op.getLoc(), operand.get(), *position);
  }
  return found;
}
