// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// manifest.json as the runtime reads it (format 1): members, GPU modules, entries, their signatures and code variants.
#pragma once

#include "Bytes.h"
#include "Signature.h"
#include "mesh/Layout.h"

#include <map>
#include <memory>

namespace tsr {

/// A GPU architecture's name: sm_90a is 9, 0, 'a'.
struct Architecture {
  std::string name;
  int32_t major = 0, minor = 0;
  char suffix = 0; // 'a': this capability alone; 'f': its family; 0: the same generation, this minor and later
};

struct Kernel {
  std::string name;
  int32_t threads = 0, cluster = 1; // threads of a block, blocks of a cluster
  int64_t dynamicShared = 0;        // the most bytes that a launch asks for
  bool isProgrammatic = false;      // starts before what precedes it on the stream has ended
};

/// The GPU code of one target, which all its entries share.
struct Module {
  std::string name;
  Architecture architecture;
  std::string cubin, ptx; // members, or ""
  std::vector<Kernel> kernels;
  /// A program that launches nothing, only copies, needs no machine code.
  bool holdsCode() const { return !cubin.empty() || kernels.empty(); }
};

/// What a kernel of a program for debugging computes, which the runtime is shown.
struct ComputedValue {
  std::string kernel, source;
  tsr_dtype dtype{};
  int32_t rank = 0;
  bool isFirst = true; // of its launch
};

struct Variant {
  std::string target, triple, object, symbol, workspace; // workspace: "" when the entry needs none
  std::vector<std::string> features;
  std::shared_ptr<const Module> module; // null: a variant for the CPU
  std::vector<ComputedValue> values;    // of a program for debugging
  bool allowsInfinity = false;          // in those values
};

struct EntryManifest {
  Signature signature;
  std::vector<Variant> variants;
  std::optional<mesh::Layout> mesh;
};

struct MemberDigest {
  std::string sha256;
  uint64_t size;
};

struct Manifest {
  std::map<std::string, MemberDigest, std::less<>> members;
  std::map<std::string, std::shared_ptr<const Module>, std::less<>> modules;
  std::vector<EntryManifest> entries; // by name
};

/// Throws Error (manifest_json, manifest, format_version, abi_version).
Manifest parseManifest(Bytes json);

} // namespace tsr
