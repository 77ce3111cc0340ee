// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Arrays of frameworks that have no exchange API: __dlpack__ and, on GPUs, __cuda_array_interface__.
#include "Gpu.h"
#include "Torch.h"

#include <vector>

namespace tsr::python {

namespace {

constexpr const char *interfaceName = "__cuda_array_interface__";

struct NamedType {
  const char *name;
  tsr_dtype dtype;
};
constexpr NamedType namedTypes[] = {
    {"<f8", {TSR_FLOAT, 64, 1}}, {"<f4", {TSR_FLOAT, 32, 1}}, {"<f2", {TSR_FLOAT, 16, 1}}, {"|i1", {TSR_INT, 8, 1}},
    {"<i2", {TSR_INT, 16, 1}},   {"<i4", {TSR_INT, 32, 1}},   {"<i8", {TSR_INT, 64, 1}},   {"|b1", {TSR_BOOL, 8, 1}},
    {"|u1", {TSR_UINT, 8, 1}},   {"<u2", {TSR_UINT, 16, 1}},  {"<u4", {TSR_UINT, 32, 1}},  {"<u8", {TSR_UINT, 64, 1}}};

nb::tuple tupleOf(nb::handle object) {
  PyObject *result = PySequence_Tuple(object.ptr());
  if (!result)
    throw nb::python_error();
  return nb::steal<nb::tuple>(result);
}

void *pointer(nb::handle object) {
  void *result = PyLong_AsVoidPtr(object.ptr());
  if (!result && PyErr_Occurred())
    throw nb::python_error();
  return result;
}

/// A stream's number in both protocols, which have no 0: 1 is the legacy default stream, as it is for the driver.
nb::int_ streamNumber(void *stream) { return nb::int_(stream ? reinterpret_cast<uintptr_t>(stream) : uintptr_t(1)); }

/// The interface of an object, or nothing where it has none: frameworks' properties raise for host arrays.
nb::dict interfaceOf(nb::handle object) {
  nb::object found = nb::steal(PyObject_GetAttrString(object.ptr(), interfaceName));
  if (!found)
    PyErr_Clear();
  return found && PyDict_Check(found.ptr()) ? nb::borrow<nb::dict>(found) : nb::steal<nb::dict>(nullptr);
}

void *streamOfInterface(const nb::dict &interface) {
  nb::object stream = interface.contains("stream") ? nb::object(interface["stream"]) : nb::none();
  return stream.is_none() ? nullptr : pointer(stream);
}

/// Whether a type's interface names a stream: then it says all, and no event is needed. JAX's names none, and waits for
/// the array on the host: it is asked once. Types are few: kept for ever, searched in line.
bool prefersInterface(PyObject *object) {
  static std::vector<std::pair<PyTypeObject *, bool>> known;
  PyTypeObject *type = Py_TYPE(object);
  for (auto [seen, prefers] : known)
    if (seen == type)
      return prefers;
  nb::dict interface = interfaceOf(object);
  const bool prefers = interface.is_valid() && streamOfInterface(interface);
  Py_INCREF(type);
  known.emplace_back(type, prefers);
  return prefers;
}

/// False when the dtype has no name in it.
bool readInterface(PyObject *object, Argument &argument, Stream &stream) {
  nb::dict interface = interfaceOf(object);
  if (!interface.is_valid())
    return false;
  std::string name = nb::str(interface["typestr"]).c_str();
  const NamedType *row = namedTypes;
  while (row != std::end(namedTypes) && name != row->name)
    ++row;
  if (row == std::end(namedTypes))
    return false;
  if (interface.contains("mask") && !interface["mask"].is_none())
    throw Refusal{Code::not_an_array, "masked arrays have no counterpart in Tessera"};
  nb::tuple shape = tupleOf(interface["shape"]), data = tupleOf(interface["data"]);
  const size_t rank = nb::len(shape);
  const bool hasStrides = interface.contains("strides") && !interface["strides"].is_none();
  argument.strides.reset(new int64_t[2 * rank + 1]);
  int64_t *sizes = argument.strides.get(), *strides = hasStrides ? sizes + rank : nullptr;
  for (size_t i = 0; i < rank; ++i) {
    sizes[i] = integer(shape[i]);
    if (hasStrides) // in bytes
      strides[i] = integer(interface["strides"][i]) / (row->dtype.bits / 8);
  }
  void *memory = pointer(data[0]);
  tsr_device device{TSR_CUDA, 0};
  if (memory)
    check(tsr_device_of(memory, &device));
  argument.kind = Kind::other;
  argument.isReadOnly = PyObject_IsTrue(data[1].ptr()) != 0;
  argument.tensor = {memory, device, static_cast<int32_t>(rank), row->dtype, sizes, strides, 0};
  void *own = streamOfInterface(interface);
  void *chosen = stream.decide(own);
  if (own && own != chosen)
    check(tsr_stream_wait(device, chosen, own));
  return true;
}

/// kDLCUDAManaged: memory that the driver moves about. To kernels it is like the device's own.
constexpr int32_t managedMemory = 13;

void takeCapsule(PyObject *capsule, Argument &argument) {
  if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    auto *managed = (tsr_managed_tensor *)PyCapsule_GetPointer(capsule, "dltensor_versioned");
    argument.tensor = managed->tensor;
    argument.isReadOnly = managed->flags & 1;
  } else if (PyCapsule_IsValid(capsule, "dltensor")) {
    argument.tensor = *(tsr_tensor *)PyCapsule_GetPointer(capsule, "dltensor"); // DLManagedTensor starts with it
    argument.isReadOnly = true; // it cannot say, and jax hands out its immutable arrays this way; NumPy takes it so too
  } else {
    throw Refusal{Code::not_an_array, "its __dlpack__ gave no tensor"};
  }
  if (argument.tensor.device.type == managedMemory)
    argument.tensor.device.type = TSR_CUDA;
}

/// The capsule frees the tensor, as we never take it over.
void readDlpack(PyObject *object, Argument &argument, Stream &stream) {
  argument.kind = Kind::other;
  nb::handle handle(object);
  try {
    nb::object device = handle.attr("__dlpack_device__")();
    const int64_t type = integer(device[0]);
    nb::dict keywords;
    if (type == TSR_CUDA || type == managedMemory) {
      if (prefersInterface(object) && readInterface(object, argument, stream))
        return;
      keywords["stream"] = streamNumber(stream.decide());
    } else if (type != TSR_CPU && type != TSR_CUDA_HOST) {
      throw Refusal{Code::device, "expected an array in CPU memory or on a CUDA device"};
    }
    nb::object method = handle.attr("__dlpack__");
    keywords["max_version"] = nb::make_tuple(1, 0);
    try {
      argument.owner = method(**keywords);
    } catch (nb::python_error &error) {
      if (!error.matches(PyExc_TypeError)) // what came before DLPack 1.0 takes no such argument
        throw;
      nb::del(keywords["max_version"]);
      argument.owner = method(**keywords);
    }
  } catch (nb::python_error &error) {
    throw Refusal{Code::not_an_array, "its __dlpack__ failed: " + describe(error)};
  }
  takeCapsule(argument.owner.ptr(), argument);
}

/// A framework's module: the one that its class, or the method if that was added to it, is from.
nb::object moduleOf(nb::handle object) {
  nb::str name(nb::handle((PyObject *)Py_TYPE(object.ptr())).attr("__module__"));
  std::string root = name.c_str();
  return nb::steal(PyImport_GetModule(nb::str(root.substr(0, root.find('.')).c_str()).ptr()));
}

} // namespace

int64_t integer(nb::handle object) {
  const long long number = PyLong_AsLongLong(object.ptr());
  if (number == -1 && PyErr_Occurred())
    throw nb::python_error();
  return number;
}

const char *typeString(tsr_dtype dtype) {
  for (const NamedType &row : namedTypes)
    if (row.dtype.code == dtype.code && row.dtype.bits == dtype.bits)
      return row.name;
  return nullptr;
}

bool readProtocols(PyObject *object, Argument &argument, Stream &stream) {
  if (PyObject_HasAttrString(object, "__dlpack__")) {
    readDlpack(object, argument, stream);
    return true;
  }
  try {
    return PyObject_HasAttrString(object, interfaceName) && readInterface(object, argument, stream);
  } catch (nb::python_error &error) {
    throw Refusal{Code::not_an_array, std::string("its ") + interfaceName + " failed: " + describe(error)};
  }
}

// ---- Contiguous copies ----------------------------------------------------------------------------------------------

bool isContiguous(const tsr_tensor &tensor) {
  int64_t expected = 1;
  for (int32_t i = tensor.ndim - 1; i >= 0 && tensor.strides; --i) {
    if (tensor.shape[i] == 0)
      return true;
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) {
      for (int32_t j = 0; j < i; ++j)
        if (tensor.shape[j] == 0)
          return true;
      return false;
    }
    expected *= tensor.shape[i];
  }
  return true;
}

void makeContiguous(Argument &argument, Stream &stream) {
  // Other frameworks cannot be told that the copy is used on a stream of the caller's.
  if (argument.kind != Kind::exchange && stream.isGiven)
    throw Refusal{Code::device_layout, "expected a row-major contiguous array, as stream= is given"};
  nb::handle object(argument.object);
  nb::object copy;
  try {
    if (nb::hasattr(object, "contiguous"))
      copy = object.attr("contiguous")();
    else if (nb::object module = moduleOf(object); module && nb::hasattr(module, "ascontiguousarray"))
      copy = module.attr("ascontiguousarray")(object);
  } catch (nb::python_error &error) {
    throw Refusal{Code::device_layout, "a contiguous copy failed: " + describe(error)};
  }
  if (!copy)
    throw Refusal{Code::device_layout, "expected a row-major contiguous array; pass a contiguous copy"};
  PyObject *original = argument.object;
  Argument fresh;
  if (!readArray(copy.ptr(), fresh, stream) || !isContiguous(fresh.tensor))
    throw Refusal{Code::device_layout, "expected a row-major contiguous array; pass a contiguous copy"};
  argument = std::move(fresh);
  argument.object = original;
  argument.owner = nb::make_tuple(copy, argument.owner ? argument.owner : nb::none());
}

// ---- Results --------------------------------------------------------------------------------------------------------

static nb::object makeExchange(const Framework &framework, tsr_tensor &tensor) {
  if (nb::object own = framework.torch ? framework.torch->makeEmpty(framework, tensor) : nb::object())
    return own;
  struct Failure {
    std::string text;
    static void set(void *self, const char *, const char *message) { static_cast<Failure *>(self)->text = message; }
  } failure;
  tsr_managed_tensor *managed = nullptr;
  if (framework.api->allocate(&tensor, &managed, &failure, Failure::set) != 0) {
    if (failure.text.empty() && PyErr_Occurred())
      throw nb::python_error();
    raise(Code::out_of_memory, "no memory for a result of " + std::to_string(byteSize(tensor)) + " bytes on GPU " +
                                   std::to_string(tensor.device.id) + ": " +
                                   failure.text.substr(0, failure.text.find('\n')));
  }
  tensor.data = managed->tensor.data;
  tensor.byte_offset = managed->tensor.byte_offset;
  void *object = nullptr;
  if (framework.api->managedToObject(managed, &object) != 0)
    throw nb::python_error();
  return nb::steal((PyObject *)object);
}

/// Of a framework whose arrays have a stream and may be written to: `empty`, on its current stream, like its own
/// results.
static nb::object makeByEmpty(const Argument &like, tsr_tensor &tensor) {
  const char *name = typeString(tensor.dtype);
  nb::object module = name && prefersInterface(like.object) ? moduleOf(like.object) : nb::object();
  if (!module || !nb::hasattr(module, "empty"))
    return {};
  nb::list shape;
  for (int32_t i = 0; i < tensor.ndim; ++i)
    shape.append(tensor.shape[i]);
  nb::object array = module.attr("empty")(nb::tuple(shape), nb::arg("dtype") = name);
  Argument written;
  Stream same;
  if (!readInterface(array.ptr(), written, same))
    return {};
  tensor.data = written.tensor.data;
  return array;
}

nb::object makeGpuArray(const Argument *like, tsr_device device, const Stream &stream, tsr_dtype dtype, int32_t rank,
                        int64_t *shape, tsr_tensor &tensor) {
  tensor = {nullptr, device, rank, dtype, shape, nullptr, 0};
  if (like && like->kind == Kind::exchange)
    return makeExchange(*like->framework, tensor);
  if (like)
    if (nb::object array = makeByEmpty(*like, tensor))
      return array;
  auto memory = std::make_shared<DeviceMemory>(device, byteSize(tensor), stream.handle);
  tensor.data = memory->data;
  return nb::cast(DeviceArray{std::move(memory), dtype, {shape, shape + rank}});
}

nb::object finishGpuArray(const Argument *like, nb::object array) {
  if (!like || !nb::isinstance<DeviceArray>(array))
    return array;
  nb::handle object(like->object);
  nb::object from; // the array API's functions, wherever the framework keeps them
  if (nb::hasattr(object, "__array_namespace__"))
    from = object.attr("__array_namespace__")();
  else
    from = moduleOf(object);
  return from && nb::hasattr(from, "from_dlpack") ? from.attr("from_dlpack")(array) : array;
}

} // namespace tsr::python
