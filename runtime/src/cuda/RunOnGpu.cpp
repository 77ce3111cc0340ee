// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A call on a GPU: everything is queued on the caller's stream, and nothing waits. One piece of memory holds all that
// the call needs beside its arrays: the workspace, numbers, and copies of arrays whose base is not aligned.
#include "../Inline.h"
#include "../Program.h"
#include "../Watch.h"
#include "Call.h"

using namespace tsr;

namespace {

constexpr size_t usualTensors = 24;
constexpr int64_t spaceAlignment = 256;

int64_t roundUp(int64_t value) { return (value + spaceAlignment - 1) / spaceAlignment * spaceAlignment; }

/// Memory for the call's time, from the caller's allocator or the device's pool.
class Space {
public:
  Space(const tsr_call_args &args, cuda::Call &call, int64_t bytes) : args(args), call(call), bytes(bytes) {
    if (bytes <= 0)
      return;
    memory = args.allocator
                 ? args.allocator->allocate(args.allocator->context, bytes, spaceAlignment, device(), args.stream)
                 : call.device.allocate(bytes, call.stream);
    if (!memory && args.allocator)
      refuse(Code::out_of_memory, "the allocator gave no workspace of ", bytes, " bytes on ", call.device.label());
    if (!memory)
      throw call.device.noMemory(bytes, "a workspace");
    if (reinterpret_cast<uintptr_t>(memory) % spaceAlignment)
      refuse(Code::output_layout, "the allocator gave a workspace that is not aligned to ", spaceAlignment, " bytes");
  }
  ~Space() {
    if (memory && args.allocator)
      args.allocator->release(args.allocator->context, memory, bytes, device(), args.stream);
    else
      call.device.free(memory, call.stream);
  }
  Space(const Space &) = delete;
  uint8_t *at(int64_t offset) const { return static_cast<uint8_t *>(memory) + offset; }

private:
  tsr_device device() const { return {TSR_CUDA, call.device.ordinal}; }

  const tsr_call_args &args;
  cuda::Call &call;
  const int64_t bytes;
  void *memory = nullptr;
};

/// Before memory is freed, collectives that use it must be over, also where the program stopped at an error.
struct Joined {
  mesh::Call *meshCall;
  cuda::Call &call;
  ~Joined() {
    if (meshCall)
      meshCall->join(call);
  }
};

/// An array that cannot be used where it lies, and its place in the call's space.
struct Staged {
  const tsr_tensor *tensor;
  size_t buffer;
  int64_t bytes, offset;
  bool isOutput;
};

} // namespace

void tsr_entry::runOnGpu(const EntryCode &code, const tsr_call_args &args, const int64_t *symbols,
                         cuda::Keepers *keepers, mesh::Call *meshCall) {
  const size_t numInputs = signature.inputs.size(), numOutputs = signature.outputs.size();
  cuda::Device &device = code.resident->device;
  device.requireUsable();
  cuda::Call call(device, static_cast<cuda::CUstream>(args.stream), *code.kernels);
  Inline<void *, usualTensors> buffers(numInputs + numOutputs);
  std::shared_lock<std::shared_mutex> lock(program.weightsMutex, std::defer_lock);
  if (signature.hasWeights()) {
    lock.lock();
    checkWeights(args, symbols);
  }
  std::vector<Staged> staged; // hardly ever any
  int64_t total = code.workspaceSize(signature, symbols);
  auto stage = [&](const tsr_tensor &tensor, size_t buffer, bool isOutput) {
    int64_t bytes = 0;
    byteSize(tensor.shape, tensor.ndim, itemSize(tensor.dtype), bytes);
    const int64_t offset = roundUp(total);
    if (bytes == 0)
      return;
    staged.push_back({&tensor, buffer, bytes, offset, isOutput});
    total = offset + bytes;
  };
  size_t next = 0;
  for (size_t i = 0; i < numInputs; ++i) {
    const Value &input = signature.inputs[i];
    if (input.isWeight) {
      const size_t weight = static_cast<size_t>(input.weightIndex);
      buffers[i] = code.resident->weight(weight, program.weights[weight]);
      continue;
    }
    const tsr_tensor &tensor = *args.inputs[next++];
    buffers[i] = address(tensor);
    if (!isContiguous(tensor))
      refuse(Code::device_layout, signature.describe(input), ": expected a row-major contiguous array",
             signature.where(input.source));
    if (isOnHost(tensor) || !isAlignedForGpu(buffers[i]))
      stage(tensor, i, false);
  }
  for (size_t i = 0; i < numOutputs; ++i) {
    const size_t buffer = numInputs + i;
    buffers[buffer] = address(*args.outputs[i]);
    if (!isAlignedForGpu(buffers[buffer]))
      stage(*args.outputs[i], buffer, true);
  }

  if (keepers)
    code.resident->addKeepers(*keepers);
  Space space(args, call, total);
  for (Staged &item : staged) {
    buffers[item.buffer] = space.at(item.offset);
    if (item.isOutput)
      continue;
    if (isOnHost(*item.tensor))
      call.write(buffers[item.buffer], *item.tensor);
    else
      call.copy(buffers[item.buffer], address(*item.tensor), item.bytes);
  }
  for (size_t i = 0; i < numOutputs; ++i) // an argument that is changed in place is one buffer, also where it is a copy
    if (int32_t alias = signature.outputs[i].alias; alias >= 0)
      buffers[numInputs + i] = buffers[static_cast<size_t>(signature.arguments[static_cast<size_t>(alias)])];
  Joined joined{meshCall, call};
  const tsr_observer *observer = observerOf(args);
  if (observer && observer->on_kernel)
    call.startTimeline();
  std::optional<Watch> watch;
  if (!code.variant->values.empty())
    watch.emplace(*code.variant, observer);
  CallScope scope(&call, meshCall, watch ? &*watch : nullptr);
  code.run(scope, signature, buffers.data(), symbols, space.at(0));
  for (const Staged &item : staged)
    if (item.isOutput)
      call.copy(address(*item.tensor), buffers[item.buffer], item.bytes);
  if (observer && observer->on_kernel)
    call.report(*observer);
}
