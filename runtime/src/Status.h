// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Errors inside the runtime are one exception type, thrown where they are found and caught at the C boundary. The call
// path makes none unless the call fails.
#pragma once

#include "tessera/runtime.h"

#include <new>
#include <sstream>
#include <string>

namespace tsr {

enum class Code : int32_t {
#define TSR_ERROR(number, name, type, what, fix) name = number,
#include "../errors.def"
#undef TSR_ERROR
};

struct Error {
  Code code;
  std::string message;
};

template <class... Parts> std::string text(const Parts &...parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

template <class... Parts> [[noreturn]] void refuse(Code code, const Parts &...parts) {
  throw Error{code, text(parts...)};
}

/// Sets the thread's message to "[TSRnnnn] message" and returns the number.
int32_t setLastError(int32_t number, const std::string &message) noexcept;

/// Runs `body` for a function of the C ABI: nothing that it throws gets past here.
template <class Body> int32_t guarded(Body &&body) noexcept {
  try {
    body();
    return 0;
  } catch (const Error &error) {
    return setLastError(static_cast<int32_t>(error.code), error.message);
  } catch (const std::bad_alloc &) {
    return setLastError(static_cast<int32_t>(Code::out_of_memory), "out of memory");
  } catch (const std::exception &error) {
    return setLastError(static_cast<int32_t>(Code::internal), error.what());
  }
}

template <class Pointer> void requireHandle(const Pointer *pointer, const char *what) {
  if (!pointer)
    refuse(Code::bad_handle, what, " is null");
}

/// Callers that were built against an older header pass smaller structs; nobody passes less than the first version's.
template <class Struct> void requireStruct(const Struct *value, const char *what, size_t minimum = sizeof(Struct)) {
  requireHandle(value, what);
  if (value->struct_size < minimum)
    refuse(Code::bad_handle, what, ": expected struct_size ", minimum, " or more, got ", value->struct_size);
}

} // namespace tsr
