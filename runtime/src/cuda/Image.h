// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A module's machine code. The driver's libraries belong to no context: one serves all devices, and what is set once
// for each of them is a kernel's function and its limit of shared memory.
#pragma once

#include "../Manifest.h"
#include "Device.h"

namespace tsr::cuda {

/// Code that the driver holds, for as long as this lives.
class Image {
public:
  /// `device` is the one that it is loaded for first, for messages. Throws Error (module_load).
  Image(Device &device, std::shared_ptr<const Module> module, Bytes code, bool isPtx);
  ~Image();
  Image(const Image &) = delete;

  const std::shared_ptr<const Module> module;
  CUlibrary library = nullptr;

private:
  const Functions &cuda;
};

/// The kernels of an image on one device.
class Kernels {
public:
  /// `image` may be null, for a module that launches nothing.
  Kernels(Device &device, const Module &module, const Image *image);

  const Kernel &operator[](size_t index) const { return module.kernels[index]; }
  size_t size() const { return module.kernels.size(); }
  /// What to launch; found and set up when it is asked for first. The device's context is current. Throws Error.
  CUfunction function(size_t index) {
    CUfunction known = functions[index].load(std::memory_order_acquire);
    return known ? known : find(index);
  }

private:
  CUfunction find(size_t index);

  Device &device;
  const Module &module;
  const Image *const image;
  const std::unique_ptr<std::atomic<CUfunction>[]> functions;
};

} // namespace tsr::cuda
