// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Python's arrays as tensors, without copies: NumPy through its C API (ml_dtypes by dtype identity, since such arrays
// refuse DLPack and the buffer protocol), torch and others through DLPack's exchange API, the rest through __dlpack__.
#pragma once

#include "DLPackExchange.h"
#include "Errors.h"

#include <memory>

namespace tsr::python {

namespace nb = nanobind;

/// What kind of object an array came as; results are made of the same kind.
enum class Kind : uint8_t { numpy, scalar, other, tessera, exchange };

class Torch;

/// What is known of a type that has the exchange API.
struct Framework {
  PyTypeObject *type;
  const DLPackExchangeApi *api;
  PyObject *isNegated; // torch: `is_neg`, as its exchange API gives such tensors' memory without a word
  bool tracksGradients;
  const Torch *torch; // null: it is another framework

  void *currentStream(tsr_device device) const;
};

/// The stream of a call on a GPU. It is the one given, else a framework's current one; arrays that come through
/// __dlpack__ have to be told of it while they are read.
struct Stream {
  void *handle = nullptr;
  bool isGiven = false; // by stream=
  bool isKnown = false;

  /// The first array that has to know decides, for the legacy default stream unless it has a stream itself.
  void *decide(void *own = nullptr) {
    if (!isKnown)
      handle = own, isKnown = true;
    return handle;
  }
};

/// One array, readable as long as this and the object that it was read from live.
struct Argument {
  tsr_tensor tensor;
  Kind kind = Kind::numpy;
  bool isReadOnly = false;
  PyObject *object = nullptr; // borrowed
  const Framework *framework = nullptr;
  std::unique_ptr<int64_t[]> strides;
  nb::object owner;
};

void initialiseArrays(); // once, at import

/// False when the object is nothing like an array; throws Refusal when it is one that cannot be taken.
bool readArray(PyObject *object, Argument &argument, Stream &stream);
/// The same for the protocols that everyone has, __dlpack__ and __cuda_array_interface__.
bool readProtocols(PyObject *object, Argument &argument, Stream &stream);
/// A number becomes a rank-0 tensor of `dtype`. Throws Refusal when that dtype cannot hold it.
void readScalar(Argument &argument, tsr_dtype dtype);

/// A fresh array of `kind`, and in `tensor` the view to write it through (its shape is `shape`).
nb::object makeArray(Kind kind, const Framework *framework, tsr_dtype dtype, int32_t rank, int64_t *shape,
                     tsr_tensor &tensor);
/// The same on a GPU, of the kind of `like` (null: a DeviceArray).
nb::object makeGpuArray(const Argument *like, tsr_device device, const Stream &stream, tsr_dtype dtype, int32_t rank,
                        int64_t *shape, tsr_tensor &tensor);
/// What makeGpuArray gave, as users see it: once it is filled, as some frameworks' arrays cannot be written to.
nb::object finishGpuArray(const Argument *like, nb::object array);
/// NumPy's name of a dtype ("<f4"), or null where NumPy has none.
const char *typeString(tsr_dtype dtype);
/// What makeArray gave, as users see it: a tessera.Array is made around its NumPy array only once that is filled.
nb::object finishArray(Kind kind, nb::object array);

/// A read-only NumPy array over memory that `owner` keeps.
nb::object viewArray(const tsr_tensor &tensor, nb::handle owner);

int64_t byteSize(const tsr_tensor &tensor);
void fillStrides(const int64_t *shape, size_t rank, int64_t *strides); // row-major

} // namespace tsr::python
