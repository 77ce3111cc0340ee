// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Gpu.h"

#include "Graph.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

using namespace nanobind::literals;

namespace tsr::python {

void *Framework::currentStream(tsr_device device) const {
  void *stream = nullptr;
  if (api->currentStream && api->currentStream(device.type, device.id, &stream) != 0)
    throw nb::python_error();
  return stream;
}

void *streamHandle(PyObject *object) {
  nb::handle stream(object);
  nb::object number;
  if (PyLong_Check(object) && !PyBool_Check(object))
    number = nb::borrow(object);
  else if (nb::hasattr(stream, "__cuda_stream__")) // a method in the protocol, a property before it was settled
    number = (PyCallable_Check(stream.attr("__cuda_stream__").ptr()) ? nb::object(stream.attr("__cuda_stream__")())
                                                                     : nb::object(stream.attr("__cuda_stream__")))[1];
  else if (nb::hasattr(stream, "cuda_stream"))
    number = stream.attr("cuda_stream");
  else if (nb::hasattr(stream, "ptr"))
    number = stream.attr("ptr");
  uint64_t handle = number && PyLong_Check(number.ptr()) ? PyLong_AsUnsignedLongLong(number.ptr()) : UINT64_MAX;
  PyErr_Clear();
  if (handle == UINT64_MAX) // also what a negative number gives
    raise(Code::stream, std::string("stream=: expected a CUDA stream (its handle as an integer, or an object with "
                                    "__cuda_stream__, cuda_stream or ptr), got ") +
                            nb::repr(stream).c_str());
  return reinterpret_cast<void *>(handle);
}

// ---- DeviceArray ----------------------------------------------------------------------------------------------------

namespace {

/// A DLPack tensor of either version, and the memory that it keeps.
template <class Managed> struct Export {
  Managed managed;
  std::shared_ptr<DeviceMemory> memory;
  std::vector<int64_t> shape, strides;

  explicit Export(const DeviceArray &array)
      : managed{}, memory(array.memory), shape(array.shape), strides(shape.size()) {
    fillStrides(shape.data(), shape.size(), strides.data());
    managed.tensor = {
        memory->data, memory->device, static_cast<int32_t>(shape.size()), array.dtype, shape.data(), strides.data(), 0};
    managed.manager_ctx = this;
    managed.deleter = [](Managed *self) { delete static_cast<Export *>(self->manager_ctx); };
  }
};

/// DLManagedTensor, from before DLPack 1.0.
struct OldManagedTensor {
  tsr_tensor tensor;
  void *manager_ctx;
  void (*deleter)(OldManagedTensor *self);
};

template <class Managed> nb::object capsule(const DeviceArray &array, const char *name, Managed *&managed) {
  auto *exported = new Export<Managed>(array);
  managed = &exported->managed;
  PyObject *result = PyCapsule_New(managed, name, [](PyObject *self) {
    const char *now = PyCapsule_GetName(self); // renamed by who takes it over
    if (std::string_view(now).substr(0, 5) != "used_") {
      auto *tensor = static_cast<Managed *>(PyCapsule_GetPointer(self, now));
      tensor->deleter(tensor);
    }
  });
  if (!result) {
    delete exported;
    throw nb::python_error();
  }
  return nb::steal(result);
}

nb::object toDlpack(const DeviceArray &array, nb::object stream, nb::object maxVersion, nb::object, nb::object copy) {
  if (PyObject_IsTrue(copy.ptr()) == 1)
    throw nb::buffer_error("a DeviceArray is exported without a copy only");
  const DeviceMemory &memory = *array.memory;
  const int64_t number = stream.is_none() ? 1 : integer(stream); // no number: the legacy default stream
  if (number != -1 && number != static_cast<int64_t>(reinterpret_cast<intptr_t>(memory.stream)) &&
      !(number == 1 && !memory.stream))
    check(tsr_stream_wait(memory.device, reinterpret_cast<void *>(number), memory.stream));
  if (maxVersion.is_none() || integer(maxVersion[0]) < 1) {
    OldManagedTensor *managed;
    return capsule(array, "dltensor", managed);
  }
  tsr_managed_tensor *managed;
  nb::object result = capsule(array, "dltensor_versioned", managed);
  managed->version = {1, 0};
  return result;
}

nb::dict toInterface(const DeviceArray &array) {
  const char *name = typeString(array.dtype);
  if (!name)
    throw nb::attribute_error("__cuda_array_interface__ has no name for this dtype: use DLPack");
  const DeviceMemory &memory = *array.memory;
  nb::dict result;
  nb::list shape;
  for (int64_t size : array.shape)
    shape.append(size);
  result["shape"] = nb::tuple(shape);
  result["typestr"] = name;
  result["data"] = nb::make_tuple(reinterpret_cast<uintptr_t>(memory.data), false);
  result["stream"] = memory.stream ? reinterpret_cast<uintptr_t>(memory.stream) : uintptr_t(1);
  result["version"] = 3;
  return result;
}

int64_t byteSize(const DeviceArray &array) {
  int64_t bytes = (array.dtype.bits + 7) / 8;
  for (int64_t size : array.shape)
    bytes *= size;
  return bytes;
}

DeviceArray toGpu(nb::object array, int32_t device) {
  Argument argument;
  Stream stream;
  if (!readArray(array.ptr(), argument, stream) || argument.kind == Kind::scalar ||
      argument.tensor.device.type != TSR_CPU || !isContiguous(argument.tensor))
    raise(Code::not_an_array,
          std::string("expected a contiguous array in CPU memory, got ") + Py_TYPE(array.ptr())->tp_name);
  const tsr_tensor &tensor = argument.tensor;
  DeviceArray result{nullptr, tensor.dtype, {tensor.shape, tensor.shape + tensor.ndim}};
  const int64_t bytes = byteSize(result);
  result.memory = std::make_shared<DeviceMemory>(tsr_device{TSR_CUDA, device}, bytes, nullptr);
  check(tsr_device_write(result.memory->device, result.memory->data,
                         static_cast<char *>(tensor.data) + tensor.byte_offset, bytes, nullptr));
  return result;
}

nb::object toNumpy(const DeviceArray &array) {
  tsr_tensor tensor;
  auto *shape = const_cast<int64_t *>(array.shape.data());
  nb::object result =
      makeArray(Kind::numpy, nullptr, array.dtype, static_cast<int32_t>(array.shape.size()), shape, tensor);
  const DeviceMemory &memory = *array.memory;
  check(tsr_device_read(memory.device, tensor.data, memory.data, byteSize(array), memory.stream));
  return finishArray(Kind::numpy, std::move(result));
}

void replay(const Graph &graph, nb::object stream) {
  void *handle = !stream.is_none() ? streamHandle(stream.ptr())
                 : graph.framework ? graph.framework->currentStream(graph.device)
                                   : nullptr;
  check(tsr_graph_launch(graph.handle.get(), handle));
}

std::vector<std::tuple<std::string, std::string, int64_t>> cudaDevices() {
  std::vector<std::tuple<std::string, std::string, int64_t>> result;
  for (int32_t i = 0; i < tsr_gpu_count(); ++i) {
    tsr_gpu_info info{sizeof info, nullptr, nullptr, 0};
    check(tsr_gpu(i, &info));
    result.emplace_back(info.name, info.target, info.memory);
  }
  return result;
}

} // namespace

void bindGpu(nb::module_ &module) {
  nb::class_<DeviceArray>(module, "DeviceArray",
                          "An array on a GPU, for frameworks to take over: ``from_dlpack``.\n\nCalls return it where no"
                          " argument says which framework's arrays are wanted.")
      .def_prop_ro(
          "shape", [](const DeviceArray &self) { return nb::tuple(nb::cast(self.shape)); },
          nb::sig("def shape(self) -> tuple[int, ...]"), "Its sizes.")
      .def("numpy", &toNumpy, nb::sig("def numpy(self) -> typing.Any"),
           "A copy in CPU memory, of what the array holds when the work on it so far is done.")
      .def("__dlpack__", &toDlpack, nb::kw_only(), "stream"_a = nb::none(), "max_version"_a = nb::none(),
           "dl_device"_a = nb::none(), "copy"_a = nb::none(),
           nb::sig("def __dlpack__(self, *, stream: int | None = None, max_version: tuple[int, int] | None = None, "
                   "dl_device: tuple[int, int] | None = None, copy: bool | None = None) -> typing.Any"),
           "The array as a DLPack capsule; work on ``stream`` waits for what computes it.")
      .def(
          "__dlpack_device__",
          [](const DeviceArray &self) { return nb::make_tuple(self.memory->device.type, self.memory->device.id); },
          nb::sig("def __dlpack_device__(self) -> tuple[int, int]"), "DLPack's device type and number.")
      .def_prop_ro("__cuda_array_interface__", &toInterface,
                   nb::sig("def __cuda_array_interface__(self) -> dict[str, typing.Any]"),
                   "CUDA Array Interface, version 3.");

  nb::class_<Graph>(module, "Graph", "A call captured in a CUDA graph.")
      .def("replay", &replay, "stream"_a = nb::none(), nb::sig("def replay(self, stream: typing.Any = None) -> None"),
           "Run it again on the same arrays: on ``stream``, or the current one of the framework that they are from.")
      .def_prop_ro(
          "outputs", [](const Graph &self) { return self.outputs; }, nb::sig("def outputs(self) -> typing.Any"),
          "What the call returned: a replay writes to it.");

  module.def("to_gpu", &toGpu, "array"_a, "device"_a = 0,
             nb::sig("def to_gpu(array: typing.Any, device: int = 0) -> DeviceArray"),
             "A copy of a contiguous array in a GPU's memory.");
  module.def(
      "cuda_devices", &cudaDevices,
      "The GPUs of this machine: name, best target (``\"sm_90a\"``) and bytes of memory. Empty without a driver.");
}

} // namespace tsr::python
