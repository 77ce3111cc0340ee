// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Status.h"

#include <cstdio>

namespace tsr {

static thread_local std::string lastError;

/// The length of the printable UTF-8 character that `text` starts with, 0 if it starts with none (Unicode, table 3-7).
static size_t characterLength(const unsigned char *text, size_t size) {
  const unsigned char lead = text[0];
  if (lead < 0x80)
    return lead >= 0x20 && lead != 0x7f;
  const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || length > size)
    return 0;
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  bool whole = text[1] >= low && text[1] <= high;
  for (size_t i = 2; i < length; ++i)
    whole &= (text[i] & 0xc0) == 0x80;
  return whole ? length : 0;
}

/// Messages may quote names from a damaged file: what is not printable UTF-8 becomes '?'.
static void makePrintable(std::string &message) {
  for (size_t i = 0; i < message.size();) {
    size_t length = characterLength(reinterpret_cast<unsigned char *>(&message[i]), message.size() - i);
    if (length == 0)
      message[i] = '?';
    i += length ? length : 1;
  }
}

int32_t setLastError(int32_t number, const std::string &message) noexcept {
  char prefix[24];
  std::snprintf(prefix, sizeof prefix, "[TSR%04d] ", static_cast<int>(number));
  try {
    lastError = prefix + message;
    makePrintable(lastError);
  } catch (const std::bad_alloc &) {
    lastError.clear(); // the number still tells
  }
  return number;
}

} // namespace tsr

extern "C" const char *tsr_last_error(void) { return tsr::lastError.c_str(); }

extern "C" const char *tsr_error_meaning(int32_t number) {
  switch (number) {
#define TSR_ERROR(number, name, type, what, fix)                                                                       \
  case number:                                                                                                         \
    return what;
#include "../errors.def"
#undef TSR_ERROR
  default:
    return nullptr;
  }
}

extern "C" uint32_t tsr_abi_version(void) { return TSR_ABI_VERSION; }
