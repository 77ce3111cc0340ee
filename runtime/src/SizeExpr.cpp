// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SizeExpr.h"

namespace tsr {

static bool apply(SizeExpr::Kind kind, int64_t left, int64_t right, int64_t &result) {
  switch (kind) {
  case SizeExpr::add:
    return !__builtin_add_overflow(left, right, &result);
  case SizeExpr::sub:
    return !__builtin_sub_overflow(left, right, &result);
  case SizeExpr::mul:
    return !__builtin_mul_overflow(left, right, &result);
  case SizeExpr::floorDiv:
  case SizeExpr::mod: {
    if (right == 0 || (left == INT64_MIN && right == -1))
      return false;
    int64_t quotient = left / right, rest = left % right;
    bool adjust = rest != 0 && (rest < 0) != (right < 0);
    result = kind == SizeExpr::mod ? rest + (adjust ? right : 0) : quotient - adjust;
    return true;
  }
  case SizeExpr::max:
    result = left > right ? left : right;
    return true;
  case SizeExpr::min:
    result = left < right ? left : right;
    return true;
  default:
    return false;
  }
}

bool SizeExpr::evaluateCode(const int64_t *symbols, int64_t &result) const {
  int64_t stack[maxStack];
  unsigned top = 0;
  for (const Op &op : code) {
    if (op.kind == constant) {
      stack[top++] = op.value;
    } else if (op.kind == symbol) {
      stack[top++] = symbols[op.value];
    } else {
      --top;
      if (!apply(op.kind, stack[top - 1], stack[top], stack[top - 1]))
        return false;
    }
  }
  result = stack[0];
  return true;
}

} // namespace tsr
