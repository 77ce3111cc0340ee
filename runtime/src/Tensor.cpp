// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Tensor.h"

#include <cstring>

namespace tsr {

namespace {
struct Named {
  const char *name;
  tsr_dtype dtype;
};
const Named names[] = {
    {"f64", {TSR_FLOAT, 64, 1}},
    {"f32", {TSR_FLOAT, 32, 1}},
    {"f16", {TSR_FLOAT, 16, 1}},
    {"bf16", {TSR_BFLOAT, 16, 1}},
    {"fp8_e4m3", {TSR_FLOAT8_E4M3FN, 8, 1}},
    {"fp8_e5m2", {TSR_FLOAT8_E5M2, 8, 1}},
    {"int8", {TSR_INT, 8, 1}},
    {"int16", {TSR_INT, 16, 1}},
    {"int32", {TSR_INT, 32, 1}},
    {"int64", {TSR_INT, 64, 1}},
    {"bool", {TSR_BOOL, 8, 1}},
};
} // namespace

std::string dtypeName(tsr_dtype dtype) {
  for (const Named &named : names)
    if (named.dtype == dtype)
      return named.name;
  int bits = dtype.bits, lanes = dtype.lanes;
  if (dtype.code == TSR_UINT && lanes == 1)
    return text("uint", bits);
  if (dtype.code == 5 && lanes == 1)
    return text("complex", bits);
  return text("a dtype of ", bits, " bits (DLPack code ", int(dtype.code), ", ", lanes, " lanes)");
}

std::optional<tsr_dtype> dtypeOfName(std::string_view name) {
  for (const Named &named : names)
    if (named.name == name)
      return named.dtype;
  return std::nullopt;
}

bool byteSize(const int64_t *shape, int32_t rank, int64_t item, int64_t &bytes) {
  bool empty = false;
  for (int32_t i = 0; i < rank; ++i) {
    if (shape[i] < 0)
      return false;
    empty |= shape[i] == 0;
  }
  bytes = empty ? 0 : item;
  for (int32_t i = 0; i < rank && !empty; ++i)
    if (__builtin_mul_overflow(bytes, shape[i], &bytes))
      return false;
  return true;
}

bool isContiguous(const tsr_tensor &tensor) {
  if (!tensor.strides)
    return true;
  int64_t expected = 1;
  bool contiguous = true;
  for (int32_t i = tensor.ndim - 1; i >= 0; --i) {
    if (tensor.shape[i] == 0)
      return true; // no element, so no stride matters; nor does it where a dim has one element
    contiguous &= tensor.shape[i] == 1 || tensor.strides[i] == expected;
    expected = static_cast<int64_t>(static_cast<uint64_t>(expected) * static_cast<uint64_t>(tensor.shape[i]));
  }
  return contiguous;
}

Extent extentOf(const tsr_tensor &tensor) {
  // Modular arithmetic: strides come from outside, and a wrong one may not overflow a signed number.
  uint64_t low = 0, high = 0, contiguous = 1, item = static_cast<uint64_t>(itemSize(tensor.dtype));
  for (int32_t i = tensor.ndim - 1; i >= 0; --i) {
    uint64_t size = static_cast<uint64_t>(tensor.shape[i]);
    if (size == 0)
      return {0, 0};
    uint64_t stride = tensor.strides ? static_cast<uint64_t>(tensor.strides[i]) : contiguous;
    bool backward = static_cast<int64_t>(stride) < 0;
    (backward ? low : high) += stride * (size - 1);
    contiguous *= size;
  }
  uintptr_t base = reinterpret_cast<uintptr_t>(address(tensor));
  return {base + low * item, base + (high + 1) * item};
}

void copyContiguous(const tsr_tensor &tensor, void *target) {
  const size_t item = static_cast<size_t>(itemSize(tensor.dtype));
  const int32_t rank = tensor.ndim;
  int64_t count = 1;
  for (int32_t i = 0; i < rank; ++i)
    count *= tensor.shape[i];
  if (count == 0)
    return;
  if (isContiguous(tensor)) { // only misaligned
    std::memcpy(target, address(tensor), static_cast<size_t>(count) * item);
    return;
  }
  // One row of the last dim at a time, an odometer over the others.
  int64_t index[TSR_MAX_RANK] = {};
  const int64_t row = tensor.shape[rank - 1], step = tensor.strides[rank - 1] * static_cast<int64_t>(item);
  const uint8_t *source = address(tensor);
  uint8_t *out = static_cast<uint8_t *>(target);
  auto copyRow = [&](auto width) {
    for (int64_t i = 0; i < row; ++i)
      std::memcpy(out + i * decltype(width)::value, source + i * step, decltype(width)::value);
  };
  for (int64_t done = 0; done < count; done += row, out += row * static_cast<int64_t>(item)) {
    switch (item) {
    case 1:
      copyRow(std::integral_constant<int64_t, 1>());
      break;
    case 2:
      copyRow(std::integral_constant<int64_t, 2>());
      break;
    case 4:
      copyRow(std::integral_constant<int64_t, 4>());
      break;
    default:
      copyRow(std::integral_constant<int64_t, 8>());
    }
    for (int32_t dim = rank - 2; dim >= 0; --dim) {
      source += tensor.strides[dim] * static_cast<int64_t>(item);
      if (++index[dim] < tensor.shape[dim])
        break;
      source -= tensor.strides[dim] * static_cast<int64_t>(item) * tensor.shape[dim];
      index[dim] = 0;
    }
  }
}

std::string shapeText(const int64_t *shape, int32_t rank) {
  std::string result = "[";
  for (int32_t i = 0; i < rank; ++i)
    result += (i ? ", " : "") + std::to_string(shape[i]);
  return result + "]";
}

} // namespace tsr
