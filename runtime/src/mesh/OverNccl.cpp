// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "OverNccl.h"

#include "Transfer.h"

#include <utility>

namespace tsr::mesh {

namespace {

ncclDataType_t typeOf(tsr_dtype dtype) {
  switch (dtype.code) {
  case TSR_FLOAT:
    return dtype.bits == 64 ? ncclFloat64 : dtype.bits == 32 ? ncclFloat32 : ncclFloat16;
  case TSR_BFLOAT:
    return ncclBfloat16;
  case TSR_INT:
    if (dtype.bits == 16)
      refuse(Code::communication, "NCCL does not reduce ", dtypeName(dtype));
    return dtype.bits == 64 ? ncclInt64 : dtype.bits == 32 ? ncclInt32 : ncclInt8;
  default:
    return ncclUint8;
  }
}

ncclRedOp_t opOf(Reduction reduction) {
  switch (reduction) {
  case Reduction::max:
    return ncclMax;
  case Reduction::min:
    return ncclMin;
  case Reduction::prod:
    return ncclProd;
  default:
    return ncclSum;
  }
}

/// One collective's calls of NCCL.
struct Queueing {
  Nccl &nccl;
  const Collective &collective;
  const Group &group;
  const uint8_t *source;
  uint8_t *target;
  size_t count, bytes; // of one rank's chunk
  cuda::CUstream stream;

  ncclResult_t queue() const {
    const NcclFunctions &call = nccl.call;
    const ncclComm_t comm = group.nccl;
    switch (collective.kind) {
    case Kind::allReduce:
      return call.allReduce(source, target, count, typeOf(collective.dtype), opOf(collective.reduction), comm, stream);
    case Kind::reduceScatter:
      return call.reduceScatter(source, target, count, typeOf(collective.dtype), opOf(collective.reduction), comm,
                                stream);
    case Kind::allGather:
      return call.allGather(source, target, bytes, ncclUint8, comm, stream);
    case Kind::broadcast:
      return call.broadcast(source, target, bytes, ncclUint8, collective.root, comm, stream);
    case Kind::allToAll:
      return allToAll();
    case Kind::shift:
      break;
    }
    return shift(shiftOf(collective, group));
  }

  ncclResult_t allToAll() const {
    ncclResult_t result = nccl.call.groupStart();
    for (size_t place = 0; place < group.size(); ++place) {
      const int peer = static_cast<int>(place);
      result = worse(result, nccl.call.send(source + place * bytes, bytes, ncclUint8, peer, group.nccl, stream));
      result = worse(result, nccl.call.recv(target + place * bytes, bytes, ncclUint8, peer, group.nccl, stream));
    }
    return worse(result, nccl.call.groupEnd());
  }

  ncclResult_t shift(Shift shift) const {
    const cuda::Functions &cuda = nccl.device.cuda;
    const auto pointer = [](const void *memory) { return reinterpret_cast<cuda::CUdeviceptr>(memory); };
    if (shift.from < 0)
      nccl.device.check(cuda.memsetD8Async(pointer(target), 0, bytes, stream), "clearing memory");
    ncclResult_t result = nccl.call.groupStart();
    if (shift.to >= 0)
      result = worse(result, nccl.call.send(source, bytes, ncclUint8, shift.to, group.nccl, stream));
    if (shift.from >= 0)
      result = worse(result, nccl.call.recv(target, bytes, ncclUint8, shift.from, group.nccl, stream));
    return worse(result, nccl.call.groupEnd());
  }

  /// The first failure counts.
  static ncclResult_t worse(ncclResult_t before, ncclResult_t now) { return before != ncclSuccess ? before : now; }
};

} // namespace

void OverNccl::prepare(Group &group, cuda::Device &device, Control &control) {
  Nccl &nccl = Nccl::get(device, control);
  if (!group.nccl)
    nccl.split(group);
}

void OverNccl::start(const Collective &collective, Group &group, const void *source, void *target, int64_t count,
                     cuda::Call &call, bool isAwaited) {
  if (count == 0) // on all ranks, as they agree on sizes
    return;
  Nccl &nccl = *Nccl::started();
  Watch &watch = *Watch::get();
  cuda::Device &device = nccl.device;
  const bool isCaptured = cuda::isCaptured(device, call.stream);
  const cuda::CUstream stream = isAwaited ? call.stream : isCaptured ? nccl.capturedStream : nccl.stream;
  const Step step{group.number, group.steps++, &group.members.ranks};
  if (!isCaptured)
    device.check(device.cuda.streamWaitEvent(stream, nccl.last, 0), "waiting for an event");
  flight = watch.take();
  isFlying = true;
  device.check(device.cuda.eventRecord(flight->ready, call.stream), "recording an event");
  if (!isAwaited)
    device.check(device.cuda.streamWaitEvent(stream, flight->ready, 0), "waiting for an event");
  const Queueing queueing{nccl,
                          collective,
                          group,
                          static_cast<const uint8_t *>(source),
                          static_cast<uint8_t *>(target),
                          static_cast<size_t>(count),
                          static_cast<size_t>(count * itemSize(collective.dtype)),
                          stream};
  watch.add(flight, collective.label, step, /*isReplay=*/false);
  const ncclResult_t result = nccl.queue([&] { return queueing.queue(); });
  if (result == ncclSuccess)
    device.check(device.cuda.eventRecord(flight->done, stream), "recording an event");
  watch.queued(flight, isCaptured);
  try {
    nccl.check(group.nccl, result, "NCCL");
  } catch (const Error &error) {
    if (error.code == Code::communication)
      blameEnded(nccl.control, group.members.ranks);
    throw;
  }
  if (!isCaptured)
    device.check(device.cuda.eventRecord(nccl.last, stream), "recording an event");
  if (isAwaited) {
    isFlying = false;
    watch.release(flight);
  }
}

void OverNccl::wait(cuda::Call &call) {
  if (!std::exchange(isFlying, false))
    return;
  const cuda::CUresult result = call.device.cuda.streamWaitEvent(call.stream, flight->done, 0);
  Watch::get()->release(flight);
  call.device.check(result, "waiting for an event");
}

void OverNccl::join(cuda::Call &call) noexcept {
  if (!std::exchange(isFlying, false))
    return;
  call.device.cuda.streamWaitEvent(call.stream, flight->done, 0);
  Watch::get()->release(flight);
}

} // namespace tsr::mesh
