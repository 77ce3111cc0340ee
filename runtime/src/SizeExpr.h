// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sizes as expressions of an entry's symbols, evaluated on every call: postfix code, overflow checked.
#pragma once

#include "Status.h"

#include <vector>

namespace tsr {

class SizeExpr {
public:
  enum Kind : uint8_t { constant, symbol, add, sub, mul, floorDiv, mod, max, min };
  struct Op {
    Kind kind;
    int64_t value; // the constant, or the symbol's index
  };
  static constexpr unsigned maxStack = 64;

  SizeExpr() = default;
  /// `code` is well-formed postfix that needs at most maxStack slots; `spelling` is what messages print.
  SizeExpr(std::vector<Op> code, std::string spelling) : code(std::move(code)), spelled(std::move(spelling)) {}

  /// False when it overflows or divides by zero. `//` and `%` round like Python's.
  bool evaluate(const int64_t *symbols, int64_t &result) const {
    if (code.size() == 1) {
      result = code[0].kind == constant ? code[0].value : symbols[code[0].value];
      return true;
    }
    return evaluateCode(symbols, result);
  }

  bool isConstant() const { return code.size() == 1 && code[0].kind == constant; }
  bool isSymbol() const { return code.size() == 1 && code[0].kind == symbol; }
  int64_t value() const { return code[0].value; }
  const std::string &spelling() const { return spelled; }
  const std::vector<Op> &ops() const { return code; }

private:
  bool evaluateCode(const int64_t *symbols, int64_t &result) const;
  std::vector<Op> code;
  std::string spelled;
};

} // namespace tsr
