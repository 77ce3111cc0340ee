// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Device.h"

#include <cstdlib>
#include <dlfcn.h>

namespace tsr::cuda {

namespace {

constexpr const char *pathVariable = "TESSERA_LIBCUDA", *usualPath = "libcuda.so.1";

struct Driver {
  Functions cuda;
  std::vector<std::unique_ptr<Device>> devices;
  Driver();
};

Driver::Driver() {
  const char *chosen = std::getenv(pathVariable);
  const char *path = chosen && *chosen ? chosen : usualPath;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL); // never closed
  if (!library)
    refuse(Code::no_driver, "no NVIDIA driver: ", dlerror());
#define TSR_CUDA_OPEN(member, symbol, parameters)                                                                      \
  cuda.member = reinterpret_cast<decltype(cuda.member)>(dlsym(library, symbol));                                       \
  if (!cuda.member)                                                                                                    \
    refuse(Code::no_driver, path, " has no ", symbol, ": expected a driver for CUDA 12.0 or newer");
  TSR_CUDA_FUNCTIONS(TSR_CUDA_OPEN)
#undef TSR_CUDA_OPEN
  int count = 0;
  CUresult result = cuda.init(0);
  if (result == CUDA_SUCCESS)
    result = cuda.deviceGetCount(&count);
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_NO_DEVICE)
    refuse(Code::no_driver, "the NVIDIA driver does not start: ", errorText(cuda, result));
  for (int i = 0; i < count; ++i)
    devices.push_back(std::make_unique<Device>(cuda, i));
}

std::atomic<Driver *> opened{nullptr};

/// Only a driver that works is remembered: one that is installed later, or mounted into a container, is found.
Driver &driver() {
  static std::mutex mutex;
  if (Driver *known = opened.load(std::memory_order_acquire))
    return *known;
  std::lock_guard<std::mutex> lock(mutex);
  if (!opened.load(std::memory_order_relaxed))
    opened.store(new Driver, std::memory_order_release);
  return *opened.load(std::memory_order_relaxed);
}

/// Errors after which a context takes no work any more.
bool isFault(CUresult result) {
  switch (result) {
  case CUDA_ERROR_ECC_UNCORRECTABLE:
  case CUDA_ERROR_ILLEGAL_ADDRESS:
  case CUDA_ERROR_LAUNCH_TIMEOUT:
  case CUDA_ERROR_CONTEXT_IS_DESTROYED:
  case CUDA_ERROR_ASSERT:
  case CUDA_ERROR_HARDWARE_STACK_ERROR:
  case CUDA_ERROR_ILLEGAL_INSTRUCTION:
  case CUDA_ERROR_MISALIGNED_ADDRESS:
  case CUDA_ERROR_INVALID_ADDRESS_SPACE:
  case CUDA_ERROR_INVALID_PC:
  case CUDA_ERROR_LAUNCH_FAILED:
    return true;
  default:
    return false;
  }
}

} // namespace

std::string errorText(const Functions &cuda, CUresult result) {
  const char *name = nullptr, *description = nullptr;
  cuda.getErrorName(result, &name);
  cuda.getErrorString(result, &description);
  return name ? text(name, " (", description ? description : "", ")") : text("CUDA error ", int(result));
}

const std::vector<std::unique_ptr<Device>> &devices() noexcept {
  static const std::vector<std::unique_ptr<Device>> none;
  try {
    return driver().devices;
  } catch (...) { // no driver is an answer here
    return none;
  }
}

void trimOpened() noexcept {
  if (Driver *known = opened.load(std::memory_order_acquire))
    for (const auto &device : known->devices)
      device->trim();
}

Device::Device(const Functions &cuda, int32_t ordinal) : cuda(cuda), ordinal(ordinal) {
  char text[128] = "";
  check(cuda.deviceGet(&handle, ordinal), "being found");
  check(cuda.deviceGetName(text, sizeof text, handle), "telling its name");
  name = text;
  check(cuda.deviceTotalMem(&memory, handle), "telling its memory");
  check(cuda.deviceGetAttribute(&capability.major, deviceComputeMajor, handle), "telling its architecture");
  check(cuda.deviceGetAttribute(&capability.minor, deviceComputeMinor, handle), "telling its architecture");
  target = tsr::text("sm_", capability.major, capability.minor, capability.major >= 9 ? "a" : "");
}

Device &Device::get(int32_t ordinal) {
  const auto &all = driver().devices;
  if (ordinal < 0 || static_cast<size_t>(ordinal) >= all.size())
    refuse(Code::no_gpu, all.empty() ? text("the NVIDIA driver finds no GPU")
                                     : text("there is no GPU ", ordinal, ": the driver finds ", all.size()));
  Device &device = *all[static_cast<size_t>(ordinal)];
  device.requireUsable();
  if (!device.isOpen.load(std::memory_order_acquire))
    device.open();
  return device;
}

void Device::refuseFaulty() const {
  refuse(Code::device_fault, label(), " takes no more work in this process after a fault: ", fault);
}

void Device::open() {
  std::lock_guard<std::mutex> lock(openMutex);
  if (isOpen.load(std::memory_order_relaxed))
    return;
  if (!context)
    check(cuda.primaryContextRetain(&context, handle), "making its context");
  Current current(*this);
  Relaxed relaxed(*this);
  CUmemPoolProps properties;
  properties.locationId = ordinal;
  check(cuda.memPoolCreate(&pool, &properties), "making a pool of memory");
  uint64_t all = UINT64_MAX;
  check(cuda.memPoolSetAttribute(pool, poolReleaseThreshold, &all), "setting up its pool of memory");
  isOpen.store(true, std::memory_order_release);
}

Error Device::error(CUresult result, const std::string &what) {
  std::string said = errorText(cuda, result);
  if (!isFault(result))
    return {result == CUDA_ERROR_OUT_OF_MEMORY ? Code::out_of_memory : Code::cuda,
            text(label(), ": ", what, " failed: ", said)};
  std::lock_guard<std::mutex> lock(faultMutex);
  if (!isFaulty.load(std::memory_order_relaxed)) {
    fault = said;
    isFaulty.store(true, std::memory_order_release);
  }
  return {Code::device_fault, text(label(), " has faulted, seen at ", what, ": ", said,
                                   "; the fault is of this call or of earlier work on the device")};
}

Error Device::noMemory(int64_t bytes, const char *what) {
  size_t available = 0, total = 0;
  cuda.memGetInfo(&available, &total);
  return {Code::out_of_memory, text("no memory for ", what, " of ", bytes, " bytes on ", label(), ": ", available,
                                    " of ", total, " bytes are free")};
}

void *Device::allocate(int64_t bytes, CUstream stream) {
  CUdeviceptr result = 0;
  CUresult status = cuda.memAllocFromPoolAsync(&result, static_cast<size_t>(bytes), pool, stream);
  if (status != CUDA_ERROR_OUT_OF_MEMORY)
    check(status, "allocating memory");
  return reinterpret_cast<void *>(result);
}

void Device::free(void *memory, CUstream stream) noexcept {
  if (memory) // a failure is either a fault, which the next call tells, or the end of the process
    cuda.memFreeAsync(reinterpret_cast<CUdeviceptr>(memory), stream);
}

void Device::trim() noexcept {
  if (isOpen.load(std::memory_order_acquire) && !isFaulty.load(std::memory_order_acquire))
    cuda.memPoolTrimTo(pool, 0);
}

void Device::synchronize() noexcept {
  if (!isOpen.load(std::memory_order_acquire))
    return;
  Current current(*this);
  Relaxed relaxed(*this);
  cuda.contextSynchronize(); // a fault is told by the next call
}

bool isCaptured(const Device &device, CUstream stream) {
  int status = captureNone;
  device.cuda.streamIsCapturing(stream, &status);
  return status != captureNone;
}

void waitFor(Device &device, CUstream stream, CUstream other) {
  if (stream == other)
    return;
  Current current(device);
  CUevent event;
  device.check(device.cuda.eventCreate(&event, eventDisableTiming), "making an event");
  CUresult result = device.cuda.eventRecord(event, other);
  if (result == CUDA_SUCCESS)
    result = device.cuda.streamWaitEvent(stream, event, 0);
  device.cuda.eventDestroy(event); // once its work is done, as the driver has it
  device.check(result, "waiting for another stream");
}

} // namespace tsr::cuda
