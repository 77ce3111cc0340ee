// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The two checksums of an artifact: SHA-256 of its members (in the manifest) and CRC-32 of the manifest (in the zip).
#pragma once

#include "Bytes.h"

namespace tsr {

std::string sha256Hex(Bytes bytes);
uint32_t crc32(Bytes bytes);

} // namespace tsr
