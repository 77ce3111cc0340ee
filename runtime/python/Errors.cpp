// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Errors.h"

#include <cstdio>

namespace nb = nanobind;

namespace tsr::python {

static const char *className(int32_t number) {
  switch (number) {
#define TSR_ERROR(number, name, type, what, fix)                                                                       \
  case number:                                                                                                         \
    return #type;
#include "../errors.def"
#undef TSR_ERROR
  default: // compiled code chose it
    return "RuntimeFailure";
  }
}

[[noreturn]] static void raiseClass(int32_t number, const std::string &message) {
  nb::object type;
  try { // looked up when needed: the extension stands below the package that has the classes
    type = nb::module_::import_("tessera.errors").attr(className(number));
  } catch (nb::python_error &) {
    bool failure = std::string_view(className(number)) == "RuntimeFailure";
    type = nb::borrow(failure ? PyExc_RuntimeError : PyExc_ValueError);
  }
  PyErr_SetString(type.ptr(), message.c_str());
  throw nb::python_error();
}

void check(int32_t status) {
  if (status != 0)
    raiseClass(status, tsr_last_error());
}

void raise(Code code, const std::string &text) {
  char prefix[24];
  std::snprintf(prefix, sizeof prefix, "[TSR%04d] ", static_cast<int>(code));
  raiseClass(static_cast<int32_t>(code), prefix + text);
}

} // namespace tsr::python
