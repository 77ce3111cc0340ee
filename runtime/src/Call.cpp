// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One call: check, gather buffers, run. Everything that can be refused is refused before the code starts.
#include "CallScope.h"
#include "Inline.h"
#include "Memory.h"
#include "Nvtx.h"
#include "Program.h"
#include "Watch.h"

#include <chrono>

using namespace tsr;

namespace {

constexpr size_t usualTensors = 24, usualSymbols = 16;

std::string plural(size_t count, const char *noun) { return text(count, " ", noun, count == 1 ? "" : "s"); }

std::string argumentNames(const Signature &signature) {
  std::string names;
  for (int32_t index : signature.arguments)
    names += (names.empty() ? "" : ", ") + signature.inputs[static_cast<size_t>(index)].name;
  return names.empty() ? names : " (" + names + ")";
}

} // namespace

tsr_device tsr_entry::deviceOf(const tsr_tensor *const *inputs, int32_t numInputs, const tsr_tensor *const *outputs,
                               int32_t numOutputs) const {
  bool anyArray = false; // numbers may come as host arrays of rank 0 to any device
  for (int32_t i = 0; i < numInputs; ++i) {
    if (inputs[i]->device.type == TSR_CUDA)
      return inputs[i]->device;
    anyArray |= inputs[i]->ndim > 0;
  }
  if (anyArray)
    return {TSR_CPU, 0};
  if (numOutputs > 0 && outputs[0]->device.type == TSR_CUDA)
    return outputs[0]->device;
  return holdsCpu ? tsr_device{TSR_CPU, 0} : tsr_device{TSR_CUDA, 0};
}

bool tsr_entry::suits(tsr_device device, const tsr_tensor *const *arguments, Error *why) const {
  const bool onGpu = device.type == TSR_CUDA;
  if (!onGpu && holdsCpu)
    return true;
  if (onGpu && holdsGpu) {
    if (holdsCodeFor(device.id))
      return lieOnGpu(device.id, arguments, why);
    if (why)
      *why = noCodeFor(*cuda::devices()[static_cast<size_t>(device.id)]);
    return false;
  }
  if (!why)
    return false;
  size_t index = 0; // the argument that says where the call is to run
  while (index + 1 < signature.arguments.size() &&
         (onGpu ? arguments[index]->device.type != TSR_CUDA : arguments[index]->ndim == 0))
    ++index;
  const Value &input = signature.inputs[static_cast<size_t>(signature.arguments[index])];
  *why = {Code::device, text(signature.describe(input), ": expected an array ", onGpu ? "in CPU memory" : "on a GPU",
                             ", got one ", deviceText(arguments[index]->device), ": the code is for ", heldTargets(),
                             onGpu ? "; move it to the CPU, or compile for the GPU too"
                                   : "; move it to the GPU, or compile for 'cpu' too",
                             signature.where(input.source))};
  return false;
}

bool tsr_entry::lieOnGpu(int32_t id, const tsr_tensor *const *arguments, Error *why) const {
  const Value *first = nullptr; // the one that lies there
  for (size_t i = 0; i < signature.arguments.size(); ++i) {
    const Value &input = signature.inputs[static_cast<size_t>(signature.arguments[i])];
    if (isOnGpu(*arguments[i], id))
      first = first ? first : &input;
    else if (!isOnHost(*arguments[i]) || arguments[i]->ndim > 0) {
      for (size_t j = i; why && !first; ++j)
        if (isOnGpu(*arguments[j], id))
          first = &signature.inputs[static_cast<size_t>(signature.arguments[j])];
      if (why)
        *why = {Code::mixed_devices,
                text(signature.describe(input), ": expected an array on GPU ", id, ", as ", signature.describe(*first),
                     ", got one ", deviceText(arguments[i]->device), signature.where(input.source))};
      return false;
    }
  }
  return true;
}

bool tsr_entry::bind(const tsr_tensor *const *arguments, int32_t count, int64_t *symbols, Error *why) {
  if (static_cast<size_t>(count) != signature.arguments.size()) {
    if (why)
      *why = {Code::argument_count, text(signature.entry, " takes ", plural(signature.arguments.size(), "array"),
                                         argumentNames(signature), ": got ", count)};
    return false;
  }
  const tsr_device device = deviceOf(arguments, count);
  if (!suits(device, arguments, why))
    return false;
  const bool onGpu = device.type == TSR_CUDA;
  if (!signature.hasWeights())
    return signature.bind(arguments, onGpu, symbols, why);
  Inline<const tsr_tensor *, usualTensors> tensors(signature.inputs.size());
  std::shared_lock<std::shared_mutex> lock(program.weightsMutex);
  size_t next = 0;
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    const Value &input = signature.inputs[i];
    if (!input.isWeight) {
      tensors[i] = arguments[next++];
      continue;
    }
    const Weight &weight = program.weights[static_cast<size_t>(input.weightIndex)];
    if (!weight.isSet()) {
      if (why)
        *why = {Code::weight_unset,
                text("weight '", input.name, "' has no value: set it before the call", signature.where(input.source))};
      return false;
    }
    tensors[i] = &weight.tensor();
  }
  return signature.bind(tensors.data(), onGpu, symbols, why);
}

void tsr_entry::checkOutputs(const tsr_call_args &args, tsr_device device, const int64_t *symbols) const {
  if (static_cast<size_t>(args.num_outputs) != signature.outputs.size())
    refuse(Code::output_count, signature.entry, " returns ", plural(signature.outputs.size(), "array"), ": got ",
           args.num_outputs, " to write to");
  for (size_t i = 0; i < signature.outputs.size(); ++i) {
    const Value &value = signature.outputs[i];
    const tsr_tensor &out = *args.outputs[i];
    const int32_t rank = static_cast<int32_t>(value.shape.size());
    const std::string &none = value.source;
    int64_t shape[TSR_MAX_RANK], bytes;
    Error error;
    if (!signature.outputShape(i, symbols, shape, &error))
      throw error;
    if (device.type == TSR_CUDA ? !isOnGpu(out, device.id) : !isOnHost(out))
      refuse(Code::device, "output ", i, ": expected an array ", deviceText(device), ", got one ",
             deviceText(out.device), signature.where(none));
    if (out.dtype != value.dtype)
      refuse(Code::output_dtype, "output ", i, ": expected dtype ", dtypeName(value.dtype), ", got ",
             dtypeName(out.dtype), signature.where(none));
    if (out.ndim != rank || !std::equal(shape, shape + rank, out.shape))
      refuse(Code::output_shape, "output ", i, ": expected shape ", shapeText(shape, rank), ", got ",
             shapeText(out.shape, out.ndim), signature.where(none));
    if (!byteSize(shape, rank, itemSize(value.dtype), bytes))
      refuse(Code::size_overflow, "output ", i, ": shape ", shapeText(shape, rank), " is too large",
             signature.where(none));
    if (bytes != 0 && !out.data)
      refuse(Code::null_data, "output ", i, ": data is null", signature.where(none));
    if (!isContiguous(out) || !isAligned(out))
      refuse(Code::output_layout, "output ", i,
             ": expected a row-major contiguous array, aligned to its element size; write to one and copy it",
             signature.where(none));
  }
}

/// What is changed in place is the caller's own memory, and no other argument's.
void tsr_entry::checkAliases(const tsr_call_args &args) const {
  for (size_t i = 0; i < signature.outputs.size() && static_cast<int32_t>(i) < args.num_outputs; ++i) {
    const int32_t alias = signature.outputs[i].alias;
    if (alias < 0)
      continue;
    const tsr_tensor &donated = *args.inputs[alias];
    const Value &input = signature.inputs[static_cast<size_t>(signature.arguments[static_cast<size_t>(alias)])];
    if (address(*args.outputs[i]) != address(donated))
      refuse(Code::output_overlap, "output ", i, " is ", signature.describe(input),
             ", changed in place: expected the same array", signature.where(input.source));
    if (!isContiguous(donated) || !isAligned(donated))
      refuse(Code::output_layout, signature.describe(input),
             ": expected a row-major contiguous array, aligned to its element size, as it is changed in place",
             signature.where(input.source));
    for (int32_t j = 0; j < args.num_inputs; ++j)
      if (j != alias && extentOf(donated).overlaps(extentOf(*args.inputs[j])))
        refuse(Code::output_overlap, signature.describe(input), " shares memory with argument ", j,
               ": expected an array of its own, as it is changed in place", signature.where(input.source));
  }
}

/// Kernels may read an input after they wrote an output: only a donated input may be the very array written to.
void tsr_entry::checkOverlap(const tsr_call_args &args) const {
  for (int32_t i = 0; i < args.num_outputs; ++i) {
    const Extent out = extentOf(*args.outputs[i]);
    for (int32_t j = 0; j < args.num_inputs; ++j) {
      const Extent in = extentOf(*args.inputs[j]);
      if (!out.overlaps(in))
        continue;
      const Value &input = signature.inputs[static_cast<size_t>(signature.arguments[static_cast<size_t>(j)])];
      if (!input.isDonated || out.begin != in.begin || out.end != in.end)
        refuse(Code::output_overlap, "output ", i, " shares memory with ", signature.describe(input),
               ": expected an array of its own", signature.where(input.source));
    }
    for (int32_t j = 0; j < i; ++j)
      if (out.overlaps(extentOf(*args.outputs[j])))
        refuse(Code::output_overlap, "output ", i, " shares memory with output ", j, ": expected an array of its own",
               signature.where(""));
  }
}

/// Weights can be replaced between bind and here; with weightsMutex held they cannot.
void tsr_entry::checkWeights(const tsr_call_args &args, const int64_t *symbols) const {
  for (const Value &input : signature.inputs) {
    if (!input.isWeight)
      continue;
    const tsr_tensor &tensor = program.weights[static_cast<size_t>(input.weightIndex)].tensor();
    for (size_t i = 0; i < input.shape.size(); ++i) {
      int64_t size;
      if (input.staticShape[i] == TSR_DYNAMIC &&
          (!input.shape[i].size.evaluate(symbols, size) || size != tensor.shape[i]))
        refuse(Code::symbol_conflict, "weight '", input.name, "' got another shape while it was called",
               signature.where(input.source));
    }
    for (int32_t i = 0; i < args.num_outputs; ++i)
      if (extentOf(*args.outputs[i]).overlaps(extentOf(tensor)))
        refuse(Code::output_overlap, "output ", i, " shares memory with ", signature.describe(input),
               ": expected an array of its own", signature.where(input.source));
  }
}

int64_t EntryCode::workspaceSize(const Signature &signature, const int64_t *symbols) const {
  int64_t bytes = workspace ? workspace(symbols) : 0;
  if (bytes < 0)
    refuse(Code::size_overflow, signature.entry, ": the workspace for these sizes does not fit 64 bits");
  return bytes;
}

void EntryCode::run(CallScope &scope, const Signature &signature, void *const *buffers, const int64_t *symbols,
                    void *space) const {
  int32_t status;
  {
    CallScope::Enter enter(&scope);
    status = code(buffers, symbols, space);
  }
  if (scope.failed())
    throw Error{static_cast<Code>(scope.code()), scope.text() + signature.where("")};
  if (status != 0)
    refuse(Code::kernel, "compiled code returned ", status, signature.where(""));
}

void tsr_entry::require(const tsr_tensor *const *arguments, int32_t count, int64_t *symbols) {
  Error error;
  if (bind(arguments, count, symbols, &error))
    return;
  if (mesh)
    mesh->stumble();
  throw error;
}

void tsr_entry::call(const tsr_call_args &args, cuda::Keepers *keepers) {
  nvtx::Range range(signature.entry.c_str());
  const tsr_device device = deviceOf(args.inputs, args.num_inputs, args.outputs, args.num_outputs);
  if (args.stream && device.type != TSR_CUDA)
    refuse(Code::stream, signature.entry, " runs on the CPU: expected no stream");
  Inline<int64_t, usualSymbols> own(args.symbols ? 0 : signature.symbols.size());
  if (!args.symbols)
    require(args.inputs, args.num_inputs, own.data());
  try {
    checkAndRun(args, device, args.symbols ? args.symbols : own.data(), keepers);
  } catch (...) {
    if (mesh)
      mesh->stumble();
    throw;
  }
}

void tsr_entry::checkAndRun(const tsr_call_args &args, tsr_device device, const int64_t *symbols,
                            cuda::Keepers *keepers) {
  const EntryCode &code = codeFor(device);
  checkAliases(args);
  checkOutputs(args, device, symbols);
  checkOverlap(args);
  const bool onGpu = device.type == TSR_CUDA;
  std::optional<mesh::Call> collectives;
  if (mesh)
    collectives.emplace(*mesh, symbols, signature.symbols.size(), onGpu ? &code.resident->device : nullptr);
  mesh::Call *const meshCall = collectives ? &*collectives : nullptr;
  if (onGpu)
    runOnGpu(code, args, symbols, keepers, meshCall);
  else
    runOnCpu(code, args, symbols, meshCall);
}

void tsr_entry::runOnCpu(const EntryCode &code, const tsr_call_args &args, const int64_t *symbols,
                         mesh::Call *meshCall) {
  const size_t numInputs = signature.inputs.size(), numOutputs = signature.outputs.size();
  Inline<void *, usualTensors> buffers(numInputs + numOutputs);
  std::vector<Scratch> copies;
  std::shared_lock<std::shared_mutex> lock(program.weightsMutex, std::defer_lock);
  if (signature.hasWeights()) {
    lock.lock();
    checkWeights(args, symbols);
  }
  size_t next = 0;
  for (size_t i = 0; i < numInputs; ++i) {
    const Value &input = signature.inputs[i];
    const tsr_tensor &tensor =
        input.isWeight ? program.weights[static_cast<size_t>(input.weightIndex)].tensor() : *args.inputs[next++];
    buffers[i] = address(tensor);
    if (isContiguous(tensor) && isAligned(tensor))
      continue;
    int64_t bytes = 0;
    byteSize(tensor.shape, tensor.ndim, itemSize(tensor.dtype), bytes);
    copies.push_back(requireScratch(bytes, "a contiguous copy of an argument"));
    copyContiguous(tensor, copies.back().get());
    buffers[i] = copies.back().get();
  }
  for (size_t i = 0; i < numOutputs; ++i)
    buffers[numInputs + i] = address(*args.outputs[i]);
  invokeOnCpu(code, args, buffers.data(), symbols, meshCall);
}

void tsr_entry::invokeOnCpu(const EntryCode &code, const tsr_call_args &args, void *const *buffers,
                            const int64_t *symbols, mesh::Call *meshCall) {
  struct Workspace { // from the caller's allocator, when there is one
    const tsr_allocator *allocator;
    void *stream, *memory = nullptr;
    int64_t bytes;
    Scratch own;
    ~Workspace() {
      if (memory && allocator)
        allocator->release(allocator->context, memory, bytes, {TSR_CPU, 0}, stream);
    }
  } space{args.allocator, args.stream, nullptr, code.workspaceSize(signature, symbols), nullptr};
  if (space.bytes > 0 && space.allocator) {
    space.memory = space.allocator->allocate(space.allocator->context, space.bytes, 64, {TSR_CPU, 0}, args.stream);
    if (!space.memory)
      refuse(Code::out_of_memory, "the allocator gave no workspace of ", space.bytes, " bytes");
    if (reinterpret_cast<uintptr_t>(space.memory) % 64)
      refuse(Code::output_layout, "the allocator gave a workspace that is not aligned to 64 bytes");
  } else if (space.bytes > 0) {
    space.own = requireScratch(space.bytes, "a workspace");
  }

  const tsr_observer *observer = observerOf(args);
  std::optional<Watch> watch;
  if (!code.variant->values.empty())
    watch.emplace(*code.variant, observer);
  CallScope scope(nullptr, meshCall, watch ? &*watch : nullptr);
  const bool isTimed = observer && observer->on_kernel && !watch; // which tells the times of kernels
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = isTimed ? Clock::now() : Clock::time_point();
  code.run(scope, signature, buffers, symbols, space.allocator ? space.memory : space.own.get());
  if (isTimed)
    observer->on_kernel(observer->context, signature.entry.c_str(),
                        std::chrono::duration<double, std::micro>(Clock::now() - start).count());
}
