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

/// What is known of a type that has the exchange API.
struct Framework {
  PyTypeObject *type;
  const DLPackExchangeApi *api;
  PyObject *isNegated; // torch: `is_neg`, as its exchange API gives such tensors' memory without a word
  bool tracksGradients;
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
bool readArray(PyObject *object, Argument &argument);
/// A number becomes a rank-0 tensor of `dtype`. Throws Refusal when that dtype cannot hold it.
void readScalar(Argument &argument, tsr_dtype dtype);

/// A fresh array of `kind`, and in `tensor` the view to write it through (its shape is `shape`).
nb::object makeArray(Kind kind, const Framework *framework, tsr_dtype dtype, int32_t rank, int64_t *shape,
                     tsr_tensor &tensor);
/// What makeArray gave, as users see it: a tessera.Array is made around its NumPy array only once that is filled.
nb::object finishArray(Kind kind, nb::object array);

/// A read-only NumPy array over memory that `owner` keeps.
nb::object viewArray(const tsr_tensor &tensor, nb::handle owner);

int64_t byteSize(const tsr_tensor &tensor);

} // namespace tsr::python
