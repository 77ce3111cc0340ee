// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// manifest.json as the runtime reads it (format 1): members, entries, their signatures and code variants.
#pragma once

#include "Bytes.h"
#include "Signature.h"

#include <map>

namespace tsr {

struct Variant {
  std::string target, triple, object, symbol, workspace; // workspace: "" when the entry needs none
  std::vector<std::string> features;
};

struct EntryManifest {
  Signature signature;
  std::vector<Variant> variants;
};

struct MemberDigest {
  std::string sha256;
  uint64_t size;
};

struct Manifest {
  std::map<std::string, MemberDigest, std::less<>> members;
  std::vector<EntryManifest> entries; // by name
};

/// Throws Error (manifest_json, manifest, format_version, abi_version).
Manifest parseManifest(Bytes json);

} // namespace tsr
