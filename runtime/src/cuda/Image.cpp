// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Image.h"

namespace tsr::cuda {

Image::Image(Device &device, std::shared_ptr<const Module> source, Bytes code, bool isPtx)
    : module(std::move(source)), cuda(device.cuda) {
  Current current(device);
  Relaxed relaxed(device);
  std::string ptx, log(4096, '\0');
  int options[] = {jitErrorLogBuffer, jitErrorLogBufferSize};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size())};
  const void *data = code.data;
  if (isPtx) { // text, which ends with a zero
    ptx = code.string();
    data = ptx.c_str();
  }
  CUresult result = cuda.libraryLoadData(&library, data, options, values, isPtx ? 2 : 0, nullptr, nullptr, 0);
  if (result == CUDA_SUCCESS)
    return;
  Error error = device.error(result, text("loading the code of '", module->name, "'"));
  if (error.code == Code::cuda)
    error.code = Code::module_load;
  if (log[0])
    error.message += text(": ", log.c_str());
  throw error;
}

Image::~Image() { cuda.libraryUnload(library); }

Kernels::Kernels(Device &device, const Module &module, const Image *image)
    : device(device), module(module), image(image), functions(new std::atomic<CUfunction>[module.kernels.size()] {}) {}

CUfunction Kernels::find(size_t index) {
  constexpr int64_t usualShared = 48 << 10; // more has to be asked for
  constexpr int32_t portableCluster = 8;
  const Kernel &kernel = module.kernels[index];
  const std::string what = text("loading kernel '", kernel.name, "'");
  Relaxed relaxed(device);
  CUkernel found;
  device.check(device.cuda.libraryGetKernel(&found, image->library, kernel.name.c_str()), what);
  if (kernel.dynamicShared > usualShared)
    device.check(device.cuda.kernelSetAttribute(functionMaxDynamicShared, static_cast<int>(kernel.dynamicShared), found,
                                                device.handle),
                 what);
  if (kernel.cluster > portableCluster)
    device.check(device.cuda.kernelSetAttribute(functionNonPortableCluster, 1, found, device.handle), what);
  CUfunction function;
  device.check(device.cuda.kernelGetFunction(&function, found), what);
  functions[index].store(function, std::memory_order_release); // two threads that find it at once find the same
  return function;
}

} // namespace tsr::cuda
