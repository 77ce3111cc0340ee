// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the runtime uses of the CUDA driver API, declared here so that building needs no CUDA toolkit. Names and layouts
// are those of cuda.h (CUDA 12.0 and newer), whose binary interface is stable.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tsr::cuda {

using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st *;
using CUstream = struct CUstream_st *;
using CUevent = struct CUevent_st *;
using CUlibrary = struct CUlib_st *;
using CUkernel = struct CUkern_st *;
using CUfunction = struct CUfunc_st *;
using CUgraph = struct CUgraph_st *;
using CUgraphExec = struct CUgraphExec_st *;
using CUmemoryPool = struct CUmemPoolHandle_st *;

enum CUresult : int {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_ECC_UNCORRECTABLE = 214,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_TIMEOUT = 702,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_ASSERT = 710,
  CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
  CUDA_ERROR_ILLEGAL_INSTRUCTION = 715,
  CUDA_ERROR_MISALIGNED_ADDRESS = 716,
  CUDA_ERROR_INVALID_ADDRESS_SPACE = 717,
  CUDA_ERROR_INVALID_PC = 718,
  CUDA_ERROR_LAUNCH_FAILED = 719
};

// Constants that a call passes as plain numbers.
inline constexpr int deviceComputeMajor = 75, deviceComputeMinor = 76; // CUdevice_attribute
inline constexpr int functionMaxDynamicShared = 8, functionNonPortableCluster = 14;
inline constexpr int poolReleaseThreshold = 4;
inline constexpr int pointerDeviceOrdinal = 9;
inline constexpr int jitErrorLogBuffer = 5, jitErrorLogBufferSize = 6;
inline constexpr unsigned streamNonBlocking = 1, eventDefault = 0, eventDisableTiming = 2;
inline constexpr int captureRelaxed = 2; // CUstreamCaptureMode
inline constexpr int captureNone = 0;    // CUstreamCaptureStatus
inline constexpr int launchClusterDimension = 4, launchProgrammaticSerialization = 6;

struct CUlaunchAttribute {
  int id;
  char pad[4];
  union {
    char whole[64];
    unsigned clusterDim[3];
    int programmaticStreamSerializationAllowed;
  } value;
};
static_assert(sizeof(CUlaunchAttribute) == 72);

struct CUlaunchConfig {
  unsigned gridDim[3], blockDim[3], sharedMemBytes;
  CUstream stream;
  CUlaunchAttribute *attributes;
  unsigned numAttributes;
};
static_assert(sizeof(CUlaunchConfig) == 56);

struct CUmemPoolProps {
  int allocType = 1;   // pinned: the only one
  int handleTypes = 0; // not to be shared with other processes
  int locationType = 1, locationId;
  void *win32SecurityAttributes = nullptr;
  size_t maxSize = 0;
  unsigned short usage = 0;
  unsigned char reserved[54] = {};
};
static_assert(sizeof(CUmemPoolProps) == 88);

/// X(member, exported symbol, parameters): every function that is opened, under the version that has these parameters.
#define TSR_CUDA_FUNCTIONS(X)                                                                                          \
  X(init, "cuInit", (unsigned flags))                                                                                  \
  X(getErrorName, "cuGetErrorName", (CUresult error, const char **text))                                               \
  X(getErrorString, "cuGetErrorString", (CUresult error, const char **text))                                           \
  X(deviceGetCount, "cuDeviceGetCount", (int *count))                                                                  \
  X(deviceGet, "cuDeviceGet", (CUdevice * device, int ordinal))                                                        \
  X(deviceGetName, "cuDeviceGetName", (char *name, int length, CUdevice device))                                       \
  X(deviceTotalMem, "cuDeviceTotalMem_v2", (size_t *bytes, CUdevice device))                                           \
  X(deviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, CUdevice device))                          \
  X(primaryContextRetain, "cuDevicePrimaryCtxRetain", (CUcontext * context, CUdevice device))                          \
  X(contextGetCurrent, "cuCtxGetCurrent", (CUcontext * context))                                                       \
  X(contextSetCurrent, "cuCtxSetCurrent", (CUcontext context))                                                         \
  X(contextSynchronize, "cuCtxSynchronize", ())                                                                        \
  X(libraryLoadData, "cuLibraryLoadData",                                                                              \
    (CUlibrary * library, const void *code, int *jitOptions, void **jitValues, unsigned numJitOptions,                 \
     int *libraryOptions, void **libraryValues, unsigned numLibraryOptions))                                           \
  X(libraryUnload, "cuLibraryUnload", (CUlibrary library))                                                             \
  X(libraryGetKernel, "cuLibraryGetKernel", (CUkernel * kernel, CUlibrary library, const char *name))                  \
  X(kernelSetAttribute, "cuKernelSetAttribute", (int attribute, int value, CUkernel kernel, CUdevice device))          \
  X(kernelGetFunction, "cuKernelGetFunction", (CUfunction * function, CUkernel kernel))                                \
  X(launchKernel, "cuLaunchKernelEx",                                                                                  \
    (const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra))                              \
  X(memGetInfo, "cuMemGetInfo_v2", (size_t *free, size_t *total))                                                      \
  X(memAlloc, "cuMemAlloc_v2", (CUdeviceptr * memory, size_t bytes))                                                   \
  X(memFree, "cuMemFree_v2", (CUdeviceptr memory))                                                                     \
  X(memPoolCreate, "cuMemPoolCreate", (CUmemoryPool * pool, const CUmemPoolProps *properties))                         \
  X(memPoolSetAttribute, "cuMemPoolSetAttribute", (CUmemoryPool pool, int attribute, void *value))                     \
  X(memPoolTrimTo, "cuMemPoolTrimTo", (CUmemoryPool pool, size_t bytesToKeep))                                         \
  X(memAllocFromPoolAsync, "cuMemAllocFromPoolAsync",                                                                  \
    (CUdeviceptr * memory, size_t bytes, CUmemoryPool pool, CUstream stream))                                          \
  X(memFreeAsync, "cuMemFreeAsync", (CUdeviceptr memory, CUstream stream))                                             \
  X(memcpyAsync, "cuMemcpyAsync", (CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream))             \
  X(memcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void *target, CUdeviceptr source, size_t bytes, CUstream stream))        \
  X(memsetD8Async, "cuMemsetD8Async", (CUdeviceptr memory, unsigned char value, size_t count, CUstream stream))        \
  X(memsetD16Async, "cuMemsetD16Async", (CUdeviceptr memory, unsigned short value, size_t count, CUstream stream))     \
  X(memsetD32Async, "cuMemsetD32Async", (CUdeviceptr memory, unsigned value, size_t count, CUstream stream))           \
  X(pointerGetAttribute, "cuPointerGetAttribute", (void *value, int attribute, CUdeviceptr pointer))                   \
  X(streamCreate, "cuStreamCreate", (CUstream * stream, unsigned flags))                                               \
  X(streamCreateWithPriority, "cuStreamCreateWithPriority", (CUstream * stream, unsigned flags, int priority))         \
  X(streamDestroy, "cuStreamDestroy_v2", (CUstream stream))                                                            \
  X(streamSynchronize, "cuStreamSynchronize", (CUstream stream))                                                       \
  X(streamWaitEvent, "cuStreamWaitEvent", (CUstream stream, CUevent event, unsigned flags))                            \
  X(streamIsCapturing, "cuStreamIsCapturing", (CUstream stream, int *status))                                          \
  X(streamBeginCapture, "cuStreamBeginCapture_v2", (CUstream stream, int mode))                                        \
  X(streamEndCapture, "cuStreamEndCapture", (CUstream stream, CUgraph * graph))                                        \
  X(threadExchangeCaptureMode, "cuThreadExchangeStreamCaptureMode", (int *mode))                                       \
  X(eventCreate, "cuEventCreate", (CUevent * event, unsigned flags))                                                   \
  X(eventRecord, "cuEventRecord", (CUevent event, CUstream stream))                                                    \
  X(eventQuery, "cuEventQuery", (CUevent event))                                                                       \
  X(eventElapsedTime, "cuEventElapsedTime", (float *milliseconds, CUevent begin, CUevent end))                         \
  X(eventDestroy, "cuEventDestroy_v2", (CUevent event))                                                                \
  X(launchHostFunc, "cuLaunchHostFunc", (CUstream stream, void (*function)(void *), void *data))                       \
  X(graphInstantiate, "cuGraphInstantiateWithFlags",                                                                   \
    (CUgraphExec * executable, CUgraph graph, unsigned long long flags))                                               \
  X(graphLaunch, "cuGraphLaunch", (CUgraphExec executable, CUstream stream))                                           \
  X(graphDestroy, "cuGraphDestroy", (CUgraph graph))                                                                   \
  X(graphExecDestroy, "cuGraphExecDestroy", (CUgraphExec executable))

struct Functions {
#define TSR_CUDA_MEMBER(member, symbol, parameters) CUresult(*member) parameters = nullptr;
  TSR_CUDA_FUNCTIONS(TSR_CUDA_MEMBER)
#undef TSR_CUDA_MEMBER
};

} // namespace tsr::cuda
