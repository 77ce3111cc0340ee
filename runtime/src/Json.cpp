// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one translation unit that holds Boost.JSON's code (header-only mode: nothing to link to).
#include "Json.h"

#include <boost/json/src.hpp>

namespace tsr {

namespace json = boost::json;

json::value Json::parse(Bytes bytes, const char *name, Code code) {
  json::parse_options options;
  options.max_depth = 128; // bounds the recursion of every reader below
  boost::system::error_code error;
  json::value value = json::parse({reinterpret_cast<const char *>(bytes.data), bytes.size}, error, {}, options);
  if (error)
    tsr::refuse(code, name, " is not well-formed JSON: ", error.message());
  return value;
}

void Json::expected(const char *what) const {
  refuse("expected ", what, ", got ", std::string(json::to_string(value->kind())));
}

Json Json::at(const char *key) const {
  const json::object *object = value->if_object();
  if (!object)
    expected("an object");
  const json::value *member = object->if_contains(key);
  if (!member)
    refuse("member '", key, "' is missing");
  return Json(*member, text(path, ".", key), code);
}

bool Json::has(const char *key) const {
  const json::object *object = value->if_object();
  const json::value *member = object ? object->if_contains(key) : nullptr;
  return member && !member->is_null();
}

std::string Json::string() const {
  const json::string *string = value->if_string();
  if (!string)
    expected("a string");
  if (string->find('\0') != json::string::npos) // names go through C strings
    refuse("a string may not hold a NUL");
  return std::string(*string);
}

int64_t Json::integer(int64_t minimum, int64_t maximum) const {
  if (!isInteger())
    expected("an integer");
  boost::system::error_code error;
  int64_t number = value->to_number<int64_t>(error);
  if (error || number < minimum || number > maximum)
    refuse("expected an integer between ", minimum, " and ", maximum);
  return number;
}

bool Json::boolOr(const char *key, bool otherwise) const {
  if (!has(key))
    return otherwise;
  Json member = at(key);
  if (!member.value->is_bool())
    member.expected("true or false");
  return member.value->get_bool();
}

} // namespace tsr
