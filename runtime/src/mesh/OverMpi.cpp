// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "OverMpi.h"

#include "Transfer.h"

#include <cstring>

namespace tsr::mesh {

namespace {

MpiHandle typeOf(const Mpi &mpi, tsr_dtype dtype) {
  const MpiConstants &constants = *mpi.constants;
  switch (dtype.code) {
  case TSR_FLOAT:
    return dtype.bits == 64 ? constants.f64 : dtype.bits == 32 ? constants.f32 : 0;
  case TSR_INT:
    return dtype.bits == 64   ? constants.int64
           : dtype.bits == 32 ? constants.int32
           : dtype.bits == 8  ? constants.int8
                              : 0;
  case TSR_BOOL:
    return constants.uint8;
  default:
    return 0;
  }
}

MpiHandle opOf(const Mpi &mpi, Reduction reduction) {
  switch (reduction) {
  case Reduction::max:
    return mpi.constants->max;
  case Reduction::min:
    return mpi.constants->min;
  case Reduction::prod:
    return mpi.constants->prod;
  default:
    return mpi.constants->sum;
  }
}

} // namespace

void OverMpi::prepare(Group &group) {
  if (!group.mpi)
    group.mpi = Mpi::get().split(group.color, static_cast<int>(group.members.place));
}

void OverMpi::start(const Collective &collective, Group &group, const void *source, void *target, int64_t elements) {
  const Mpi &mpi = *Mpi::started();
  const bool reduces = collective.reduction != Reduction::none;
  const MpiHandle type = reduces ? typeOf(mpi, collective.dtype) : mpi.constants->byte,
                  op = opOf(mpi, collective.reduction);
  if (!type)
    refuse(Code::communication, "MPI does not reduce ", dtypeName(collective.dtype));
  const int64_t bytes = elements * itemSize(collective.dtype);
  step = group.steps++;
  count = 1;
  switch (collective.kind) {
  case Kind::allReduce:
    return mpi.check(
        mpi.call.iallreduce(source == target ? mpi.inPlace() : source, target, elements, type, op, group.mpi, requests),
        "MPI_Iallreduce");
  case Kind::reduceScatter:
    return mpi.check(mpi.call.ireduceScatter(source, target, elements, type, op, group.mpi, requests),
                     "MPI_Ireduce_scatter_block");
  case Kind::allGather:
    return mpi.check(mpi.call.iallgather(source, bytes, type, target, bytes, type, group.mpi, requests),
                     "MPI_Iallgather");
  case Kind::allToAll:
    return mpi.check(mpi.call.ialltoall(source, bytes, type, target, bytes, type, group.mpi, requests),
                     "MPI_Ialltoall");
  case Kind::broadcast:
    if (group.members.place == static_cast<size_t>(collective.root) && source != target && bytes > 0)
      std::memcpy(target, source, static_cast<size_t>(bytes));
    return mpi.check(mpi.call.ibcast(target, bytes, type, collective.root, group.mpi, requests), "MPI_Ibcast");
  case Kind::shift:
    break;
  }
  const Shift shift = shiftOf(collective, group);
  count = 0;
  if (shift.from >= 0)
    mpi.check(mpi.call.irecv(target, bytes, type, shift.from, 0, group.mpi, &requests[count++]), "MPI_Irecv");
  else if (bytes > 0)
    std::memset(target, 0, static_cast<size_t>(bytes));
  if (shift.to >= 0)
    mpi.check(mpi.call.isend(source, bytes, type, shift.to, 0, group.mpi, &requests[count++]), "MPI_Isend");
}

void OverMpi::wait(const Group &group) {
  const Mpi &mpi = *Mpi::started();
  Waiting waiting(&mpi.control(), {group.number, step, &group.members.ranks});
  for (; count > 0; --count)
    while (!mpi.isDone(requests[count - 1]))
      waiting.pause();
}

} // namespace tsr::mesh
