// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the runtime uses of NCCL, declared here so that building needs no NCCL. Names and layouts are those of nccl.h
// (2.18 and newer), whose binary interface is stable.
#pragma once

#include "../cuda/CudaApi.h"

#include <climits>

namespace tsr::mesh {

using ncclComm_t = struct ncclComm *;

enum ncclResult_t : int { ncclSuccess = 0, ncclInProgress = 7 };
enum ncclDataType_t : int {
  ncclInt8 = 0,
  ncclUint8 = 1,
  ncclInt32 = 2,
  ncclInt64 = 4,
  ncclFloat16 = 6,
  ncclFloat32 = 7,
  ncclFloat64 = 8,
  ncclBfloat16 = 9
};
enum ncclRedOp_t : int { ncclSum = 0, ncclProd = 1, ncclMax = 2, ncclMin = 3 };

struct ncclUniqueId {
  char internal[128];
};

/// As it was in 2.18; `version` says so, and newer libraries fill in what came later.
struct ncclConfig_t {
  size_t size = sizeof(ncclConfig_t);
  unsigned magic = 0xcafebeef, version = 21800;
  int blocking = 0;
  int cgaClusterSize = INT_MIN, minCTAs = INT_MIN, maxCTAs = INT_MIN; // not chosen
  const char *netName = nullptr;
  int splitShare = INT_MIN;
};
static_assert(sizeof(ncclConfig_t) == 48);

/// X(member, exported symbol, parameters)
#define TSR_NCCL_FUNCTIONS(X)                                                                                          \
  X(getUniqueId, "ncclGetUniqueId", (ncclUniqueId * id))                                                               \
  X(commInit, "ncclCommInitRankConfig",                                                                                \
    (ncclComm_t * comm, int size, ncclUniqueId id, int rank, ncclConfig_t *config))                                    \
  X(commSplit, "ncclCommSplit", (ncclComm_t comm, int color, int key, ncclComm_t *result, ncclConfig_t *config))       \
  X(commGetAsyncError, "ncclCommGetAsyncError", (ncclComm_t comm, ncclResult_t * result))                              \
  X(commAbort, "ncclCommAbort", (ncclComm_t comm))                                                                     \
  X(groupStart, "ncclGroupStart", ())                                                                                  \
  X(groupEnd, "ncclGroupEnd", ())                                                                                      \
  X(allReduce, "ncclAllReduce",                                                                                        \
    (const void *source, void *target, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,             \
     cuda::CUstream stream))                                                                                           \
  X(reduceScatter, "ncclReduceScatter",                                                                                \
    (const void *source, void *target, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,             \
     cuda::CUstream stream))                                                                                           \
  X(allGather, "ncclAllGather",                                                                                        \
    (const void *source, void *target, size_t count, ncclDataType_t type, ncclComm_t comm, cuda::CUstream stream))     \
  X(broadcast, "ncclBroadcast",                                                                                        \
    (const void *source, void *target, size_t count, ncclDataType_t type, int root, ncclComm_t comm,                   \
     cuda::CUstream stream))                                                                                           \
  X(send, "ncclSend",                                                                                                  \
    (const void *source, size_t count, ncclDataType_t type, int to, ncclComm_t comm, cuda::CUstream stream))           \
  X(recv, "ncclRecv",                                                                                                  \
    (void *target, size_t count, ncclDataType_t type, int from, ncclComm_t comm, cuda::CUstream stream))

struct NcclFunctions {
#define TSR_NCCL_MEMBER(member, symbol, parameters) ncclResult_t(*member) parameters = nullptr;
  TSR_NCCL_FUNCTIONS(TSR_NCCL_MEMBER)
#undef TSR_NCCL_MEMBER
  const char *(*getErrorString)(ncclResult_t result) = nullptr;
  const char *(*getLastError)(ncclComm_t comm) = nullptr;
};

} // namespace tsr::mesh
