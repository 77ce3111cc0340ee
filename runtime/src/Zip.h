// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The directory of a zip archive with stored members (PKWARE APPNOTE 6.3; ZIP64 for weights above 4 GiB).
#pragma once

#include "Bytes.h"

#include <map>

namespace tsr {

struct ZipMember {
  Bytes bytes;
  uint32_t crc;
};

/// Members by name; their bytes lie in `file`. Throws Error (zip, zip_feature).
std::map<std::string, ZipMember, std::less<>> readZip(Bytes file);

} // namespace tsr
