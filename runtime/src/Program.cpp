// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Program.h"

#include "Api.h"
#include "Digest.h"
#include "HostFeatures.h"

using namespace tsr;

static constexpr const char *manifestName = "manifest.json", *weightsName = "weights.safetensors";

tsr_program::tsr_program(std::unique_ptr<Mapping> source, uint32_t flags)
    : mapping(std::move(source)), members(readZip(mapping->bytes())) {
  auto found = members.find(manifestName);
  if (found == members.end())
    refuse(Code::zip, "not a .tsr artifact: the archive holds no manifest.json");
  manifestJson = found->second.bytes;
  // The manifest holds everyone else's digest; its own is the zip's.
  if (crc32(manifestJson) != found->second.crc)
    refuse(Code::digest, "manifest.json is damaged: its checksum differs");
  manifest = parseManifest(manifestJson);
  checkMembers();
  for (EntryManifest &parsed : manifest.entries) {
    for (Value &input : parsed.signature.inputs)
      if (input.isWeight)
        input.weightIndex = weightIndex(input.name);
    entries.push_back(std::make_unique<tsr_entry>(*this, std::move(parsed)));
  }
  readWeights(flags & TSR_OPEN_VERIFY_WEIGHTS);
}

void tsr_program::checkMembers() const {
  for (const auto &[name, digest] : manifest.members) {
    auto found = members.find(name);
    if (found == members.end())
      refuse(Code::member_missing, "artifact lacks its member '", name, "'");
    if (found->second.bytes.size != digest.size)
      refuse(Code::digest, "member '", name, "' is damaged: expected ", digest.size, " bytes, got ",
             found->second.bytes.size);
  }
  for (const EntryManifest &entry : manifest.entries)
    for (const Variant &variant : entry.variants)
      if (!manifest.members.count(variant.object))
        refuse(Code::member_missing, "entry '", entry.signature.entry, "' names a member that the artifact lacks: '",
               variant.object, "'");
}

Bytes tsr_program::member(const std::string &name, bool verify) const {
  Bytes bytes = members.find(name)->second.bytes;
  const MemberDigest &digest = manifest.members.find(name)->second;
  if (verify && sha256Hex(bytes) != digest.sha256)
    refuse(Code::digest, "member '", name, "' is damaged: its SHA-256 differs from the manifest's");
  return bytes;
}

int32_t tsr_program::weightIndex(const std::string &name) {
  for (size_t i = 0; i < weights.size(); ++i)
    if (weights[i].name == name)
      return static_cast<int32_t>(i);
  weights.emplace_back(name);
  return static_cast<int32_t>(weights.size() - 1);
}

/// Whether a weight's value suits every entry that reads it.
static void checkWeight(const tsr_program &program, const std::string &name, const tsr_tensor &tensor) {
  for (const auto &entry : program.entries)
    for (const Value &input : entry->signature.inputs) {
      Error error;
      if (!input.isWeight || input.name != name)
        continue;
      if (!entry->signature.checkTensor(input, tensor, &error))
        throw error;
      for (size_t i = 0; i < input.shape.size(); ++i)
        if (input.staticShape[i] != TSR_DYNAMIC && input.staticShape[i] != tensor.shape[i])
          refuse(Code::static_size, "weight '", name, "' dim ", i, ": expected ", input.staticShape[i], ", got ",
                 tensor.shape[i], entry->signature.where(input.source));
    }
}

void tsr_program::readWeights(bool verify) {
  if (!manifest.members.count(weightsName))
    return;
  readSafetensors(member(weightsName, verify), weights);
  try {
    for (const Weight &weight : weights)
      if (weight.isSet())
        checkWeight(*this, weight.name, weight.tensor());
  } catch (const Error &error) {
    refuse(Code::weights_file, "weights.safetensors: ", error.message);
  }
}

tsr_entry &tsr_program::entry(const std::string &name) {
  std::string known;
  for (const auto &entry : entries) {
    if (entry->signature.entry == name)
      return *entry;
    known += (known.empty() ? "'" : ", '") + entry->signature.entry + "'";
  }
  refuse(Code::unknown_entry, "no entry '", name, "': the artifact holds ", known.empty() ? "none" : known);
}

const HostObject &tsr_program::object(const std::string &name) {
  std::unique_ptr<HostObject> &slot = objects[name];
  if (!slot)
    slot = HostObject::load(member(name, /*verify=*/true), &api);
  return *slot;
}

Weight &tsr_program::weight(const std::string &name) {
  for (Weight &weight : weights)
    if (weight.name == name)
      return weight;
  refuse(Code::unknown_weight, "no weight '", name, "': the program has ", weights.size(),
         weights.empty() ? "" : text(", the first is '", weights[0].name, "'"));
}

void tsr_program::setWeight(const std::string &name, tsr_managed_tensor *tensor) {
  Weight &target = weight(name);
  checkWeight(*this, name, tensor->tensor);
  if (!isContiguous(tensor->tensor) || !isAligned(tensor->tensor))
    refuse(Code::output_layout, "weight '", name,
           "': expected a row-major contiguous tensor, aligned to its element size; pass a contiguous copy");
  tsr_managed_tensor *previous;
  {
    std::unique_lock<std::shared_mutex> lock(weightsMutex);
    previous = target.exchange(tensor);
  }
  if (previous && previous->deleter)
    previous->deleter(previous);
}

// ---- Loading an entry's code ----------------------------------------------------------------------------------------

const Variant &tsr_entry::selectVariant() const {
  const Variant *best = nullptr;
  std::string held;
  for (const Variant &candidate : variants) {
    std::string missing;
    for (const std::string &feature : candidate.features)
      if (!hostHasFeature(feature))
        missing += (missing.empty() ? "" : " ") + feature;
    bool here = candidate.triple == hostTriple;
    held += text(held.empty() ? "" : "; ", candidate.target, " for ", candidate.triple,
                 missing.empty() || !here ? "" : " (this CPU lacks " + missing + ")");
    // The more features code was compiled for, the faster it is taken to be; the manifest's order breaks ties.
    if (here && missing.empty() && (!best || candidate.features.size() > best->features.size()))
      best = &candidate;
  }
  if (!best)
    refuse(Code::no_target, "entry '", signature.entry, "' holds no code for this machine: expected ",
           tsr_native_target(), " or less for ", hostTriple, ", got ", held.empty() ? "none" : held);
  return *best;
}

void tsr_entry::load() {
  std::lock_guard<std::mutex> lock(program.loadMutex);
  if (isPrepared.load(std::memory_order_relaxed))
    return;
  const Variant &selected = selectVariant();
  const HostObject &object = program.object(selected.object);
  code = reinterpret_cast<tsr_entry_fn>(object.function(selected.symbol));
  if (!selected.workspace.empty())
    workspace = reinterpret_cast<tsr_workspace_fn>(object.function(selected.workspace));
  variant = &selected;
  isPrepared.store(true, std::memory_order_release);
}
