// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Arrays.h"

#include "Torch.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_1_23_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace tsr::python {

static_assert(sizeof(npy_intp) == sizeof(int64_t));

// ---- dtypes
// -----------------------------------------------------------------------------------------------------------

namespace {

/// The dtypes that NumPy does not have itself.
struct MlDtype {
  const char *name;
  tsr_dtype dtype;
  PyArray_Descr *descr; // null until ml_dtypes is imported
};
MlDtype mlDtypes[] = {{"bfloat16", {TSR_BFLOAT, 16, 1}, nullptr},
                      {"float8_e4m3fn", {TSR_FLOAT8_E4M3FN, 8, 1}, nullptr},
                      {"float8_e5m2", {TSR_FLOAT8_E5M2, 8, 1}, nullptr}};

void findMlDtypes() {
  if (mlDtypes[0].descr)
    return;
  nb::object module = nb::module_::import_("ml_dtypes");
  for (MlDtype &row : mlDtypes)
    if (!PyArray_DescrConverter(nb::object(module.attr(row.name)).ptr(), &row.descr))
      throw nb::python_error();
}

bool same(tsr_dtype a, tsr_dtype b) { return a.code == b.code && a.bits == b.bits; }

/// Code 0 with 0 bits for a dtype that has no counterpart.
tsr_dtype dtypeOf(PyArrayObject *array) {
  switch (PyArray_TYPE(array)) {
  case NPY_DOUBLE:
    return {TSR_FLOAT, 64, 1};
  case NPY_FLOAT:
    return {TSR_FLOAT, 32, 1};
  case NPY_HALF:
    return {TSR_FLOAT, 16, 1};
  case NPY_BYTE:
    return {TSR_INT, 8, 1};
  case NPY_SHORT:
    return {TSR_INT, 16, 1};
  case NPY_INT:
    return {TSR_INT, 32, 1};
  case NPY_LONG:
  case NPY_LONGLONG:
    return {TSR_INT, 64, 1};
  case NPY_BOOL:
    return {TSR_BOOL, 8, 1};
  case NPY_UBYTE:
    return {TSR_UINT, 8, 1};
  case NPY_USHORT:
    return {TSR_UINT, 16, 1};
  case NPY_UINT:
    return {TSR_UINT, 32, 1};
  case NPY_ULONG:
  case NPY_ULONGLONG:
    return {TSR_UINT, 64, 1};
  case NPY_CFLOAT:
    return {5, 64, 1};
  case NPY_CDOUBLE:
    return {5, 128, 1};
  }
  if (PyTypeNum_ISUSERDEF(PyArray_TYPE(array))) {
    findMlDtypes(); // the array's dtype shows that it is imported already
    for (const MlDtype &row : mlDtypes)
      if (row.descr->type_num == PyArray_TYPE(array))
        return row.dtype;
  }
  return {0, 0, 1};
}

/// A new reference.
PyArray_Descr *descrOf(tsr_dtype dtype) {
  static const struct {
    tsr_dtype dtype;
    int number;
  } own[] = {{{TSR_FLOAT, 64, 1}, NPY_DOUBLE}, {{TSR_FLOAT, 32, 1}, NPY_FLOAT}, {{TSR_FLOAT, 16, 1}, NPY_HALF},
             {{TSR_INT, 8, 1}, NPY_INT8},      {{TSR_INT, 16, 1}, NPY_INT16},   {{TSR_INT, 32, 1}, NPY_INT32},
             {{TSR_INT, 64, 1}, NPY_INT64},    {{TSR_BOOL, 8, 1}, NPY_BOOL}};
  for (const auto &row : own)
    if (same(row.dtype, dtype))
      return PyArray_DescrFromType(row.number);
  findMlDtypes();
  for (const MlDtype &row : mlDtypes)
    if (same(row.dtype, dtype)) {
      Py_INCREF(row.descr);
      return row.descr;
    }
  raise(Code::internal, "a result has a dtype that NumPy lacks");
}

std::string typeName(PyObject *object) { return Py_TYPE(object)->tp_name; }

std::string stringOf(nb::handle object) { return nb::str(object).c_str(); }

/// The same of the pending exception, which is cleared.
std::string takeError() {
  nb::python_error error;
  return describe(error);
}

} // namespace

std::string describe(nb::python_error &error) {
  std::string message = stringOf(error.value());
  return stringOf(error.type().attr("__name__")) + ": " + message.substr(0, message.find('\n'));
}

void initialiseArrays() {
  if (_import_array() < 0)
    throw nb::python_error();
}

int64_t byteSize(const tsr_tensor &tensor) {
  int64_t bytes = tensor.dtype.bits / 8;
  for (int32_t i = 0; i < tensor.ndim; ++i)
    bytes *= tensor.shape[i];
  return bytes;
}

void fillStrides(const int64_t *shape, size_t rank, int64_t *strides) {
  int64_t stride = 1;
  for (size_t i = rank; i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i] > 0 ? shape[i] : 1;
  }
}

// ---- Reading
// ----------------------------------------------------------------------------------------------------------

static void readNumpy(PyArrayObject *array, Argument &argument) {
  if (!PyArray_ISNOTSWAPPED(array))
    throw Refusal{Code::byte_order, "expected the machine's byte order, got dtype '" +
                                        stringOf(nb::handle((PyObject *)PyArray_DESCR(array)).attr("str")) + "'"};
  tsr_dtype dtype = dtypeOf(array);
  if (dtype.bits == 0)
    throw Refusal{Code::dtype,
                  "NumPy dtype '" + stringOf((PyObject *)PyArray_DESCR(array)) + "' has no counterpart in Tessera"};
  const int rank = PyArray_NDIM(array);
  argument.tensor = {PyArray_DATA(array), {TSR_CPU, 0}, rank, dtype, (int64_t *)PyArray_DIMS(array), nullptr, 0};
  argument.isReadOnly = !PyArray_ISWRITEABLE(array);
  if (PyArray_IS_C_CONTIGUOUS(array))
    return;
  // Strides count bytes here and elements in DLPack. Views of structured arrays can have strides between: copy those.
  const npy_intp *strides = PyArray_STRIDES(array);
  argument.strides.reset(new int64_t[static_cast<size_t>(rank)]);
  for (int i = 0; i < rank; ++i) {
    if (strides[i] % PyArray_ITEMSIZE(array) != 0) {
      argument.owner = nb::steal(PyArray_NewCopy(array, NPY_CORDER));
      if (!argument.owner)
        throw nb::python_error();
      argument.tensor.data = PyArray_DATA((PyArrayObject *)argument.owner.ptr());
      return;
    }
    argument.strides[static_cast<size_t>(i)] = strides[i] / PyArray_ITEMSIZE(array);
  }
  argument.tensor.strides = argument.strides.get();
}

/// Types that have the exchange API. They are few: kept for ever, searched in line.
static std::vector<std::unique_ptr<Framework>> knownFrameworks;

static const Framework *knownFramework(PyTypeObject *type) {
  for (const auto &framework : knownFrameworks)
    if (framework->type == type)
      return framework.get();
  return nullptr;
}

/// What there is to know of a type that is not known yet; null if it has no exchange API.
static const Framework *findFramework(PyTypeObject *type) {
  nb::object capsule = nb::steal(PyObject_GetAttrString((PyObject *)type, exchangeAttribute));
  auto *api = capsule ? (const DLPackExchangeApi *)PyCapsule_GetPointer(capsule.ptr(), exchangeCapsule) : nullptr;
  if (!api)
    PyErr_Clear();
  while (api && api->major > 1)
    api = api->previous;
  if (!api || api->major != 1)
    return nullptr;
  PyObject *isNegated = PyObject_GetAttrString((PyObject *)type, "is_neg");
  if (!isNegated)
    PyErr_Clear();
  bool tracksGradients = PyObject_HasAttrString((PyObject *)type, "requires_grad");
  Py_INCREF(type);
  knownFrameworks.emplace_back(new Framework{type, api, isNegated, tracksGradients, Torch::find(type)});
  return knownFrameworks.back().get();
}

static bool isTrue(PyObject *value) { // steals
  nb::object owned = nb::steal(value);
  int truth = owned ? PyObject_IsTrue(owned.ptr()) : -1;
  if (truth < 0)
    throw nb::python_error();
  return truth;
}

static void refuseLazyTensor(PyObject *object, const Framework &framework) {
  static PyObject *const requiresGrad = PyUnicode_InternFromString("requires_grad");
  if (framework.isNegated && isTrue(PyObject_CallOneArg(framework.isNegated, object)))
    throw Refusal{Code::lazy_tensor, "the tensor's memory holds negated values; pass x.resolve_neg()"};
  if (framework.tracksGradients && isTrue(PyObject_GetAttr(object, requiresGrad)) &&
      isTrue(nb::module_::import_("torch").attr("is_grad_enabled")().release().ptr()))
    throw Refusal{Code::lazy_tensor, "the tensor requires grad, which compiled functions don't propagate; pass "
                                     "x.detach() or call within torch.no_grad()"};
}

static void readExchange(PyObject *object, const Framework &framework, Argument &argument) {
  argument.kind = Kind::exchange;
  argument.framework = &framework;
  if (framework.api->tensorFromObject) {
    if (framework.api->tensorFromObject(object, &argument.tensor) != 0)
      throw Refusal{Code::lazy_tensor, "the tensor has no plain memory: " + takeError()};
  } else {
    tsr_managed_tensor *managed;
    if (framework.api->managedFromObject(object, &managed) != 0)
      throw Refusal{Code::lazy_tensor, "the tensor has no plain memory: " + takeError()};
    argument.owner = nb::capsule(managed, [](void *pointer) noexcept {
      auto *tensor = static_cast<tsr_managed_tensor *>(pointer);
      tensor->deleter(tensor);
    });
    argument.tensor = managed->tensor;
    argument.isReadOnly = managed->flags & 1;
  }
  refuseLazyTensor(object, framework);
}

/// The class tessera.Array, or null while nobody has imported it: then no object is one.
static PyTypeObject *tesseraArrayType() {
  static PyTypeObject *type = nullptr; // kept for ever
  if (type)
    return type;
  static PyObject *const name = PyUnicode_InternFromString("tessera.array");
  nb::object module = nb::steal(PyImport_GetModule(name));
  if (module)
    type = (PyTypeObject *)PyObject_GetAttrString(module.ptr(), "Array");
  PyErr_Clear(); // half imported
  return type;
}

/// It holds a NumPy array, which says more than its DLPack: ml_dtypes and read-only arrays have none.
static void readTessera(PyObject *object, Argument &argument) {
  static PyObject *const method = PyUnicode_InternFromString("numpy");
  argument.owner = nb::steal(PyObject_CallMethodNoArgs(object, method));
  if (!argument.owner)
    throw nb::python_error();
  if (!PyArray_Check(argument.owner.ptr()))
    throw Refusal{Code::not_an_array, "expected an array with values, got " + typeName(object)};
  argument.kind = Kind::tessera;
  readNumpy((PyArrayObject *)argument.owner.ptr(), argument);
}

bool readArray(PyObject *object, Argument &argument, Stream &stream) {
  argument.object = object;
  if (const Framework *framework = knownFramework(Py_TYPE(object))) {
    readExchange(object, *framework, argument);
    return true;
  }
  if (PyArray_Check(object)) {
    if (!PyArray_CheckExact(object) && PyObject_HasAttrString(object, "mask"))
      throw Refusal{Code::not_an_array, "masked arrays have no counterpart in Tessera; pass x.filled(value)"};
    readNumpy((PyArrayObject *)object, argument);
    return true;
  }
  // What is never an array comes first: a dispatcher meets trees of arguments and leaves them to Python.
  if (object == Py_None || PyTuple_Check(object) || PyList_Check(object) || PyDict_Check(object))
    return false;
  if (PyFloat_Check(object) || PyLong_Check(object) || PyArray_IsScalar(object, Generic)) {
    argument.kind = Kind::scalar;
    return true;
  }
  if (PyTypeObject *type = tesseraArrayType(); type && PyObject_TypeCheck(object, type)) {
    readTessera(object, argument);
    return true;
  }
  if (const Framework *framework = findFramework(Py_TYPE(object))) {
    readExchange(object, *framework, argument);
    return true;
  }
  return readProtocols(object, argument, stream);
}

void readScalar(Argument &argument, tsr_dtype dtype) {
  PyObject *value = argument.object;
  bool isBool = PyBool_Check(value) || PyArray_IsScalar(value, Bool);
  bool isInteger = !isBool && (PyLong_Check(value) || PyArray_IsScalar(value, Integer));
  bool isReal = isInteger || PyFloat_Check(value) || PyArray_IsScalar(value, Floating);
  if (!isBool && !isReal && PyArray_IsScalar(value, Generic)) { // ml_dtypes' scalars
    PyArray_Descr *descr = PyArray_DescrFromScalar(value);
    isReal = descr && PyTypeNum_ISUSERDEF(descr->type_num);
    Py_XDECREF(descr);
  }
  bool fits = dtype.code == TSR_BOOL ? isBool : dtype.code == TSR_INT ? isInteger : isReal;
  nb::object array = nb::steal(PyArray_Empty(0, nullptr, descrOf(dtype), 0));
  if (!array)
    throw nb::python_error();
  auto *target = (PyArrayObject *)array.ptr();
  if (fits && PyArray_SETITEM(target, (char *)PyArray_DATA(target), value) != 0) {
    PyErr_Clear();
    fits = false;
  }
  if (!fits)
    throw Refusal{Code::scalar_value, "the " + typeName(value) + " " + stringOf(nb::repr(value)) +
                                          " cannot be held by dtype " + stringOf((PyObject *)PyArray_DESCR(target))};
  argument.tensor = {PyArray_DATA(target), {TSR_CPU, 0}, 0, dtype, nullptr, nullptr, 0};
  argument.owner = std::move(array);
}

// ---- Making
// -----------------------------------------------------------------------------------------------------------

/// NumPy aligns to 16 bytes and maps large arrays anew each time. From this size on, 64-byte aligned memory that is
/// used again pays for its capsule.
static constexpr int64_t pooledBytes = 16 << 10;

static void *allocate(int64_t bytes) {
  void *memory = tsr_allocate(bytes > 0 ? bytes : 1);
  if (!memory)
    raise(Code::out_of_memory, "no memory for a result of " + std::to_string(bytes) + " bytes");
  return memory;
}

static nb::object makeNumpy(tsr_dtype dtype, int32_t rank, int64_t *shape, tsr_tensor &tensor) {
  nb::object array;
  int64_t bytes = byteSize(tensor);
  if (bytes < pooledBytes) {
    array = nb::steal(PyArray_Empty(rank, (npy_intp *)shape, descrOf(dtype), 0));
  } else {
    void *memory = allocate(bytes);
    nb::object owner = nb::capsule(memory, [](void *pointer) noexcept { tsr_free(pointer); });
    array = nb::steal(PyArray_NewFromDescr(&PyArray_Type, descrOf(dtype), rank, (npy_intp *)shape, nullptr, memory,
                                           NPY_ARRAY_CARRAY, nullptr));
    if (array && PyArray_SetBaseObject((PyArrayObject *)array.ptr(), owner.release().ptr()) != 0)
      array.reset();
  }
  if (!array)
    throw nb::python_error();
  tensor.data = PyArray_DATA((PyArrayObject *)array.ptr());
  return array;
}

/// Our own memory, handed over as DLPack: one step for the framework, where its allocator would take two.
static nb::object makeExchange(const DLPackExchangeApi &api, tsr_tensor &tensor) {
  struct Result {
    tsr_managed_tensor managed;
    int64_t sizes[2 * TSR_MAX_RANK]; // shape, strides; only what the rank needs is allocated
  };
  const size_t rank = static_cast<size_t>(tensor.ndim);
  void *memory = allocate(byteSize(tensor));
  auto *result = static_cast<Result *>(std::malloc(offsetof(Result, sizes) + 2 * rank * sizeof(int64_t)));
  if (!result) {
    tsr_free(memory);
    throw std::bad_alloc();
  }
  int64_t *strides = result->sizes + rank;
  std::copy_n(tensor.shape, rank, result->sizes);
  fillStrides(tensor.shape, rank, strides);
  tensor.data = memory;
  result->managed = {{1, 0}, memory, nullptr, 0, tensor};
  result->managed.tensor.shape = result->sizes;
  result->managed.tensor.strides = strides;
  result->managed.deleter = [](tsr_managed_tensor *self) {
    tsr_free(self->manager_ctx);
    std::free(self);
  };
  void *object = nullptr;
  if (api.managedToObject(&result->managed, &object) != 0)
    throw nb::python_error();
  return nb::steal((PyObject *)object);
}

nb::object makeArray(Kind kind, const Framework *framework, tsr_dtype dtype, int32_t rank, int64_t *shape,
                     tsr_tensor &tensor) {
  tensor = {nullptr, {TSR_CPU, 0}, rank, dtype, shape, nullptr, 0};
  return kind == Kind::exchange ? makeExchange(*framework->api, tensor) : makeNumpy(dtype, rank, shape, tensor);
}

nb::object finishArray(Kind kind, nb::object array) {
  return kind == Kind::tessera ? nb::handle((PyObject *)tesseraArrayType())(array) : array;
}

nb::object viewArray(const tsr_tensor &tensor, nb::handle owner) {
  auto *data = static_cast<char *>(tensor.data) + tensor.byte_offset;
  nb::object array =
      nb::steal(PyArray_NewFromDescr(&PyArray_Type, descrOf(tensor.dtype), tensor.ndim, (npy_intp *)tensor.shape,
                                     nullptr, data, NPY_ARRAY_CARRAY_RO, nullptr));
  if (!array || PyArray_SetBaseObject((PyArrayObject *)array.ptr(), owner.inc_ref().ptr()) != 0)
    throw nb::python_error();
  return array;
}

} // namespace tsr::python
