// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A typed walk over parsed JSON, whose errors say where in the document they are.
#pragma once

#include "Bytes.h"

#include <boost/json.hpp>
#include <string>

namespace tsr {

class Json {
public:
  Json(const boost::json::value &value, std::string path, Code code)
      : value(&value), path(std::move(path)), code(code) {}

  /// Parses a document; `code` is the error of everything that goes wrong with it.
  static boost::json::value parse(Bytes bytes, const char *name, Code code);

  Json at(const char *key) const;  // a member that must be there
  bool has(const char *key) const; // there, and not null
  std::string string() const;
  std::string stringOr(const char *key) const { return has(key) ? at(key).string() : std::string(); }
  int64_t integer(int64_t minimum, int64_t maximum = INT64_MAX) const;
  bool boolOr(const char *key, bool otherwise) const;
  bool isString() const { return value->is_string(); }
  bool isInteger() const { return value->is_int64() || value->is_uint64(); }

  template <class Each> void forEachElement(Each &&each) const {
    const boost::json::array *array = value->if_array();
    if (!array)
      expected("an array");
    for (size_t i = 0; i < array->size(); ++i)
      each(Json((*array)[i], text(path, "[", i, "]"), code));
  }
  template <class Each> void forEachMember(Each &&each) const {
    const boost::json::object *object = value->if_object();
    if (!object)
      expected("an object");
    for (const auto &member : *object)
      each(std::string(member.key()), Json(member.value(), text(path, ".", std::string(member.key())), code));
  }

  template <class... Parts> [[noreturn]] void refuse(const Parts &...parts) const {
    tsr::refuse(code, path, ": ", parts...);
  }
  [[noreturn]] void expected(const char *what) const;

private:
  const boost::json::value *value;
  std::string path;
  Code code;
};

} // namespace tsr
