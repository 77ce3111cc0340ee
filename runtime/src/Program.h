// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An opened artifact and its entries; the opaque handles of the C ABI are these classes.
#pragma once

#include "HostObject.h"
#include "Manifest.h"
#include "Mapping.h"
#include "Weights.h"
#include "Zip.h"

#include <atomic>
#include <mutex>
#include <shared_mutex>

struct tsr_entry {
  tsr_entry(tsr_program &program, tsr::EntryManifest manifest)
      : program(program), signature(std::move(manifest.signature)), variants(std::move(manifest.variants)) {}

  /// Code of the variant that suits this machine; loads it at first. Throws Error.
  void prepare() {
    if (!isPrepared.load(std::memory_order_acquire))
      load();
  }
  const char *target() const { return isPrepared.load(std::memory_order_acquire) ? variant->target.c_str() : nullptr; }

  /// Checks a call's arguments and fills its symbols; on a no, false or (with `why`) the reason.
  bool bind(const tsr_tensor *const *arguments, int32_t count, int64_t *symbols, tsr::Error *why);
  void call(const tsr_call_args &args);
  int64_t workspaceSize(const int64_t *symbols) const;

  tsr_program &program;
  const tsr::Signature signature;

private:
  void load();
  const tsr::Variant &selectVariant() const;
  void checkOutputs(const tsr_call_args &args, const int64_t *symbols) const;
  void checkAliases(const tsr_call_args &args) const;
  void checkOverlap(const tsr_call_args &args) const;
  void checkWeights(const tsr_call_args &args, const int64_t *symbols) const;
  void run(const tsr_call_args &args, const int64_t *symbols);
  void invoke(const tsr_call_args &args, void *const *buffers, const int64_t *symbols);

  const std::vector<tsr::Variant> variants;
  const tsr::Variant *variant = nullptr;
  tsr_entry_fn code = nullptr;
  tsr_workspace_fn workspace = nullptr;
  std::atomic<bool> isPrepared{false};
};

struct tsr_program {
  tsr_program(std::unique_ptr<tsr::Mapping> mapping, uint32_t flags);

  tsr_entry &entry(const std::string &name);
  /// The loaded object of a member; digests are checked here, before anything of it is used.
  const tsr::HostObject &object(const std::string &member);
  tsr::Weight &weight(const std::string &name);
  void setWeight(const std::string &name, tsr_managed_tensor *tensor);

  const std::unique_ptr<tsr::Mapping> mapping;
  const std::map<std::string, tsr::ZipMember, std::less<>> members;
  tsr::Bytes manifestJson;
  std::vector<std::unique_ptr<tsr_entry>> entries;
  std::vector<tsr::Weight> weights;
  /// Held shared by calls that read weights, alone by who replaces one.
  std::shared_mutex weightsMutex;
  std::atomic<int64_t> references{1};
  /// Guards `objects` and the entries' loading.
  std::mutex loadMutex;

private:
  tsr::Bytes member(const std::string &name, bool verify) const;
  int32_t weightIndex(const std::string &name);
  void checkMembers() const;
  void readWeights(bool verify);

  tsr::Manifest manifest;
  std::map<std::string, std::unique_ptr<tsr::HostObject>, std::less<>> objects;
};
