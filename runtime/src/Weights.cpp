// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Weights.h"

#include "Json.h"
#include "cuda/Device.h"

#include <cstring>
#include <utility>

namespace tsr {

Weight::Weight(Weight &&other) noexcept
    : name(other.name), set(std::exchange(other.set, false)), view(other.view), shape(std::move(other.shape)),
      owned(std::move(other.owned)), part(std::move(other.part)) {
  if (!owned)
    view.shape = shape.data();
}

void Weight::setMapped(tsr_dtype dtype, std::vector<int64_t> newShape, const uint8_t *data) {
  shape = std::move(newShape);
  view = {
      const_cast<uint8_t *>(data), {TSR_CPU, 0}, static_cast<int32_t>(shape.size()), dtype, shape.data(), nullptr, 0};
  set = true;
}

namespace {

/// Copies a part row by row; returns where the next row goes.
uint8_t *copyPart(const uint8_t *from, uint8_t *to, const int64_t *shape, const Part *parts, size_t rank,
                  int64_t itemBytes) {
  if (rank == 0) {
    std::memcpy(to, from, static_cast<size_t>(itemBytes));
    return to + itemBytes;
  }
  int64_t inner = itemBytes;
  bool isWhole = true; // below this dimension
  for (size_t i = 1; i < rank; ++i)
    inner *= shape[i], isWhole &= parts[i].count == 1;
  const int64_t rows = shape[0] / parts[0].count;
  from += parts[0].index * rows * inner;
  if (isWhole) {
    std::memcpy(to, from, static_cast<size_t>(rows * inner));
    return to + rows * inner;
  }
  for (int64_t row = 0; row < rows; ++row)
    to = copyPart(from + row * inner, to, shape + 1, parts + 1, rank - 1, itemBytes);
  return to;
}

} // namespace

void Weight::keepPart(const std::vector<Part> &parts) {
  const int64_t itemBytes = itemSize(view.dtype);
  int64_t bytes = itemBytes;
  bool isFirstAlone = true;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts.size() != shape.size() || shape[i] % parts[i].count)
      refuse(Code::weights_file, "weight '", name, "' of shape ", shapeText(view.shape, view.ndim), ": expected ",
             parts.size(), " dimensions, of which dimension ", i, " divides into ", parts[i].count);
    bytes *= shape[i] / parts[i].count;
    isFirstAlone &= i == 0 || parts[i].count == 1;
  }
  const auto *whole = static_cast<const uint8_t *>(view.data);
  if (isFirstAlone) {
    view.data = const_cast<uint8_t *>(whole) + (parts.empty() ? 0 : parts[0].index * bytes);
  } else {
    part.reset(new uint8_t[static_cast<size_t>(bytes)]);
    if (bytes)
      copyPart(whole, part.get(), shape.data(), parts.data(), parts.size(), itemBytes);
    view.data = part.get();
  }
  for (size_t i = 0; i < parts.size(); ++i)
    shape[i] /= parts[i].count;
}

/// Calls in flight may be reading one that lies on a GPU.
static void release(tsr_managed_tensor *tensor) {
  if (tensor->tensor.device.type == TSR_CUDA)
    cuda::devices()[static_cast<size_t>(tensor->tensor.device.id)]->synchronize();
  if (tensor->deleter)
    tensor->deleter(tensor);
}

std::shared_ptr<tsr_managed_tensor> Weight::exchange(tsr_managed_tensor *tensor) {
  std::shared_ptr<tsr_managed_tensor> owner(tensor, release);
  view = tensor->tensor;
  set = true;
  owned.swap(owner);
  return owner;
}

static tsr_dtype safetensorsDtype(const Json &json) {
  static const std::pair<const char *, const char *> names[] = {
      {"F64", "f64"},          {"F32", "f32"},          {"F16", "f16"},   {"BF16", "bf16"},
      {"F8_E4M3", "fp8_e4m3"}, {"I8", "int8"},          {"I16", "int16"}, {"I32", "int32"},
      {"I64", "int64"},        {"F8_E5M2", "fp8_e5m2"}, {"BOOL", "bool"}};
  std::string name = json.string();
  for (auto [theirs, ours] : names)
    if (name == theirs)
      return *dtypeOfName(ours);
  json.refuse("unknown dtype '", name, "'");
}

/// The format: u64 length of the header, the header (JSON), the data that its offsets count from.
void readSafetensors(Bytes file, std::vector<Weight> &weights) {
  file = file.as(Code::weights_file, "weights.safetensors");
  uint64_t headerSize = file.read<uint64_t>(0);
  Bytes header = file.slice(8, headerSize);
  Bytes data = file.slice(8 + headerSize, file.size - 8 - headerSize);
  boost::json::value document = Json::parse(header, "the header of weights.safetensors", Code::weights_file);
  Json json(document, "weights.safetensors", Code::weights_file);
  for (Weight &weight : weights) {
    if (!json.has(weight.name.c_str()))
      continue;
    Json entry = json.at(weight.name.c_str());
    tsr_dtype dtype = safetensorsDtype(entry.at("dtype"));
    std::vector<int64_t> shape, offsets;
    entry.at("shape").forEachElement([&](const Json &size) { shape.push_back(size.integer(0)); });
    entry.at("data_offsets").forEachElement([&](const Json &offset) { offsets.push_back(offset.integer(0)); });
    int64_t bytes;
    if (shape.size() > TSR_MAX_RANK ||
        !byteSize(shape.data(), static_cast<int32_t>(shape.size()), itemSize(dtype), bytes))
      entry.refuse("shape is too large");
    if (offsets.size() != 2 || offsets[1] < offsets[0] || offsets[1] - offsets[0] != bytes)
      entry.refuse("expected data_offsets that span ", bytes, " bytes");
    const uint8_t *value = data.slice(static_cast<uint64_t>(offsets[0]), static_cast<uint64_t>(bytes)).data;
    if (reinterpret_cast<uintptr_t>(value) % static_cast<uintptr_t>(itemSize(dtype)) != 0)
      entry.refuse("the value is not aligned to its element size");
    weight.setMapped(dtype, std::move(shape), value);
  }
}

} // namespace tsr
