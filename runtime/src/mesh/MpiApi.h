// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the runtime uses of MPI 4, declared here so that building needs no MPI. Two binary interfaces have these
// prototypes: the MPI standard's (MPI 5.0, chapter 20), whose handles are pointers, and MPICH's own, whose handles are
// ints and go through the lower half of a register or of a word that is zero before. They differ in constants.
#pragma once

#include <cstdint>

namespace tsr::mesh {

using MpiHandle = uintptr_t;
using MpiCount = int64_t;

/// X(member, exported symbol, parameters)
#define TSR_MPI_FUNCTIONS(X)                                                                                           \
  X(initialized, "MPI_Initialized", (int *flag))                                                                       \
  X(finalized, "MPI_Finalized", (int *flag))                                                                           \
  X(initThread, "MPI_Init_thread", (int *argc, char ***argv, int required, int *provided))                             \
  X(queryThread, "MPI_Query_thread", (int *provided))                                                                  \
  X(finalize, "MPI_Finalize", ())                                                                                      \
  X(errorString, "MPI_Error_string", (int error, char *text, int *length))                                             \
  X(commRank, "MPI_Comm_rank", (MpiHandle comm, int *rank))                                                            \
  X(commSize, "MPI_Comm_size", (MpiHandle comm, int *size))                                                            \
  X(commDup, "MPI_Comm_dup", (MpiHandle comm, MpiHandle * result))                                                     \
  X(commSplit, "MPI_Comm_split", (MpiHandle comm, int color, int key, MpiHandle *result))                              \
  X(commSetErrhandler, "MPI_Comm_set_errhandler", (MpiHandle comm, MpiHandle handler))                                 \
  X(test, "MPI_Test", (MpiHandle * request, int *flag, void *status))                                                  \
  X(isend, "MPI_Isend_c",                                                                                              \
    (const void *source, MpiCount count, MpiHandle type, int to, int tag, MpiHandle comm, MpiHandle *request))         \
  X(irecv, "MPI_Irecv_c",                                                                                              \
    (void *target, MpiCount count, MpiHandle type, int from, int tag, MpiHandle comm, MpiHandle *request))             \
  X(iallreduce, "MPI_Iallreduce_c",                                                                                    \
    (const void *source, void *target, MpiCount count, MpiHandle type, MpiHandle op, MpiHandle comm,                   \
     MpiHandle *request))                                                                                              \
  X(ireduceScatter, "MPI_Ireduce_scatter_block_c",                                                                     \
    (const void *source, void *target, MpiCount count, MpiHandle type, MpiHandle op, MpiHandle comm,                   \
     MpiHandle *request))                                                                                              \
  X(iallgather, "MPI_Iallgather_c",                                                                                    \
    (const void *source, MpiCount count, MpiHandle type, void *target, MpiCount targetCount, MpiHandle targetType,     \
     MpiHandle comm, MpiHandle *request))                                                                              \
  X(ialltoall, "MPI_Ialltoall_c",                                                                                      \
    (const void *source, MpiCount count, MpiHandle type, void *target, MpiCount targetCount, MpiHandle targetType,     \
     MpiHandle comm, MpiHandle *request))                                                                              \
  X(ibcast, "MPI_Ibcast_c", (void *data, MpiCount count, MpiHandle type, int root, MpiHandle comm, MpiHandle *request))

struct MpiFunctions {
#define TSR_MPI_MEMBER(member, symbol, parameters) int(*member) parameters = nullptr;
  TSR_MPI_FUNCTIONS(TSR_MPI_MEMBER)
#undef TSR_MPI_MEMBER
};

struct MpiConstants {
  MpiHandle commWorld, errorsReturn;
  MpiHandle byte, int8, uint8, int32, int64, f32, f64;
  MpiHandle sum, max, min, prod;
  intptr_t inPlace, statusIgnore; // addresses
  int anySource, threadMultiple;
};

inline constexpr MpiConstants standardMpi = {0x101, 0x143, 0x247, 0x240, 0x241, 0x250, 0x258, 0x210, 0x214,
                                             0x21,  0x23,  0x22,  0x24,  1,     0,     -1,    4096};
inline constexpr MpiConstants mpich = {0x44000000, 0x54000001, 0x4c00010d, 0x4c000137, 0x4c00013b, 0x4c000439,
                                       0x4c00083a, 0x4c00040a, 0x4c00080b, 0x58000003, 0x58000001, 0x58000002,
                                       0x58000004, -1,         1,          -2,         3};

} // namespace tsr::mesh
