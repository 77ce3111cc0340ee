// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/ExpandFp8/ConvertPairs.h"

#include "passes/Utils/Capability.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace tessera;

constexpr unsigned kFirstCapability = 89;

bool tessera::convertsPairs(Operation *op) {
  auto module = op->getParentOfType<gpu::GPUModuleOp>();
  if (!module || !module.getTargetsAttr())
    return false;
  return llvm::all_of(module.getTargetsAttr(), [](Attribute attribute) {
    auto target = dyn_cast<NVVM::NVVMTargetAttr>(attribute);
    return target && capabilityOf(target.getChip()) >= kFirstCapability;
  });
}

/// The elements of a vector, or a scalar alone.
static SmallVector<Value> elementsOf(ImplicitLocOpBuilder &b, Value value) {
  auto type = dyn_cast<VectorType>(value.getType());
  if (!type)
    return {value};
  SmallVector<Value> elements;
  for (int64_t index = 0; index < type.getNumElements(); ++index)
    elements.push_back(vector::ExtractOp::create(b, value, index));
  return elements;
}

/// Converts pair by pair; a number without a neighbour is its own.
static Value convert(ImplicitLocOpBuilder &b, Value value, Type element,
                     llvm::function_ref<Value(Value first, Value second)> convertPair) {
  SmallVector<Value> numbers = elementsOf(b, value), results;
  for (size_t index = 0; index < numbers.size(); index += 2) {
    Value first = numbers[index], second = index + 1 < numbers.size() ? numbers[index + 1] : first;
    Value pair = convertPair(first, second);
    for (size_t lane = 0; lane < std::min<size_t>(2, numbers.size() - index); ++lane)
      results.push_back(vector::ExtractOp::create(b, pair, lane));
  }
  auto type = dyn_cast<VectorType>(value.getType());
  return type ? vector::FromElementsOp::create(b, type.clone(element), results).getResult() : results.front();
}

Value tessera::widenPairs(ImplicitLocOpBuilder &b, Value codes, Type element) {
  auto pairOf = [](Type type) { return VectorType::get({2}, type); };
  return convert(b, codes, b.getF16Type(), [&](Value first, Value second) -> Value {
    Value pair = vector::FromElementsOp::create(b, pairOf(b.getI8Type()), ValueRange{first, second});
    return NVVM::ConvertF8x2ToF16x2Op::create(b, pairOf(b.getF16Type()), pair, /*relu=*/false, element);
  });
}

Value tessera::narrowPairs(ImplicitLocOpBuilder &b, Value numbers, Type element) {
  return convert(b, numbers, b.getI8Type(), [&](Value first, Value second) -> Value {
    // The instruction's first operand becomes the upper half.
    return NVVM::ConvertF32x2ToF8x2Op::create(b, VectorType::get({2}, b.getI8Type()), second, first,
                                              NVVM::FPRoundingMode::RN, NVVM::SaturationMode::SATFINITE,
                                              /*relu=*/false, element);
  });
}
