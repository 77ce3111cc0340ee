// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The part of the C ABI that is about GPUs: devices, streams, device memory, graphs.
#include "Graph.h"

using namespace tsr;
using namespace tsr::cuda;

namespace {

Device &gpu(tsr_device device) {
  if (device.type != TSR_CUDA)
    refuse(Code::bad_handle, "expected a CUDA device, got DLPack's device type ", device.type);
  return Device::get(device.id);
}

CUstream streamOf(void *stream) { return static_cast<CUstream>(stream); }

CUdeviceptr addressOf(const void *memory) { return reinterpret_cast<CUdeviceptr>(memory); }

template <class Copy> void copyAndWait(Device &device, CUstream stream, int64_t bytes, Copy &&copy) {
  if (bytes <= 0)
    return;
  Current current(device);
  device.check(copy(device, static_cast<size_t>(bytes)), "copying an array");
  device.check(device.cuda.streamSynchronize(stream), "waiting for a copy");
}

} // namespace

extern "C" {

int32_t tsr_gpu_count(void) { return static_cast<int32_t>(devices().size()); }

int32_t tsr_gpu(int32_t id, tsr_gpu_info *info) {
  return guarded([&] {
    requireStruct(info, "tsr_gpu_info");
    if (id < 0 || id >= tsr_gpu_count())
      refuse(Code::no_gpu, "there is no GPU ", id, ": the driver finds ", tsr_gpu_count());
    const Device &device = *devices()[static_cast<size_t>(id)];
    info->name = device.name.c_str();
    info->target = device.target.c_str();
    info->memory = static_cast<int64_t>(device.memory);
  });
}

int32_t tsr_device_of(const void *memory, tsr_device *device) {
  return guarded([&] {
    requireHandle(device, "device");
    Device &any = devices().empty() ? Device::get(0) : *devices()[0]; // one with a fault will do
    int ordinal = 0;
    auto ask = [&] {
      return any.cuda.pointerGetAttribute(&ordinal, pointerDeviceOrdinal, reinterpret_cast<CUdeviceptr>(memory));
    };
    CUresult result = ask();
    if (result == CUDA_ERROR_INVALID_CONTEXT) { // some drivers want any context at all
      Current current(Device::get(any.ordinal));
      result = ask();
    }
    any.check(result, "finding the device of an address");
    *device = {TSR_CUDA, ordinal};
  });
}

int32_t tsr_stream_wait(tsr_device device, void *stream, void *other) {
  return guarded([&] { waitFor(gpu(device), streamOf(stream), streamOf(other)); });
}

int32_t tsr_device_allocate(tsr_device device, int64_t bytes, void *stream, void **memory) {
  return guarded([&] {
    requireHandle(memory, "memory");
    Device &owner = gpu(device);
    Current current(owner);
    *memory = bytes < 0 ? nullptr : owner.allocate(bytes ? bytes : 1, streamOf(stream));
    if (!*memory)
      throw owner.noMemory(bytes, "an array");
  });
}

void tsr_device_free(tsr_device device, void *memory, void *stream) {
  guarded([&] {
    Device &owner = gpu(device);
    Current current(owner);
    owner.free(memory, streamOf(stream));
  });
}

int32_t tsr_device_write(tsr_device device, void *target, const void *source, int64_t bytes, void *stream) {
  return guarded([&] {
    copyAndWait(gpu(device), streamOf(stream), bytes, [&](Device &owner, size_t count) {
      return owner.cuda.memcpyAsync(addressOf(target), addressOf(source), count, streamOf(stream));
    });
  });
}

int32_t tsr_device_read(tsr_device device, void *target, const void *source, int64_t bytes, void *stream) {
  return guarded([&] {
    copyAndWait(gpu(device), streamOf(stream), bytes, [&](Device &owner, size_t count) {
      return owner.cuda.memcpyDtoHAsync(target, addressOf(source), count, streamOf(stream));
    });
  });
}

int32_t tsr_entry_device(const tsr_entry *entry, const tsr_tensor *const *inputs, int32_t count, tsr_device *device) {
  return guarded([&] {
    requireHandle(entry, "entry");
    requireHandle(device, "device");
    if (count > 0)
      requireHandle(inputs, "inputs");
    *device = entry->deviceOf(inputs, count);
  });
}

int32_t tsr_entry_capture(tsr_entry *entry, const tsr_call_args *args, tsr_graph **graph) {
  return guarded([&] {
    requireHandle(graph, "graph");
    requireCall(entry, args);
    *graph = new tsr_graph(*entry, *args);
  });
}

int32_t tsr_graph_launch(tsr_graph *graph, void *stream) {
  return guarded([&] {
    requireHandle(graph, "graph");
    graph->launch(streamOf(stream));
  });
}

void tsr_graph_destroy(tsr_graph *graph) { delete graph; }

} // extern "C"
