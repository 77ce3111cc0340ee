// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/PlanMemory/SizeExpr.h"

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Utils/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace tessera;

//===----------------------------------------------------------------------===//
// SizeExpr
//===----------------------------------------------------------------------===//

SizeExpr SizeExpr::unknown(unsigned number) {
  SizeExpr result;
  result.add({number}, 1);
  return result;
}

void SizeExpr::add(const Product &product, int64_t coefficient) {
  int64_t &sum = terms[product];
  sum += coefficient;
  if (sum == 0)
    terms.erase(product);
}

SizeExpr SizeExpr::operator+(const SizeExpr &other) const {
  SizeExpr result = *this;
  for (const auto &[product, coefficient] : other.terms)
    result.add(product, coefficient);
  return result;
}

SizeExpr SizeExpr::operator*(const SizeExpr &other) const {
  SizeExpr result;
  for (const auto &[left, leftCoefficient] : terms) {
    for (const auto &[right, rightCoefficient] : other.terms) {
      Product product(left);
      product.insert(product.end(), right.begin(), right.end());
      llvm::sort(product);
      result.add(product, leftCoefficient * rightCoefficient);
    }
  }
  return result;
}

std::optional<int64_t> SizeExpr::getConstant() const {
  if (terms.empty())
    return 0;
  if (terms.size() == 1 && terms.begin()->first.empty())
    return terms.begin()->second;
  return std::nullopt;
}

bool SizeExpr::isMultipleOf(int64_t factor) const {
  return llvm::all_of(terms, [&](const auto &term) { return term.second % factor == 0; });
}

//===----------------------------------------------------------------------===//
// SizeAlgebra
//===----------------------------------------------------------------------===//

FailureOr<SizeExpr> SizeAlgebra::bytesOf(Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.getElementType().isIntOrFloat())
    return emitError(tensor.getLoc()) << "expected a tensor of integers or floats; got " << type;
  FailureOr<SmallVector<Value>> sizes = findDynamicSizes(tensor);
  if (failed(sizes))
    return failure();
  SizeExpr bytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  for (int64_t size : type.getShape())
    if (!ShapedType::isDynamic(size))
      bytes = bytes * size;
  for (Value size : *sizes) {
    FailureOr<SizeExpr> expr = read(size);
    if (failed(expr))
      return failure();
    bytes = bytes * *expr;
  }
  return bytes;
}

/// Sizes are computed before anything runs, so all that leads to them must be arithmetic on symbols.
LogicalResult SizeAlgebra::checkReadable(Value size) {
  Operation *op = size.getDefiningOp();
  if (op && op->getNumRegions() == 0 && isMemoryEffectFree(op) &&
      llvm::all_of(op->getOperandTypes(), [](Type type) { return type.isIntOrIndex(); })) {
    for (Value operand : op->getOperands())
      if (failed(checkReadable(operand)))
        return failure();
    return success();
  }
  InFlightDiagnostic error = emitError(size.getLoc()) << "expected a size of memory to be made of symbols; got ";
  if (op)
    return error << "a result of '" << op->getName() << "'";
  return error << "an argument of a region";
}

FailureOr<SizeExpr> SizeAlgebra::read(Value size) {
  APInt constant;
  if (matchPattern(size, m_ConstantInt(&constant)))
    return SizeExpr(constant.getSExtValue());
  Operation *op = size.getDefiningOp();
  if (isa_and_present<arith::AddIOp, arith::SubIOp, arith::MulIOp>(op)) {
    FailureOr<SizeExpr> lhs = read(op->getOperand(0)), rhs = read(op->getOperand(1));
    if (failed(lhs) || failed(rhs))
      return failure();
    return isa<arith::AddIOp>(op) ? *lhs + *rhs : isa<arith::SubIOp>(op) ? *lhs - *rhs : *lhs * *rhs;
  }
  if (failed(checkReadable(size)))
    return failure();
  auto known = unknowns.find(size);
  if (known == unknowns.end())
    known = unknowns.insert({size, findBounds(op)}).first;
  return SizeExpr::unknown(known - unknowns.begin());
}

SizeAlgebra::Bounds SizeAlgebra::findBounds(Operation *op) {
  if (auto symbol = dyn_cast<SymbolOp>(op)) {
    Bounds bounds{symbol.getMin().value_or(0), std::nullopt};
    if (std::optional<uint64_t> max = symbol.getMax())
      bounds.max = *max;
    return bounds;
  }
  // None of these is negative if no operand is.
  if (isa<arith::DivSIOp, arith::FloorDivSIOp, arith::CeilDivSIOp, arith::RemSIOp, arith::MinSIOp, arith::MaxSIOp>(
          op) &&
      llvm::all_of(op->getOperands(), [&](Value operand) {
        FailureOr<SizeExpr> expr = read(operand);
        return succeeded(expr) && findMin(*expr).value_or(-1) >= 0;
      }))
    return {0, std::nullopt};
  return {};
}

/// A number that the expression is never below. Unknowns that may be negative have none.
std::optional<int64_t> SizeAlgebra::findMin(const SizeExpr &expr) const {
  int64_t sum = 0;
  for (const auto &[product, coefficient] : expr.getTerms()) {
    int64_t least = coefficient;
    for (unsigned number : product) {
      const Bounds &known = unknowns.begin()[number].second;
      std::optional<int64_t> extreme = coefficient > 0 ? known.min : known.max;
      if (!known.min || *known.min < 0 || !extreme || llvm::MulOverflow(least, *extreme, least))
        return std::nullopt;
    }
    if (llvm::AddOverflow(sum, least, sum))
      return std::nullopt;
  }
  return sum;
}

bool SizeAlgebra::isAtLeast(const SizeExpr &larger, const SizeExpr &smaller) const {
  return findMin(larger - smaller).value_or(-1) >= 0;
}

//===----------------------------------------------------------------------===//
// SizeWriter
//===----------------------------------------------------------------------===//

Value SizeWriter::clone(Value size) {
  if (Value known = mapping.lookupOrNull(size))
    return known;
  Operation *op = size.getDefiningOp();
  for (Value operand : op->getOperands())
    clone(operand);
  builder.clone(*op, mapping);
  return mapping.lookup(size);
}

Value SizeWriter::write(const SizeExpr &expr) {
  if (std::optional<int64_t> constant = expr.getConstant())
    return arith::ConstantIndexOp::create(builder, loc, *constant);
  Value sum;
  // The constant is the first term; arithmetic reads better with it last.
  for (const auto &[product, coefficient] : llvm::reverse(expr.getTerms())) {
    Value term;
    for (unsigned number : product) {
      Value factor = clone(algebra.getValue(number));
      term = term ? builder.createOrFold<arith::MulIOp>(loc, term, factor) : factor;
    }
    if (!term)
      term = write(coefficient);
    else if (coefficient != 1)
      term = builder.createOrFold<arith::MulIOp>(loc, term, write(coefficient));
    sum = sum ? writeSum(sum, term) : term;
  }
  return sum;
}

Value SizeWriter::writeSum(Value lhs, Value rhs) { return builder.createOrFold<arith::AddIOp>(loc, lhs, rhs); }

Value SizeWriter::writeAligned(const SizeExpr &expr, int64_t alignment) {
  if (std::optional<int64_t> constant = expr.getConstant())
    return write(llvm::alignTo(*constant, alignment));
  if (expr.isMultipleOf(alignment))
    return write(expr);
  return builder.createOrFold<arith::AndIOp>(loc, write(expr + SizeExpr(alignment - 1)), write(-alignment));
}
