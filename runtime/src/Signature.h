// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An entry's signature: what the manifest says of its symbols, inputs, outputs and guards, and the checks of a call.
#pragma once

#include "SizeExpr.h"
#include "Tensor.h"

#include <string>
#include <vector>

namespace tsr {

struct Dim {
  enum Role : uint8_t { fixed, binds, repeats, computed };
  Role role;
  SizeExpr size;      // fixed: a constant; repeats: a symbol; binds: a symbol, or its quotient by `factor`
  int64_t factor = 1; // which divides the symbol
};

struct Value {
  std::string name, source;
  tsr_dtype dtype;
  std::vector<Dim> shape;
  std::vector<int64_t> staticShape;          // TSR_DYNAMIC where it depends on symbols
  std::vector<std::vector<size_t>> sharding; // mesh axes that cut each dimension; empty: the whole tensor
  bool isWeight = false, isDonated = false;
  int32_t weightIndex = -1; // into the program's weights
  int32_t alias = -1;       // of an output: the argument that it is
};

struct Symbol {
  std::string name;
  int64_t min = 0, max = INT64_MAX, multipleOf = 1;
  int32_t input = -1, dim = -1; // the occurrence that binds it
  bool isAnonymous() const { return name[0] == '?'; }
  bool admits(int64_t size) const { return size >= min && size <= max && size % multipleOf == 0; }
};

struct Guard {
  SizeExpr left, right;
  std::string message, source;
};

/// "in CPU memory", "on GPU 1".
std::string deviceText(tsr_device device);

/// Checks return false when the call is not for this signature; `why`, if not null, then holds the error.
struct Signature {
  std::string entry;
  std::vector<Symbol> symbols;
  std::vector<Value> inputs, outputs;
  std::vector<Guard> guards;
  std::vector<int32_t> arguments; // indices into inputs of what a call passes
  bool hasWeights() const { return arguments.size() != inputs.size(); }

  /// `tensors` has one pointer for each input, weights included; fills `symbols`. For a call on a GPU, the caller has
  /// checked where they lie.
  bool bind(const tsr_tensor *const *tensors, bool onGpu, int64_t *sizes, Error *why) const;
  bool outputShape(size_t index, const int64_t *sizes, int64_t *shape, Error *why) const;
  /// Device, dtype, rank and data of one tensor; its sizes come with bind.
  bool checkTensor(const Value &value, const tsr_tensor &tensor, bool onGpu, Error *why) const;

  std::string describe(const Value &value) const;     // "argument 'x'"
  std::string where(const std::string &source) const; // " (rms_norm, file.py:12)"

private:
  bool bindTensor(size_t index, const tsr_tensor &tensor, bool onGpu, int64_t *sizes, Error *why) const;
  bool checkExpressions(const tsr_tensor *const *tensors, const int64_t *sizes, Error *why) const;
  std::string expectation(const Symbol &symbol) const;
  std::string place(int32_t input, int32_t dim) const;                  // "x dim 2"
  std::string values(const SizeExpr &expr, const int64_t *sizes) const; // " (D is 4096 from x dim 2)"
};

} // namespace tsr
