// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What torch has beyond the exchange API: a current stream that can be changed, and a function for new tensors.
#pragma once

#include "Arrays.h"

namespace tsr::python {

class Torch {
public:
  /// What a type's module is, or null where it has no `cuda.ExternalStream`. Kept for ever.
  static const Torch *find(PyTypeObject *type);

  /// A tensor of torch's own on `tensor.device`, whose address goes to `tensor`; nothing where it cannot be made so.
  /// The exchange API's tensors are foreign memory to torch: `record_stream` ignores them, and to make one takes
  /// longer.
  nb::object makeEmpty(const Framework &framework, tsr_tensor &tensor) const;

  const nb::object cuda; // the module

private:
  explicit Torch(nb::handle module);
  PyObject *dtypeOf(tsr_dtype dtype) const;

  static constexpr size_t numTypes = 12;
  nb::object empty, emptyHere; // null: there is none
  nb::object dtypes[numTypes];
};

/// Makes torch's current stream the one of a call for as long as this lives, so that memory which it allocates
/// meanwhile belongs to that stream.
class StreamScope {
public:
  StreamScope() = default;
  ~StreamScope();
  StreamScope(const StreamScope &) = delete;
  /// The framework is torch.
  void enter(const Framework &framework, tsr_device device, void *stream);

private:
  nb::object context;
};

} // namespace tsr::python
