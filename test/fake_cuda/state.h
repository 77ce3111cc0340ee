// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the fake driver knows: devices, memory, streams and what waits in them.
#pragma once

#include "../../runtime/src/cuda/CudaApi.h"
#include "worker.h"

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

using namespace tsr::cuda;

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace tsr::cuda {
struct CUctx_st {
  int device;
};
struct CUgraph_st {
  std::vector<std::function<void()>> nodes;
  CUstream origin;
  std::shared_ptr<bool> isOpen = std::make_shared<bool>(true); // the capture goes on
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> nodes;
};
struct CUstream_st {
  int device;
  CUgraph graph;           // while it is captured
  bool isUnjoined = false; // it came to the capture by an event, and has work that its origin does not wait for
  fake::Worker worker;
};
struct CUevent_st {
  int device;
  std::shared_ptr<std::atomic<bool>> isDone;
  CUstream stream = nullptr;    // that it was recorded in
  CUgraph graph = nullptr;      // likewise
  std::shared_ptr<bool> isOpen; // the capture
  double microseconds = -1;     // on the clock, when it was recorded
};
struct CUlib_st {
  std::string text;
  bool isPtx;
};
struct CUkern_st {
  std::string name;
  std::map<std::pair<int, int>, int> attributes; // by attribute, device
};
struct CUfunc_st {
  CUkern_st *kernel;
  int device;
};
struct CUmemPoolHandle_st {
  int device;
};
} // namespace tsr::cuda

namespace {

using KernelBody = void (*)(unsigned blocks, unsigned threads, unsigned shared, void **arguments);

constexpr CUresult invalidValue = CUresult(1), notInitialized = CUresult(3), invalidImage = CUresult(200),
                   invalidContext = CUDA_ERROR_INVALID_CONTEXT, invalidHandle = CUresult(400), notFound = CUresult(500),
                   captureUnsupported = CUresult(900), captureUnjoined = CUresult(904),
                   captureIsolation = CUresult(905);

struct Device {
  int major, minor;
  CUctx_st context;
  size_t used = 0;
};

struct Failure {
  CUresult result;
  int calls; // how many still fail
};

std::recursive_mutex mutex;
std::vector<Device> devices;
size_t memorySize = size_t(1) << 30;
std::string logged;
std::map<std::string, KernelBody> bodies;
std::map<std::string, Failure> failures;
std::map<uintptr_t, std::pair<size_t, int>> blocks; // size, device
std::set<CUstream> streams;
std::map<std::string, CUkern_st> kernels;
double microseconds = 0; // a clock that only kernels move: by one for each block
bool isInitialized = false;
bool isAsync = false;
fake::Worker &defaultWorker = *new fake::Worker; // its thread runs until the process ends
thread_local CUcontext current = nullptr;
thread_local int captureMode = 0; // global

void log(const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  logged += line;
  logged += '\n';
}

/// The failure that a test ordered for a function; what follows an ordered fault fails like it, as contexts do.
CUresult ordered(const char *name) {
  auto found = failures.find(name);
  if (found == failures.end() || found->second.calls == 0)
    return isInitialized || !std::strcmp(name, "cuInit") ? CUDA_SUCCESS : notInitialized;
  --found->second.calls;
  return found->second.result;
}

#define ENTER(name)                                                                                                    \
  std::unique_lock<std::recursive_mutex> lock(mutex);                                                                  \
  if (CUresult failure = ordered(name))                                                                                \
    return failure;
#define ENTER_CONTEXT(name)                                                                                            \
  ENTER(name)                                                                                                          \
  if (!current)                                                                                                        \
    return invalidContext;

bool isDefault(CUstream stream) { return reinterpret_cast<uintptr_t>(stream) <= 2; }

/// Streams are told by order of creation; 0, 1 and 2 are the driver's own.
unsigned long number(CUstream stream) { return reinterpret_cast<unsigned long>(stream); }

CUresult checkStream(CUstream stream) {
  if (isDefault(stream))
    return CUDA_SUCCESS;
  if (!streams.count(stream))
    return invalidHandle;
  return stream->device == current->device ? CUDA_SUCCESS : invalidHandle;
}

CUgraph captureOf(CUstream stream) { return isDefault(stream) ? nullptr : stream->graph; }

// ---- Streams that are threads

fake::Worker &workerOf(CUstream stream) { return isDefault(stream) ? defaultWorker : stream->worker; }

void post(CUstream stream, std::function<void()> work) {
  if (isAsync)
    workerOf(stream).post(std::move(work));
  else
    work();
}

void drainAll() {
  std::vector<CUstream> all{nullptr};
  {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    all.insert(all.end(), streams.begin(), streams.end());
  }
  for (CUstream stream : all)
    workerOf(stream).drain();
}

/// Runs the work, or keeps it where the stream is captured.
CUresult queue(CUstream stream, std::function<void()> work) {
  if (CUresult result = checkStream(stream))
    return result;
  if (CUgraph graph = captureOf(stream)) {
    graph->nodes.push_back(std::move(work));
    stream->isUnjoined = graph->origin != stream;
  } else {
    post(stream, std::move(work));
  }
  return CUDA_SUCCESS;
}

bool isOnDevice(CUdeviceptr pointer, size_t bytes, int device) {
  auto after = blocks.upper_bound(pointer);
  if (after == blocks.begin())
    return false;
  auto [begin, block] = *--after;
  return block.second == device && pointer - begin <= block.first && bytes <= block.first - (pointer - begin);
}

CUresult take(CUdeviceptr *memory, size_t bytes, int device) {
  Device &owner = devices[static_cast<size_t>(device)];
  if (bytes == 0)
    return invalidValue;
  if (bytes > memorySize - owner.used)
    return CUDA_ERROR_OUT_OF_MEMORY;
  void *block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  owner.used += bytes;
  *memory = reinterpret_cast<CUdeviceptr>(block);
  blocks[*memory] = {bytes, device};
  return CUDA_SUCCESS;
}

CUresult give(CUdeviceptr memory) {
  auto found = blocks.find(memory);
  if (found == blocks.end())
    return invalidValue;
  devices[static_cast<size_t>(found->second.second)].used -= found->second.first;
  std::free(reinterpret_cast<void *>(memory));
  blocks.erase(found);
  return CUDA_SUCCESS;
}

void parseDevices() {
  const char *chosen = std::getenv("FAKE_CUDA_DEVICES");
  std::string list = chosen ? chosen : "9.0";
  for (size_t at = 0; at < list.size();) {
    Device device{};
    std::sscanf(list.c_str() + at, "%d.%d", &device.major, &device.minor);
    device.context.device = static_cast<int>(devices.size());
    devices.push_back(device);
    at = std::min(list.find(',', at), list.size() - 1) + 1;
  }
  const char *async = std::getenv("FAKE_CUDA_ASYNC");
  isAsync = async && *async == '1';
  if (const char *bytes = std::getenv("FAKE_CUDA_MEMORY"))
    memorySize = std::strtoull(bytes, nullptr, 10);
}

} // namespace
