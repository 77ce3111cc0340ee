// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// DLPack's C exchange API (DLPack 1.3, `__dlpack_c_exchange_api__`): a framework's functions for reading and making its
// tensors without a Python call. The layout is the specification's; the tensor structs are the runtime's own names.
#pragma once

#include "tessera/runtime.h"

namespace tsr::python {

struct DLPackExchangeApi {
  uint32_t major, minor;
  const DLPackExchangeApi *previous;
  int (*allocate)(tsr_tensor *prototype, tsr_managed_tensor **out, void *context,
                  void (*setError)(void *context, const char *kind, const char *message));
  int (*managedFromObject)(void *object, tsr_managed_tensor **out);
  int (*managedToObject)(tsr_managed_tensor *tensor, void **object);
  int (*tensorFromObject)(void *object, tsr_tensor *out); // may be null
  int (*currentStream)(int32_t deviceType, int32_t deviceId, void **stream);
};

inline constexpr const char *exchangeAttribute = "__dlpack_c_exchange_api__";
inline constexpr const char *exchangeCapsule = "dlpack_exchange_api";

} // namespace tsr::python
