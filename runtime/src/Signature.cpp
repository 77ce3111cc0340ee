// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Signature.h"

#include <algorithm>

namespace tsr {

namespace {

/// Messages are made only for who wants one: a dispatcher that asks entry after entry pays nothing for a no.
template <class... Parts> bool no(Error *why, Code code, const Parts &...parts) {
  if (why)
    *why = {code, text(parts...)};
  return false;
}

std::string spelledShape(const std::vector<Dim> &shape) {
  std::string result = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    result += (i ? ", " : "") + shape[i].size.spelling();
  return result + "]";
}

} // namespace

std::string deviceText(tsr_device device) {
  if (device.type == TSR_CUDA)
    return text("on GPU ", device.id);
  return device.type == TSR_CPU || device.type == TSR_CUDA_HOST ? "in CPU memory" : "on another device";
}

std::string Signature::describe(const Value &value) const {
  return text(value.isWeight ? "weight '" : "argument '", value.name, "'");
}

std::string Signature::where(const std::string &source) const {
  return text(" (", entry, source.empty() ? "" : ", ", source, ")");
}

std::string Signature::place(int32_t input, int32_t dim) const {
  return text(inputs[static_cast<size_t>(input)].name, " dim ", dim);
}

std::string Signature::expectation(const Symbol &symbol) const {
  std::string multiple = symbol.multipleOf > 1 ? text("a multiple of ", symbol.multipleOf) : "";
  if (symbol.max == INT64_MAX)
    return symbol.min == 0 ? multiple : text(multiple, multiple.empty() ? "" : ", ", "at least ", symbol.min);
  if (symbol.min == 0)
    return text(multiple, multiple.empty() ? "" : ", ", "at most ", symbol.max);
  return text(multiple, multiple.empty() ? "" : " ", "between ", symbol.min, " and ", symbol.max);
}

std::string Signature::values(const SizeExpr &expr, const int64_t *sizes) const {
  std::vector<int64_t> used;
  for (const SizeExpr::Op &op : expr.ops())
    if (op.kind == SizeExpr::symbol && std::find(used.begin(), used.end(), op.value) == used.end())
      used.push_back(op.value);
  std::string result;
  for (int64_t index : used) {
    const Symbol &symbol = symbols[static_cast<size_t>(index)];
    result += text(result.empty() ? " (" : ", ", symbol.name, " is ", sizes[index], " from ",
                   place(symbol.input, symbol.dim));
  }
  return result.empty() ? result : result + ")";
}

bool Signature::checkTensor(const Value &value, const tsr_tensor &tensor, bool onGpu, Error *why) const {
  if (!onGpu && !isOnHost(tensor))
    return no(why, Code::device, describe(value), ": expected an array in CPU memory, got one ",
              deviceText(tensor.device), where(value.source));
  if (tensor.dtype != value.dtype)
    return no(why, Code::dtype, describe(value), ": expected dtype ", dtypeName(value.dtype), ", got ",
              dtypeName(tensor.dtype), where(value.source));
  int32_t rank = static_cast<int32_t>(value.shape.size());
  if (tensor.ndim != rank)
    return no(why, Code::rank, describe(value), ": expected rank ", rank, " ", spelledShape(value.shape), ", got rank ",
              tensor.ndim, " ", shapeText(tensor.shape, tensor.ndim), where(value.source));
  int64_t bytes;
  if (!byteSize(tensor.shape, rank, itemSize(tensor.dtype), bytes))
    return no(why, Code::size_overflow, describe(value), ": shape ", shapeText(tensor.shape, rank),
              " is negative or too large", where(value.source));
  if (bytes != 0 && !tensor.data)
    return no(why, Code::null_data, describe(value), ": data is null, but shape ", shapeText(tensor.shape, rank),
              " is not empty", where(value.source));
  return true;
}

bool Signature::bindTensor(size_t index, const tsr_tensor &tensor, bool onGpu, int64_t *sizes, Error *why) const {
  const Value &value = inputs[index];
  if (!checkTensor(value, tensor, onGpu, why))
    return false;
  for (size_t i = 0; i < value.shape.size(); ++i) {
    const Dim &dim = value.shape[i];
    int64_t size = tensor.shape[i];
    if (dim.role == Dim::fixed) {
      if (size != dim.size.value())
        return no(why, Code::static_size, describe(value), " dim ", i, ": expected ", dim.size.value(), ", got ", size,
                  where(value.source));
    } else if (dim.role == Dim::binds) {
      const Symbol &symbol = symbols[static_cast<size_t>(dim.size.value())];
      if (__builtin_mul_overflow(size, dim.factor, &size))
        return no(why, Code::size_overflow, describe(value), " dim ", i, ": ", tensor.shape[i], " times ", dim.factor,
                  " overflows", where(value.source));
      if (!symbol.admits(size))
        return no(why, Code::symbol_range, describe(value), " dim ", i,
                  symbol.isAnonymous() ? "" : " (symbol " + symbol.name + ")", ": expected ", expectation(symbol),
                  ", got ", size, where(value.source));
      sizes[dim.size.value()] = size;
    } else if (dim.role == Dim::repeats && sizes[dim.size.value()] != size) {
      const Symbol &symbol = symbols[static_cast<size_t>(dim.size.value())];
      return no(why, Code::symbol_conflict, "symbol ", symbol.name, " is ", sizes[dim.size.value()], " from ",
                place(symbol.input, symbol.dim), " but ", size, " from ", value.name, " dim ", i, where(value.source));
    }
  }
  return true;
}

bool Signature::checkExpressions(const tsr_tensor *const *tensors, const int64_t *sizes, Error *why) const {
  for (size_t index = 0; index < inputs.size(); ++index) {
    const Value &value = inputs[index];
    for (size_t i = 0; i < value.shape.size(); ++i) {
      const Dim &dim = value.shape[i];
      int64_t expected, got = tensors[index]->shape[i];
      if (dim.role != Dim::computed)
        continue;
      if (!dim.size.evaluate(sizes, expected))
        return no(why, Code::size_overflow, describe(value), " dim ", i, ": ", dim.size.spelling(),
                  " overflows or divides by zero", values(dim.size, sizes), where(value.source));
      if (expected != got)
        return no(why, Code::expression_size, describe(value), " dim ", i, ": expected ", dim.size.spelling(), " = ",
                  expected, values(dim.size, sizes), ", got ", got, where(value.source));
    }
  }
  for (const Guard &guard : guards) {
    int64_t left, right;
    if (!guard.left.evaluate(sizes, left) || !guard.right.evaluate(sizes, right))
      return no(why, Code::size_overflow, guard.message, ": a size overflows or divides by zero", where(guard.source));
    if (left != right)
      return no(why, Code::guard, guard.message, ": expected ", guard.left.spelling(), " == ", guard.right.spelling(),
                ", got ", left, values(guard.left, sizes), " and ", right, values(guard.right, sizes),
                where(guard.source));
  }
  return true;
}

bool Signature::bind(const tsr_tensor *const *tensors, bool onGpu, int64_t *sizes, Error *why) const {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!bindTensor(i, *tensors[i], onGpu, sizes, why))
      return false;
  return checkExpressions(tensors, sizes, why);
}

bool Signature::outputShape(size_t index, const int64_t *sizes, int64_t *shape, Error *why) const {
  const Value &value = outputs[index];
  for (size_t i = 0; i < value.shape.size(); ++i)
    if (!value.shape[i].size.evaluate(sizes, shape[i]) || shape[i] < 0)
      return no(why, Code::size_overflow, "output ", index, " dim ", i, ": ", value.shape[i].size.spelling(),
                " is negative, overflows or divides by zero", values(value.shape[i].size, sizes), where(""));
  return true;
}

} // namespace tsr
