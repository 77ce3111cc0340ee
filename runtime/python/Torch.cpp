// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Torch.h"

#include "../src/Inline.h"

namespace tsr::python {

namespace {

constexpr struct {
  tsr_dtype dtype;
  const char *name;
} torchTypes[] = {{{TSR_FLOAT, 64, 1}, "float64"},
                  {{TSR_FLOAT, 32, 1}, "float32"},
                  {{TSR_FLOAT, 16, 1}, "float16"},
                  {{TSR_BFLOAT, 16, 1}, "bfloat16"},
                  {{TSR_FLOAT8_E4M3FN, 8, 1}, "float8_e4m3fn"},
                  {{TSR_FLOAT8_E5M2, 8, 1}, "float8_e5m2"},
                  {{TSR_INT, 8, 1}, "int8"},
                  {{TSR_INT, 16, 1}, "int16"},
                  {{TSR_INT, 32, 1}, "int32"},
                  {{TSR_INT, 64, 1}, "int64"},
                  {{TSR_UINT, 8, 1}, "uint8"},
                  {{TSR_BOOL, 8, 1}, "bool"}};

/// Null where there is no such attribute.
nb::object attribute(nb::handle object, const char *name) {
  nb::object found = nb::steal(PyObject_GetAttrString(object.ptr(), name));
  PyErr_Clear();
  return found;
}

nb::object makeTuple(const int64_t *sizes, size_t rank) {
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(rank)));
  for (size_t i = 0; i < rank; ++i)
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), PyLong_FromLongLong(sizes[i]));
  return tuple;
}

} // namespace

const Torch *Torch::find(PyTypeObject *type) {
  PyObject *bases = type->tp_mro; // a user's subclass is from the user's module
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(bases); ++i) {
    std::string name = nb::str(nb::handle(PyTuple_GET_ITEM(bases, i)).attr("__module__")).c_str();
    nb::object root = nb::steal(PyImport_GetModule(nb::str(name.substr(0, name.find('.')).c_str()).ptr()));
    PyErr_Clear();
    if (root && nb::hasattr(root, "cuda") && nb::hasattr(root.attr("cuda"), "ExternalStream"))
      return new Torch(root);
  }
  return nullptr;
}

Torch::Torch(nb::handle module) : cuda(module.attr("cuda")), empty(attribute(module, "empty_strided")) {
  static_assert(numTypes == std::size(torchTypes));
  for (size_t i = 0; i < numTypes; ++i)
    dtypes[i] = attribute(module, torchTypes[i].name);
  // What the code of torch.compile calls, in half the time: on the current device alone.
  emptyHere = nb::borrow(module);
  for (const char *name : {"_C", "_dynamo", "guards", "_empty_strided_cuda"})
    emptyHere = emptyHere ? attribute(emptyHere, name) : nb::object();
}

PyObject *Torch::dtypeOf(tsr_dtype dtype) const {
  for (size_t i = 0; i < numTypes; ++i)
    if (torchTypes[i].dtype.code == dtype.code && torchTypes[i].dtype.bits == dtype.bits)
      return dtypes[i].ptr();
  return nullptr;
}

nb::object Torch::makeEmpty(const Framework &framework, tsr_tensor &tensor) const {
  static PyObject *const keywords = nb::make_tuple("dtype", "device").release().ptr();
  PyObject *dtype = dtypeOf(tensor.dtype);
  if (!empty || !dtype || !framework.api->tensorFromObject)
    return {};
  const size_t rank = static_cast<size_t>(tensor.ndim);
  Inline<int64_t, 8> steps(rank);
  fillStrides(tensor.shape, rank, steps.data());
  nb::object shape = makeTuple(tensor.shape, rank), strides = makeTuple(steps.data(), rank), result, device;
  PyObject *arguments[] = {shape.ptr(), strides.ptr(), dtype, nullptr};
  auto lies = [&] { // whether it is there, and where that is
    tsr_tensor made;
    if (!result || framework.api->tensorFromObject(result.ptr(), &made) != 0)
      throw nb::python_error();
    tensor.data = made.data;
    tensor.byte_offset = made.byte_offset;
    return made.device.id == tensor.device.id;
  };
  try {
    if (emptyHere) {
      result = nb::steal(PyObject_Vectorcall(emptyHere.ptr(), arguments, 3, nullptr));
      if (lies())
        return result;
    }
    device = nb::str(("cuda:" + std::to_string(tensor.device.id)).c_str());
    arguments[3] = device.ptr();
    result = nb::steal(PyObject_Vectorcall(empty.ptr(), arguments, 2, keywords));
    lies();
  } catch (nb::python_error &error) {
    raise(Code::out_of_memory, "no memory for a result of " + std::to_string(byteSize(tensor)) + " bytes on GPU " +
                                   std::to_string(tensor.device.id) + ": " + describe(error));
  }
  return result;
}

// ---- StreamScope ----------------------------------------------------------------------------------------------------

void StreamScope::enter(const Framework &framework, tsr_device device, void *stream) {
  if (framework.currentStream(device) == stream)
    return;
  const nb::object &cuda = framework.torch->cuda;
  nb::object entered = cuda.attr("stream")(
      cuda.attr("ExternalStream")(reinterpret_cast<uintptr_t>(stream), nb::arg("device") = device.id));
  entered.attr("__enter__")();
  context = std::move(entered);
}

StreamScope::~StreamScope() {
  if (!context)
    return;
  nb::error_scope keep; // a call that fails has its exception set already
  nb::object result = nb::steal(PyObject_CallMethod(context.ptr(), "__exit__", "OOO", Py_None, Py_None, Py_None));
  if (!result)
    PyErr_Clear();
}

} // namespace tsr::python
