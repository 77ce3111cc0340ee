// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A CUDA driver for tests: the functions that the runtime opens, on host memory. Work runs when it is queued, or on a
// thread, kernels are functions that a test registers, and a log tells what was asked for. It is stricter than a driver
// where that finds mistakes: a call without a context, an unknown stream or address, memory freed twice are errors.
//
//   FAKE_CUDA_DEVICES  capabilities, "9.0,8.6" (default "9.0"; "" for a driver that finds no GPU)
//   FAKE_CUDA_MEMORY   bytes of each device (default 1 GiB)
//   FAKE_CUDA_ASYNC    if 1, each stream has a thread that runs its work
//
// An image is text that begins with "fake cubin" or "//" (PTX), and holds the names of its kernels.
#include "state.h"

// ---- What tests use
// --------------------------------------------------------------------------------------------------

/// The log since the last time it was taken; valid until then.
EXPORT const char *fake_cuda_log() {
  static std::string taken;
  std::lock_guard<std::recursive_mutex> lock(mutex);
  taken = std::move(logged);
  logged.clear();
  return taken.c_str();
}
EXPORT void fake_cuda_kernel(const char *name, KernelBody body) { bodies[name] = body; }
/// The next `calls` calls of a function fail.
EXPORT void fake_cuda_fail(const char *function, int result, int calls) {
  failures[function] = {CUresult(result), calls};
}
EXPORT void *fake_cuda_allocate(size_t bytes, int device) {
  CUdeviceptr memory = 0;
  std::lock_guard<std::recursive_mutex> lock(mutex);
  take(&memory, bytes, device);
  return reinterpret_cast<void *>(memory);
}
EXPORT void fake_cuda_free(void *memory) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  give(reinterpret_cast<CUdeviceptr>(memory));
}
/// For other fake libraries: work for a stream.
EXPORT CUresult fake_cuda_queue(CUstream stream, void (*work)(void *), void *argument) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  const CUcontext before = current;
  current = &devices[static_cast<size_t>(isDefault(stream) ? 0 : stream->device)].context;
  const CUresult result = queue(stream, [=] { work(argument); });
  current = before;
  return result;
}
/// Bytes in use on a device.
EXPORT size_t fake_cuda_used(int device) { return devices[static_cast<size_t>(device)].used; }

// ---- The driver
// ------------------------------------------------------------------------------------------------------

EXPORT CUresult cuInit(unsigned) {
  ENTER("cuInit")
  if (!isInitialized)
    parseDevices();
  isInitialized = true;
  return devices.empty() ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorName(CUresult error, const char **text) {
  static const std::map<int, const char *> names{{1, "CUDA_ERROR_INVALID_VALUE"},
                                                 {2, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                 {3, "CUDA_ERROR_NOT_INITIALIZED"},
                                                 {200, "CUDA_ERROR_INVALID_IMAGE"},
                                                 {201, "CUDA_ERROR_INVALID_CONTEXT"},
                                                 {400, "CUDA_ERROR_INVALID_HANDLE"},
                                                 {500, "CUDA_ERROR_NOT_FOUND"},
                                                 {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
                                                 {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
                                                 {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}};
  auto found = names.find(error);
  *text = found == names.end() ? nullptr : found->second;
  return *text ? CUDA_SUCCESS : invalidValue;
}
EXPORT CUresult cuGetErrorString(CUresult error, const char **text) {
  *text = error == CUDA_ERROR_ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "a fake error";
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetCount(int *count) {
  ENTER("cuDeviceGetCount")
  *count = static_cast<int>(devices.size());
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  ENTER("cuDeviceGet")
  *device = ordinal;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  ENTER("cuDeviceGetName")
  std::snprintf(name, static_cast<size_t>(length), "Fake %d", device);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) {
  ENTER("cuDeviceTotalMem")
  *bytes = memorySize;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  ENTER("cuDeviceGetAttribute")
  const Device &of = devices[static_cast<size_t>(device)];
  *value = attribute == deviceComputeMajor ? of.major : of.minor;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  ENTER("cuDevicePrimaryCtxRetain")
  log("cuDevicePrimaryCtxRetain device=%d", device);
  *context = &devices[static_cast<size_t>(device)].context;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxGetCurrent(CUcontext *context) {
  *context = current;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  current = context;
  log("cuCtxSetCurrent device=%d", context ? context->device : -1);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxSynchronize() {
  ENTER_CONTEXT("cuCtxSynchronize")
  log("cuCtxSynchronize device=%d", current->device);
  lock.unlock();
  drainAll();
  return CUDA_SUCCESS;
}

EXPORT CUresult cuLibraryLoadData(CUlibrary *library, const void *code, int *options, void **values, unsigned count,
                                  int *, void **, unsigned) {
  ENTER("cuLibraryLoadData")
  const char *text = static_cast<const char *>(code);
  const bool isPtx = !std::strncmp(text, "//", 2);
  if (!isPtx && std::strncmp(text, "fake cubin", 10)) {
    for (unsigned i = 0; i < count; ++i)
      if (options[i] == jitErrorLogBuffer)
        std::strcpy(static_cast<char *>(values[i]), "syntax error");
    return invalidImage;
  }
  *library = new CUlib_st{std::string(text, isPtx ? std::strlen(text) : std::strcspn(text, ";")), isPtx};
  log("cuLibraryLoadData %s", isPtx ? "ptx" : "cubin");
  return CUDA_SUCCESS;
}
EXPORT CUresult cuLibraryUnload(CUlibrary library) {
  ENTER("cuLibraryUnload")
  log("cuLibraryUnload");
  delete library;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name) {
  ENTER("cuLibraryGetKernel")
  if (library->text.find(name) == std::string::npos)
    return notFound;
  *kernel = &kernels[name];
  (*kernel)->name = name;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuKernelSetAttribute(int attribute, int value, CUkernel kernel, CUdevice device) {
  ENTER("cuKernelSetAttribute")
  kernel->attributes[{attribute, device}] = value;
  log("cuKernelSetAttribute %s %d=%d device=%d", kernel->name.c_str(), attribute, value, device);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuKernelGetFunction(CUfunction *function, CUkernel kernel) {
  ENTER_CONTEXT("cuKernelGetFunction")
  log("cuKernelGetFunction %s device=%d", kernel->name.c_str(), current->device);
  *function = new CUfunc_st{kernel, current->device};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **arguments, void **) {
  ENTER_CONTEXT("cuLaunchKernelEx")
  const char *name = function->kernel->name.c_str();
  unsigned cluster = 1;
  int programmatic = 0;
  for (unsigned i = 0; i < config->numAttributes; ++i) {
    const CUlaunchAttribute &attribute = config->attributes[i];
    if (attribute.id == launchClusterDimension)
      cluster = attribute.value.clusterDim[0];
    else if (attribute.id == launchProgrammaticSerialization)
      programmatic = attribute.value.programmaticStreamSerializationAllowed;
    else
      return invalidValue;
  }
  auto limit = function->kernel->attributes.find({functionMaxDynamicShared, current->device});
  if (cluster > 8 && !function->kernel->attributes.count({functionNonPortableCluster, current->device}))
    return invalidValue;
  const unsigned most = limit == function->kernel->attributes.end() ? 48 << 10 : static_cast<unsigned>(limit->second);
  if (function->device != current->device || config->gridDim[0] % cluster || config->sharedMemBytes > most ||
      config->gridDim[1] != 1 || config->gridDim[2] != 1 || config->blockDim[1] != 1 || config->blockDim[2] != 1)
    return invalidValue;
  const unsigned grid = config->gridDim[0], block = config->blockDim[0], shared = config->sharedMemBytes;
  log("cuLaunchKernelEx %s grid=%u block=%u cluster=%u shared=%u pdl=%d device=%d stream=%lx", name, grid, block,
      cluster, shared, programmatic, current->device, number(config->stream));
  microseconds += grid;
  auto body = bodies.find(name);
  if (body == bodies.end())
    return queue(config->stream, [] {});
  if (!captureOf(config->stream) && !isAsync) {
    if (CUresult result = checkStream(config->stream))
      return result;
    KernelBody run = body->second;
    lock.unlock(); // kernels in Python wait for its lock, which a thread that waits for ours may hold
    run(grid, block, shared, arguments);
    return CUDA_SUCCESS;
  }
  // A driver copies parameters by their sizes, which it knows: tests that capture use kernels of up to four words.
  std::vector<uint64_t> words;
  for (int i = 0; i < 4; ++i)
    words.push_back(*static_cast<uint64_t *>(arguments[i]));
  KernelBody run = body->second;
  return queue(config->stream, [=]() mutable {
    void *pointers[4];
    for (size_t i = 0; i < 4; ++i)
      pointers[i] = &words[i];
    run(grid, block, shared, pointers);
  });
}

EXPORT CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  ENTER_CONTEXT("cuMemGetInfo")
  *free = memorySize - devices[static_cast<size_t>(current->device)].used;
  *total = memorySize;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *memory, size_t bytes) {
  ENTER_CONTEXT("cuMemAlloc")
  log("cuMemAlloc %zu device=%d", bytes, current->device);
  return take(memory, bytes, current->device);
}
EXPORT CUresult cuMemFree_v2(CUdeviceptr memory) {
  ENTER_CONTEXT("cuMemFree")
  log("cuMemFree");
  return give(memory);
}
EXPORT CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *properties) {
  ENTER("cuMemPoolCreate")
  if (properties->allocType != 1 || properties->locationType != 1)
    return invalidValue;
  *pool = new CUmemPoolHandle_st{properties->locationId};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool, int attribute, void *value) {
  ENTER("cuMemPoolSetAttribute")
  return attribute == poolReleaseThreshold && *static_cast<uint64_t *>(value) == UINT64_MAX ? CUDA_SUCCESS
                                                                                            : invalidValue;
}
EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t) {
  ENTER("cuMemPoolTrimTo")
  log("cuMemPoolTrimTo device=%d", pool->device);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemAllocFromPoolAsync(CUdeviceptr *memory, size_t bytes, CUmemoryPool pool, CUstream stream) {
  ENTER_CONTEXT("cuMemAllocFromPoolAsync")
  if (CUresult result = checkStream(stream))
    return result;
  log("cuMemAllocFromPoolAsync %zu stream=%lx", bytes, number(stream));
  return take(memory, bytes, pool->device);
}
EXPORT CUresult cuMemFreeAsync(CUdeviceptr memory, CUstream stream) {
  ENTER_CONTEXT("cuMemFreeAsync")
  log("cuMemFreeAsync stream=%lx", number(stream));
  if (captureOf(stream)) // the graph's memory, as long as there is one
    return CUDA_SUCCESS;
  return queue(stream, [=] {
    std::lock_guard<std::recursive_mutex> owner(mutex);
    give(memory);
  });
}

EXPORT CUresult cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
  ENTER_CONTEXT("cuMemcpyAsync")
  log("cuMemcpyAsync %zu stream=%lx", bytes, number(stream));
  if (!isOnDevice(target, bytes, current->device))
    return invalidValue;
  return queue(stream, [=] { std::memcpy(reinterpret_cast<void *>(target), reinterpret_cast<void *>(source), bytes); });
}
EXPORT CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t bytes, CUstream stream) {
  ENTER_CONTEXT("cuMemcpyDtoHAsync")
  log("cuMemcpyDtoHAsync %zu stream=%lx", bytes, number(stream));
  if (!isOnDevice(source, bytes, current->device))
    return invalidValue;
  return queue(stream, [=] { std::memcpy(target, reinterpret_cast<void *>(source), bytes); });
}
template <class T> static CUresult fill(CUdeviceptr memory, T value, size_t count, CUstream stream) {
  if (!isOnDevice(memory, count * sizeof(T), current->device))
    return invalidValue;
  log("cuMemset %zu stream=%lx", count * sizeof(T), number(stream));
  return queue(stream, [=] { std::fill_n(reinterpret_cast<T *>(memory), count, value); });
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr memory, unsigned char value, size_t count, CUstream stream) {
  ENTER_CONTEXT("cuMemsetD8Async")
  return fill(memory, value, count, stream);
}
EXPORT CUresult cuMemsetD16Async(CUdeviceptr memory, unsigned short value, size_t count, CUstream stream) {
  ENTER_CONTEXT("cuMemsetD16Async")
  return fill(memory, value, count, stream);
}
EXPORT CUresult cuMemsetD32Async(CUdeviceptr memory, unsigned value, size_t count, CUstream stream) {
  ENTER_CONTEXT("cuMemsetD32Async")
  return fill(memory, value, count, stream);
}
EXPORT CUresult cuPointerGetAttribute(void *value, int attribute, CUdeviceptr pointer) {
  ENTER("cuPointerGetAttribute")
  for (const Device &device : devices)
    if (attribute == pointerDeviceOrdinal && isOnDevice(pointer, 0, device.context.device)) {
      *static_cast<int *>(value) = device.context.device;
      return CUDA_SUCCESS;
    }
  return invalidValue;
}

EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned) {
  ENTER_CONTEXT("cuStreamCreate")
  *stream = new CUstream_st{};
  (*stream)->device = current->device;
  streams.insert(*stream);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) {
  return cuStreamCreate(stream, flags);
}
EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
  ENTER("cuStreamDestroy")
  if (!streams.erase(stream))
    return invalidHandle;
  if (!isAsync) // its thread uses it to the end
    delete stream;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  ENTER_CONTEXT("cuStreamSynchronize")
  log("cuStreamSynchronize stream=%lx", number(stream));
  if (captureOf(stream))
    return captureUnsupported;
  if (CUresult result = checkStream(stream))
    return result;
  lock.unlock();
  workerOf(stream).drain();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
  ENTER("cuStreamWaitEvent")
  log("cuStreamWaitEvent stream=%lx", number(stream));
  if (!event || (captureOf(stream) && captureOf(stream) != event->graph))
    return captureIsolation;
  if (event->graph && !*event->isOpen) // it has not been recorded since that capture
    return invalidValue;
  if (event->graph) { // the stream joins the capture, or waits for one that did
    stream->graph = event->graph;
    event->stream->isUnjoined = false;
    return CUDA_SUCCESS;
  }
  if (!event->isDone)
    return CUDA_SUCCESS;
  post(stream, [isDone = event->isDone] {
    while (!*isDone)
      std::this_thread::yield();
  });
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamIsCapturing(CUstream stream, int *status) {
  ENTER("cuStreamIsCapturing")
  *status = captureOf(stream) != nullptr;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  ENTER("cuStreamBeginCapture")
  if (isDefault(stream) || stream->graph)
    return invalidValue;
  log("cuStreamBeginCapture mode=%d", mode);
  stream->graph = new CUgraph_st{{}, stream};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  ENTER("cuStreamEndCapture")
  log("cuStreamEndCapture");
  *graph = stream->graph;
  *(*graph)->isOpen = false;
  bool isUnjoined = false;
  for (CUstream joined : streams)
    if (joined->graph == *graph) {
      isUnjoined |= joined->isUnjoined;
      joined->graph = nullptr;
      joined->isUnjoined = false;
    }
  return isUnjoined ? captureUnjoined : CUDA_SUCCESS;
}
EXPORT CUresult cuThreadExchangeStreamCaptureMode(int *mode) {
  std::swap(*mode, captureMode);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventCreate(CUevent *event, unsigned) {
  ENTER_CONTEXT("cuEventCreate")
  *event = new CUevent_st{};
  (*event)->device = current->device;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
  ENTER_CONTEXT("cuEventRecord")
  log("cuEventRecord stream=%lx", number(stream));
  if (CUresult result = checkStream(stream))
    return result;
  event->microseconds = microseconds;
  event->stream = stream;
  event->graph = captureOf(stream);
  event->isOpen = event->graph ? event->graph->isOpen : nullptr;
  if (event->graph)
    return CUDA_SUCCESS;
  event->isDone = std::make_shared<std::atomic<bool>>(false);
  post(stream, [isDone = event->isDone] { *isDone = true; });
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventQuery(CUevent event) {
  ENTER("cuEventQuery")
  if (event->graph)
    return captureIsolation;
  return event->isDone && !*event->isDone ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent begin, CUevent end) {
  ENTER("cuEventElapsedTime")
  if (begin->microseconds < 0 || end->microseconds < 0)
    return invalidHandle;
  *milliseconds = static_cast<float>((end->microseconds - begin->microseconds) / 1e3);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventDestroy_v2(CUevent event) {
  ENTER("cuEventDestroy")
  delete event;
  return CUDA_SUCCESS;
}
/// The only work that does not run at once: it may wait for the thread that queued it.
EXPORT CUresult cuLaunchHostFunc(CUstream stream, void (*function)(void *), void *data) {
  ENTER_CONTEXT("cuLaunchHostFunc")
  log("cuLaunchHostFunc stream=%lx", number(stream));
  if (CUresult result = checkStream(stream))
    return result;
  std::thread(function, data).detach();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long) {
  ENTER("cuGraphInstantiateWithFlags")
  *executable = new CUgraphExec_st{graph->nodes};
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  ENTER_CONTEXT("cuGraphLaunch")
  log("cuGraphLaunch stream=%lx", number(stream));
  const auto nodes = executable->nodes;
  lock.unlock();
  for (const auto &node : nodes)
    post(stream, node);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphDestroy(CUgraph graph) {
  ENTER("cuGraphDestroy")
  delete graph;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphExecDestroy(CUgraphExec executable) {
  ENTER("cuGraphExecDestroy")
  delete executable;
  return CUDA_SUCCESS;
}
