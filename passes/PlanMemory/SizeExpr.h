// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sizes as polynomials, so that equal and ordered sizes are recognised however the program computed them.

#ifndef TESSERA_PASSES_PLANMEMORY_SIZEEXPR_H
#define TESSERA_PASSES_PLANMEMORY_SIZEEXPR_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"

#include <map>
#include <optional>
#include <vector>

namespace tessera {

/// A sum of products of unknowns. Unknowns are numbers that a SizeAlgebra gives to values.
class SizeExpr {
public:
  /// The unknowns of a product, sorted; none for the constant.
  using Product = std::vector<unsigned>;

  SizeExpr(int64_t constant = 0) { add({}, constant); }
  static SizeExpr unknown(unsigned number);

  SizeExpr operator+(const SizeExpr &other) const;
  SizeExpr operator-(const SizeExpr &other) const { return *this + other * SizeExpr(-1); }
  SizeExpr operator*(const SizeExpr &other) const;

  std::optional<int64_t> getConstant() const;
  /// Whether every coefficient is a multiple of the factor.
  bool isMultipleOf(int64_t factor) const;
  const std::map<Product, int64_t> &getTerms() const { return terms; }

private:
  void add(const Product &product, int64_t coefficient);

  std::map<Product, int64_t> terms;
};

/// What is known of the sizes of one host function.
class SizeAlgebra {
public:
  /// The bytes of a tensor, or failure with an error at the tensor.
  mlir::FailureOr<SizeExpr> bytesOf(mlir::Value tensor);
  /// Whether one size is never smaller than another: for symbols within their bounds, and for what is made of them.
  bool isAtLeast(const SizeExpr &larger, const SizeExpr &smaller) const;
  mlir::Value getValue(unsigned number) const { return unknowns.begin()[number].first; }

private:
  struct Bounds {
    std::optional<int64_t> min, max;
  };

  mlir::FailureOr<SizeExpr> read(mlir::Value size);
  mlir::LogicalResult checkReadable(mlir::Value size);
  Bounds findBounds(mlir::Operation *op);
  std::optional<int64_t> findMin(const SizeExpr &expr) const;

  llvm::MapVector<mlir::Value, Bounds> unknowns;
};

/// Writes sizes as arithmetic.
class SizeWriter {
public:
  /// `symbols` maps what sizes are made of to values where the builder is.
  SizeWriter(const SizeAlgebra &algebra, mlir::OpBuilder builder, mlir::Location loc, mlir::IRMapping symbols)
      : algebra(algebra), builder(builder), loc(loc), mapping(std::move(symbols)) {}

  mlir::Value write(const SizeExpr &expr);
  /// The size rounded up to a multiple of a power of two.
  mlir::Value writeAligned(const SizeExpr &expr, int64_t alignment);
  mlir::Value writeSum(mlir::Value lhs, mlir::Value rhs);

private:
  mlir::Value clone(mlir::Value size);

  const SizeAlgebra &algebra;
  mlir::OpBuilder builder;
  mlir::Location loc;
  mlir::IRMapping mapping;
};

} // namespace tessera

#endif // TESSERA_PASSES_PLANMEMORY_SIZEEXPR_H
