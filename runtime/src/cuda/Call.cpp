// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Call.h"

#include "../CallScope.h"
#include "../Nvtx.h"

#include <algorithm>
#include <cstring>

namespace tsr::cuda {

static CUdeviceptr pointer(const void *memory) { return reinterpret_cast<CUdeviceptr>(memory); }

Call::~Call() {
  for (void *memory : scratch)
    device.free(memory, stream);
}

void Call::launch(int32_t index, int64_t blocks, int64_t shared, void **arguments) {
  if (blocks == 0)
    return;
  if (index < 0 || static_cast<size_t>(index) >= kernels.size())
    refuse(Code::internal, "compiled code launches kernel ", index, " of ", kernels.size());
  const Kernel &kernel = kernels[static_cast<size_t>(index)];
  if (blocks < 0 || blocks > INT32_MAX)
    refuse(Code::launch, "kernel '", kernel.name, "' would need ", blocks, " blocks: a launch has at most 2147483647");
  if (shared < 0 || shared > kernel.dynamicShared)
    refuse(Code::launch, "kernel '", kernel.name, "' asks for ", shared,
           " bytes of shared memory: it was compiled for ", kernel.dynamicShared);
  CUlaunchAttribute attributes[2];
  CUlaunchConfig config{{static_cast<unsigned>(blocks), 1, 1},
                        {static_cast<unsigned>(kernel.threads), 1, 1},
                        static_cast<unsigned>(shared),
                        stream,
                        attributes,
                        0};
  if (kernel.cluster > 1) {
    CUlaunchAttribute &cluster = attributes[config.numAttributes++];
    cluster.id = launchClusterDimension;
    cluster.value.clusterDim[0] = static_cast<unsigned>(kernel.cluster);
    cluster.value.clusterDim[1] = cluster.value.clusterDim[2] = 1;
  }
  if (kernel.isProgrammatic) {
    CUlaunchAttribute &programmatic = attributes[config.numAttributes++];
    programmatic.id = launchProgrammaticSerialization;
    programmatic.value.programmaticStreamSerializationAllowed = 1;
  }
  const CUfunction function = kernels.function(static_cast<size_t>(index));
  nvtx::Range range(timeline || nvtx::showsKernels() ? kernel.name.c_str() : nullptr);
  if (timeline)
    timeline->begin(kernel.name.c_str());
  CUresult result = device.cuda.launchKernel(&config, function, arguments, nullptr);
  if (result == CUDA_SUCCESS && timeline)
    timeline->end();
  if (result == CUDA_SUCCESS)
    return;
  Error error = device.error(result, text("launching kernel '", kernel.name, "' (", blocks, " blocks of ",
                                          kernel.threads, " threads, clusters of ", kernel.cluster, ", ", shared,
                                          " bytes of dynamic shared memory)"));
  if (error.code == Code::cuda)
    error.code = Code::launch;
  throw error;
}

void Call::copy(void *target, const void *source, int64_t bytes) {
  if (bytes > 0)
    device.check(device.cuda.memcpyAsync(pointer(target), pointer(source), static_cast<size_t>(bytes), stream),
                 "copying on the device");
}

void Call::clear(void *target, int64_t bytes) {
  device.check(device.cuda.memsetD8Async(pointer(target), 0, static_cast<size_t>(bytes), stream), "clearing memory");
}

void Call::startTimeline() {
  if (isCaptured(device, stream))
    refuse(Code::capture, "the call waits for the times of its kernels: a graph cannot capture it");
  timeline.emplace(device, stream);
}

void Call::read(void *target, const void *source, int64_t bytes) {
  if (isCaptured(device, stream))
    refuse(Code::capture, "the program reads a value back to choose what it runs: a graph cannot capture it");
  if (timeline)
    timeline->flow();
  device.check(device.cuda.memcpyDtoHAsync(target, pointer(source), static_cast<size_t>(bytes), stream),
               "reading a value back");
  device.check(device.cuda.streamSynchronize(stream), "waiting for a value");
}

/// A host array of rank 0. Its value is part of the command, so that a captured graph holds it, and nothing waits.
void Call::write(void *target, const tsr_tensor &number) {
  constexpr const char *what = "passing a number";
  const uint8_t *value = address(number);
  uint16_t half;
  uint32_t words[2];
  switch (itemSize(number.dtype)) {
  case 1:
    return device.check(device.cuda.memsetD8Async(pointer(target), *value, 1, stream), what);
  case 2:
    std::memcpy(&half, value, sizeof half);
    return device.check(device.cuda.memsetD16Async(pointer(target), half, 1, stream), what);
  case 8:
    std::memcpy(words, value, sizeof words);
    device.check(device.cuda.memsetD32Async(pointer(target) + 4, words[1], 1, stream), what);
    return device.check(device.cuda.memsetD32Async(pointer(target), words[0], 1, stream), what);
  default:
    std::memcpy(words, value, sizeof *words);
    return device.check(device.cuda.memsetD32Async(pointer(target), words[0], 1, stream), what);
  }
}

void *Call::allocate(int64_t bytes) {
  if (bytes < 0)
    return nullptr;
  void *memory = device.allocate(std::max<int64_t>(bytes, 1), stream);
  if (memory)
    scratch.push_back(memory);
  return memory;
}

void Call::free(void *memory) noexcept {
  auto found = std::find(scratch.begin(), scratch.end(), memory);
  if (found == scratch.end())
    return;
  device.free(memory, stream);
  scratch.erase(found);
}

namespace {

template <class Body> int32_t withCall(Body &&body) noexcept {
  return reporting([&](CallScope &scope) {
    if (!scope.gpu)
      refuse(Code::internal, "compiled code uses a GPU outside of a call on one");
    body(*scope.gpu);
  });
}

} // namespace

int32_t apiLaunch(int32_t kernel, int64_t blocks, int64_t shared, void *const *arguments) {
  return withCall([&](Call &call) { call.launch(kernel, blocks, shared, const_cast<void **>(arguments)); });
}

int32_t apiCopy(void *target, const void *source, int64_t bytes) {
  return withCall([&](Call &call) { call.copy(target, source, bytes); });
}

int32_t apiRead(void *target, const void *source, int64_t bytes) {
  return withCall([&](Call &call) { call.read(target, source, bytes); });
}

void *apiAllocate(int64_t bytes) {
  void *memory = nullptr;
  withCall([&](Call &call) { memory = call.allocate(bytes); });
  return memory;
}

void apiFree(void *memory) {
  withCall([&](Call &call) { call.free(memory); });
}

} // namespace tsr::cuda
