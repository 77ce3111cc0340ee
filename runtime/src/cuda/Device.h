// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CUDA driver, opened when somebody first asks for it, and its devices. Both live as long as the process: work may
// be in flight, and outputs may be freed, until its end.
#pragma once

#include "../Status.h"
#include "CudaApi.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace tsr::cuda {

struct Capability {
  int32_t major = 0, minor = 0;
};

class Device {
public:
  Device(const Functions &cuda, int32_t ordinal);
  Device(const Device &) = delete;

  /// A device by DLPack's number, its context made. Throws Error (no_driver, no_gpu, device_fault).
  static Device &get(int32_t ordinal);

  void requireUsable() const {
    if (isFaulty.load(std::memory_order_acquire))
      refuseFaulty();
  }
  /// Throws Error for what the driver refuses; a fault is remembered, as the device takes no more work after it.
  template <class What> void check(CUresult result, const What &what) {
    if (result != CUDA_SUCCESS)
      throw error(result, what);
  }
  Error error(CUresult result, const std::string &what);
  /// The error (out_of_memory) that says what was wanted and what there is.
  Error noMemory(int64_t bytes, const char *what);

  /// Memory of our pool, in the order of a stream; null when there is none. Its release threshold is unlimited: what is
  /// freed stays with the pool, so that a call's workspace costs no system call.
  void *allocate(int64_t bytes, CUstream stream);
  void free(void *memory, CUstream stream) noexcept;
  void trim() noexcept;
  /// Waits for all work on the device: for those who take away what calls in flight may be using, never for calls.
  void synchronize() noexcept;

  std::string label() const { return text("GPU ", ordinal); }

  const Functions &cuda;
  const int32_t ordinal;
  CUdevice handle = 0;
  std::string name, target; // target: the best for it, such as "sm_90a"
  Capability capability;
  size_t memory = 0;
  CUcontext context = nullptr;

private:
  void open();
  [[noreturn]] void refuseFaulty() const;

  CUmemoryPool pool = nullptr;
  std::mutex openMutex, faultMutex;
  std::atomic<bool> isOpen{false};
  std::atomic<bool> isFaulty{false};
  std::string fault; // written once, before isFaulty
};

/// All devices; empty where there is no driver, or it finds none.
const std::vector<std::unique_ptr<Device>> &devices() noexcept;
/// Of all devices that are in use; opens no driver for it.
void trimOpened() noexcept;
/// What the driver lacks a name for is told by number.
std::string errorText(const Functions &cuda, CUresult result);

/// Makes a device's context current while it lives, and gives the caller's back.
class Current {
public:
  explicit Current(const Device &device) : device(device) {
    device.cuda.contextGetCurrent(&previous);
    if (previous != device.context)
      device.cuda.contextSetCurrent(device.context);
  }
  ~Current() {
    if (previous != device.context)
      device.cuda.contextSetCurrent(previous);
  }
  Current(const Current &) = delete;

private:
  const Device &device;
  CUcontext previous = nullptr;
};

/// For work that is done once (loading code, uploading weights): lawful even while the calling thread captures a graph.
class Relaxed {
public:
  explicit Relaxed(const Device &device) : device(device) { device.cuda.threadExchangeCaptureMode(&mode); }
  ~Relaxed() { device.cuda.threadExchangeCaptureMode(&mode); }
  Relaxed(const Relaxed &) = delete;

private:
  const Device &device;
  int mode = captureRelaxed;
};

/// Whether a stream's work goes into a graph.
bool isCaptured(const Device &device, CUstream stream);

/// Work queued on `stream` from now on waits for all that `other` holds now.
void waitFor(Device &device, CUstream stream, CUstream other);

} // namespace tsr::cuda
