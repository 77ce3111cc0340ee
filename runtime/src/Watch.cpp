// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Watch.h"

#include "Memory.h"
#include "Tensor.h"
#include "cuda/Call.h"

#include <cstring>

namespace tsr {

namespace {

/// The bits of floats without their sign, which order magnitudes: infinity and, beyond it, what is not a number.
template <class Bits> struct FloatBits {
  Bits infinity, firstNan;
};

/// What a value holds that is not finite, and the first element of those that count.
struct Census {
  int64_t wrong = 0, first = 0;
  bool firstIsNan = false;
};

template <class Bits> Census count(const void *memory, int64_t elements, FloatBits<Bits> bits, bool allowsInfinity) {
  constexpr Bits magnitude = static_cast<Bits>(~Bits(0)) >> 1;
  Census census;
  for (int64_t i = 0; i < elements; ++i) {
    Bits element;
    std::memcpy(&element, static_cast<const Bits *>(memory) + i, sizeof element);
    element &= magnitude;
    const bool isNan = element >= bits.firstNan;
    if (!isNan && (allowsInfinity || element != bits.infinity))
      continue;
    if (census.wrong++ == 0)
      census.first = i, census.firstIsNan = isNan;
  }
  return census;
}

Census count(const tsr_tensor &tensor, int64_t elements, bool allowsInfinity) {
  const void *memory = address(tensor);
  if (tensor.dtype.code == TSR_FLOAT8_E4M3FN) // which has no infinity
    return count<uint8_t>(memory, elements, {0xff, 0x7f}, allowsInfinity);
  if (tensor.dtype.code == TSR_FLOAT8_E5M2)
    return count<uint8_t>(memory, elements, {0x7c, 0x7d}, allowsInfinity);
  if (tensor.dtype.code == TSR_BFLOAT)
    return count<uint16_t>(memory, elements, {0x7f80, 0x7f81}, allowsInfinity);
  if (tensor.dtype.code != TSR_FLOAT)
    return {};
  if (tensor.dtype.bits == 16)
    return count<uint16_t>(memory, elements, {0x7c00, 0x7c01}, allowsInfinity);
  if (tensor.dtype.bits == 32)
    return count<uint32_t>(memory, elements, {0x7f800000, 0x7f800001}, allowsInfinity);
  return count<uint64_t>(memory, elements, {0x7ff0000000000000, 0x7ff0000000000001}, allowsInfinity);
}

bool isFloat(tsr_dtype dtype) { return dtype.code != TSR_INT && dtype.code != TSR_UINT && dtype.code != TSR_BOOL; }

/// "[0, 3]"
std::string positionText(int64_t element, const tsr_tensor &tensor) {
  std::vector<int64_t> position(static_cast<size_t>(tensor.ndim));
  for (size_t i = position.size(); i-- > 0; element /= tensor.shape[i])
    position[i] = element % tensor.shape[i];
  return shapeText(position.data(), tensor.ndim);
}

void checkFinite(const ComputedValue &value, const tsr_tensor &tensor, int64_t elements, bool allowsInfinity) {
  const Census census = count(tensor, elements, allowsInfinity);
  if (census.wrong)
    refuse(Code::not_finite, "kernel '", value.kernel, "' computed ", census.firstIsNan ? "NaN" : "an infinity", " (",
           value.source, "): ", census.wrong, " of ", elements, " elements of ", dtypeName(tensor.dtype),
           shapeText(tensor.shape, tensor.ndim), ", the first at ", positionText(census.first, tensor));
}

} // namespace

/// The time of a kernel on the CPU: what passed since the one before it was watched.
void Watch::tellTime(const ComputedValue &value) {
  if (value.isFirst)
    observer->on_kernel(observer->context, value.kernel.c_str(),
                        std::chrono::duration<double, std::micro>(Clock::now() - start).count());
}

void Watch::observe(cuda::Call *gpu, int32_t index, const void *memory, const int64_t *shape) {
  if (index < 0 || static_cast<size_t>(index) >= variant.values.size())
    refuse(Code::internal, "compiled code shows value ", index, " of ", variant.values.size());
  const ComputedValue &value = variant.values[static_cast<size_t>(index)];
  if (observer && observer->on_kernel && !gpu)
    tellTime(value);
  const bool isWanted = observer ? observer->on_value != nullptr : isFloat(value.dtype);
  int64_t bytes = 0;
  if (isWanted && !byteSize(shape, value.rank, itemSize(value.dtype), bytes))
    refuse(Code::internal, "compiled code shows a value of impossible size");
  if (isWanted) {
    tsr_tensor tensor{const_cast<void *>(memory),   {TSR_CPU, 0}, value.rank, value.dtype,
                      const_cast<int64_t *>(shape), nullptr,      0};
    Scratch copy;
    if (gpu && bytes > 0) {
      copy = requireScratch(bytes, "a value that is observed");
      gpu->read(copy.get(), memory, bytes);
      tensor.data = copy.get();
    }
    if (!observer)
      checkFinite(value, tensor, bytes / itemSize(value.dtype), variant.allowsInfinity);
    else if (observer->on_value(observer->context, variant.target.c_str(), index, &tensor) != 0)
      refuse(Code::observer, "who watches the call ended it at kernel '", value.kernel, "' (", value.source, ")");
  }
  if (observer && observer->on_kernel)
    start = Clock::now();
}

int32_t apiObserve(int32_t index, const void *memory, const int64_t *shape) {
  return reporting([&](CallScope &scope) {
    if (scope.watch)
      scope.watch->observe(scope.gpu, index, memory, shape);
  });
}

} // namespace tsr
