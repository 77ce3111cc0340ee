// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What calls on GPUs need of Python: streams, arrays in device memory, graphs.
#pragma once

#include "Arrays.h"

#include <vector>

namespace tsr::python {

/// The CUstream that a stream= argument means: an integer, or an object with `__cuda_stream__`, `cuda_stream` (torch)
/// or `ptr` (CuPy).
void *streamHandle(PyObject *stream);

/// A Python integer; raises for anything else.
int64_t integer(nb::handle object);

/// Whether a tensor's elements follow each other in row-major order.
bool isContiguous(const tsr_tensor &tensor);
/// Replaces an argument by a contiguous copy that its framework makes. Throws Refusal when it has no way to.
void makeContiguous(Argument &argument, Stream &stream);

/// Memory that frees itself in the order of the stream that it was made on.
struct DeviceMemory {
  DeviceMemory(tsr_device device, int64_t bytes, void *stream) : device(device), stream(stream) {
    check(tsr_device_allocate(device, bytes, stream, &data));
  }
  ~DeviceMemory() { tsr_device_free(device, data, stream); }
  DeviceMemory(const DeviceMemory &) = delete;
  const tsr_device device;
  void *const stream;
  void *data = nullptr;
};

/// An array on a GPU as the runtime makes it, for frameworks to take over through DLPack.
struct DeviceArray {
  std::shared_ptr<DeviceMemory> memory;
  tsr_dtype dtype;
  std::vector<int64_t> shape;
};

void bindGpu(nb::module_ &module);

} // namespace tsr::python
