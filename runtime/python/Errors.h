// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From error numbers to the classes of tessera.errors.
#pragma once

#include "tessera/runtime.h"

#include <nanobind/nanobind.h>
#include <string>

namespace tsr::python {

enum class Code : int32_t {
#define TSR_ERROR(number, name, type, what, fix) name = number,
#include "../errors.def"
#undef TSR_ERROR
};

/// An object that cannot be read as an array. Whoever knows which argument it is makes an error of it.
struct Refusal {
  Code code;
  std::string text;
};

/// "ValueError: what is wrong", the first line: frameworks append their C++ stack.
std::string describe(nanobind::python_error &error);

/// Raises the library's latest error, or nothing for status 0.
void check(int32_t status);
/// Raises an error of our own: "[TSRnnnn] text".
[[noreturn]] void raise(Code code, const std::string &text);

} // namespace tsr::python
