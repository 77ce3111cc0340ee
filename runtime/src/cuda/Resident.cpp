// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Resident.h"

namespace tsr::cuda {

namespace {

/// Memory outside of the pool: it is freed when work in flight, on whatever stream, is done.
std::shared_ptr<void> allocateLasting(Device &device, int64_t bytes) {
  CUdeviceptr memory = 0;
  CUresult result = device.cuda.memAlloc(&memory, static_cast<size_t>(bytes));
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    throw device.noMemory(bytes, "a weight");
  device.check(result, "allocating memory for a weight");
  return {reinterpret_cast<void *>(memory), [&device](void *pointer) {
            device.synchronize();
            Current current(device);
            Relaxed relaxed(device);
            device.cuda.memFree(reinterpret_cast<CUdeviceptr>(pointer));
          }};
}

/// A stream of our own that nobody else's work waits for.
class UploadStream {
public:
  explicit UploadStream(Device &device) : device(device) {
    device.check(device.cuda.streamCreate(&stream, streamNonBlocking), "making a stream");
  }
  ~UploadStream() { device.cuda.streamDestroy(stream); }
  void copy(void *target, const void *source, int64_t bytes) {
    device.check(device.cuda.memcpyAsync(reinterpret_cast<CUdeviceptr>(target), reinterpret_cast<CUdeviceptr>(source),
                                         static_cast<size_t>(bytes), stream),
                 "uploading a weight");
    device.check(device.cuda.streamSynchronize(stream), "uploading a weight");
  }

private:
  Device &device;
  CUstream stream = nullptr;
};

} // namespace

Resident::~Resident() { device.synchronize(); } // kernels in flight still need their code

Kernels &Resident::kernels(const Module &module, const Image *image) {
  std::unique_ptr<Kernels> &slot = loaded[{&module, image}];
  if (!slot)
    slot = std::make_unique<Kernels>(device, module, image);
  return *slot;
}

void Resident::upload(Slot &slot, const Weight &weight) {
  std::lock_guard<std::mutex> lock(uploadMutex);
  if (slot.isThere.load(std::memory_order_relaxed))
    return;
  const tsr_tensor &value = weight.tensor();
  int64_t bytes = 0;
  byteSize(value.shape, value.ndim, itemSize(value.dtype), bytes);
  if (isOnGpu(value, device.ordinal) && isAlignedForGpu(address(value))) {
    slot.keeper = weight.owner();
    slot.memory = address(value);
  } else if (bytes > 0) {
    Relaxed relaxed(device);
    std::shared_ptr<void> memory = allocateLasting(device, bytes);
    UploadStream(device).copy(memory.get(), address(value), bytes);
    slot.memory = memory.get();
    slot.keeper = std::move(memory);
  }
  slot.isThere.store(true, std::memory_order_release);
}

void Resident::forget(size_t index) {
  Slot &slot = slots[index];
  slot.isThere.store(false, std::memory_order_relaxed);
  slot.memory = nullptr;
  slot.keeper.reset();
}

void Resident::addKeepers(Keepers &keepers) {
  std::lock_guard<std::mutex> lock(uploadMutex);
  for (Slot &slot : slots)
    if (slot.keeper)
      keepers.push_back(slot.keeper);
}

} // namespace tsr::cuda
