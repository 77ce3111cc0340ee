// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Program.h"

#include "Api.h"
#include "Digest.h"
#include "HostFeatures.h"
#include "cuda/Architecture.h"
#include "mesh/World.h"

#include <algorithm>

using namespace tsr;

static constexpr const char *manifestName = "manifest.json", *weightsName = "weights.safetensors";

/// Forgets the code for all other targets.
static void keepTarget(EntryManifest &entry, const std::string &target) {
  std::string held;
  for (const Variant &variant : entry.variants)
    held += (held.empty() ? "" : ", ") + variant.target;
  auto isOther = [&](const Variant &variant) { return variant.target != target; };
  entry.variants.erase(std::remove_if(entry.variants.begin(), entry.variants.end(), isOther), entry.variants.end());
  if (entry.variants.empty())
    refuse(Code::no_target, "entry '", entry.signature.entry, "' holds no code for '", target, "': it is for ", held);
}

tsr_program::tsr_program(std::unique_ptr<Mapping> source, const tsr_open_options &options)
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
    if (options.target)
      keepTarget(parsed, options.target);
    for (Value &input : parsed.signature.inputs)
      if (input.isWeight)
        input.weightIndex = weightIndex(input.name);
    entries.push_back(std::make_unique<tsr_entry>(*this, std::move(parsed)));
  }
  readWeights(options.flags & TSR_OPEN_VERIFY_WEIGHTS);
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
  for (const auto &[name, module] : manifest.modules)
    for (const std::string *file : {&module->cubin, &module->ptx})
      if (!file->empty() && !manifest.members.count(*file))
        refuse(Code::member_missing, "module '", name, "' names a member that the artifact lacks: '", *file, "'");
}

tsr_program::~tsr_program() = default;

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
      if (!entry->signature.checkTensor(input, tensor, tensor.device.type == TSR_CUDA, &error))
        throw error;
      for (size_t i = 0; i < input.shape.size(); ++i)
        if (input.staticShape[i] != TSR_DYNAMIC && input.staticShape[i] != tensor.shape[i])
          refuse(Code::static_size, "weight '", name, "' dim ", i, ": expected ", input.staticShape[i], ", got ",
                 tensor.shape[i], entry->signature.where(input.source));
    }
}

/// The file has weights whole: of those that a mesh divides, this rank keeps its part. A process that is none of the
/// mesh's ranks is refused when it calls.
void tsr_program::keepParts() {
  std::map<int32_t, std::vector<std::vector<size_t>>> divided; // by weight
  for (const auto &entry : entries)
    for (const Value &input : entry->signature.inputs) {
      if (input.sharding.empty() || !input.isWeight)
        continue;
      const mesh::Layout &layout = entry->mesh->layout;
      const int32_t rank = mesh::world().rank;
      auto [known, isNew] = divided.try_emplace(input.weightIndex, input.sharding);
      if (known->second != input.sharding)
        refuse(Code::manifest, "weight '", input.name, "' is divided in two ways");
      Weight &weight = weights[static_cast<size_t>(input.weightIndex)];
      if (!isNew || !weight.isSet() || static_cast<size_t>(rank) >= layout.size())
        continue;
      const std::vector<int64_t> at = layout.coordinates(rank);
      std::vector<Part> parts;
      for (const std::vector<size_t> &axes : input.sharding) {
        Part part;
        for (size_t axis : axes)
          part = {part.count * layout.shape[axis], part.index * layout.shape[axis] + at[axis]};
        parts.push_back(part);
      }
      weight.keepPart(parts);
    }
}

void tsr_program::readWeights(bool verify) {
  if (!manifest.members.count(weightsName))
    return;
  readSafetensors(member(weightsName, verify), weights);
  keepParts();
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
  if (tensor->tensor.device.type == TSR_CUDA)
    cuda::Device::get(tensor->tensor.device.id);
  std::shared_ptr<tsr_managed_tensor> previous; // released when no lock is held
  std::unique_lock<std::shared_mutex> lock(weightsMutex);
  previous = target.exchange(tensor);
  std::lock_guard<std::mutex> loadLock(loadMutex);
  for (const auto &resident : residents)
    resident->forget(static_cast<size_t>(&target - weights.data()));
}

cuda::Resident &tsr_program::resident(cuda::Device &device) {
  for (const auto &known : residents)
    if (&known->device == &device)
      return *known;
  residents.push_back(std::make_unique<cuda::Resident>(device, weights.size()));
  return *residents.back();
}

cuda::Kernels &tsr_program::kernels(cuda::Resident &resident, const std::shared_ptr<const Module> &module, bool isPtx) {
  const std::string &file = isPtx ? module->ptx : module->cubin;
  if (file.empty())
    return resident.kernels(*module, nullptr);
  std::unique_ptr<cuda::Image> &image = images[file];
  if (!image)
    image = std::make_unique<cuda::Image>(resident.device, module, member(file, /*verify=*/true), isPtx);
  return resident.kernels(*module, image.get());
}

// ---- Loading an entry's code ----------------------------------------------------------------------------------------

static bool anyVariant(const std::vector<Variant> &variants, bool forGpu) {
  return std::any_of(variants.begin(), variants.end(),
                     [&](const Variant &variant) { return bool(variant.module) == forGpu; });
}

// An entry without any variant is one for the CPU, which then says that there is none for this machine.
tsr_entry::tsr_entry(tsr_program &program, EntryManifest manifest)
    : program(program), signature(std::move(manifest.signature)),
      mesh(manifest.mesh ? std::make_unique<mesh::Entry>(std::move(*manifest.mesh), signature.entry,
                                                         sha256Hex(program.manifestJson))
                         : nullptr),
      variants(std::move(manifest.variants)), holdsCpu(variants.empty() || anyVariant(variants, false)),
      holdsGpu(anyVariant(variants, true)) {}

const Variant *tsr_entry::findForCpu() const {
  const Variant *best = nullptr;
  for (const Variant &candidate : variants)
    // The more features code was compiled for, the faster it is taken to be; the manifest's order breaks ties.
    if (!candidate.module && candidate.triple == hostTriple &&
        std::all_of(candidate.features.begin(), candidate.features.end(), hostHasFeature) &&
        (!best || candidate.features.size() > best->features.size()))
      best = &candidate;
  return best;
}

const Variant &tsr_entry::selectForCpu() const {
  if (const Variant *best = findForCpu())
    return *best;
  std::string held;
  for (const Variant &candidate : variants) {
    std::string missing;
    for (const std::string &feature : candidate.features)
      if (!hostHasFeature(feature))
        missing += (missing.empty() ? "" : " ") + feature;
    held += text(held.empty() ? "" : "; ", candidate.target, " for ", candidate.triple,
                 missing.empty() || candidate.triple != hostTriple ? "" : " (this CPU lacks " + missing + ")");
  }
  refuse(Code::no_target, "entry '", signature.entry, "' holds no code for this machine: expected ",
         tsr_native_target(), " or less for ", hostTriple, ", got ", held.empty() ? "none" : held);
}

/// Where there is no such GPU, loading says so.
bool tsr_entry::holdsCodeFor(int32_t gpu) const {
  const auto &all = cuda::devices();
  return find({TSR_CUDA, gpu}) || gpu < 0 || static_cast<size_t>(gpu) >= all.size() ||
         cuda::choose(variants, all[static_cast<size_t>(gpu)]->capability).variant;
}

Error tsr_entry::noCodeFor(const cuda::Device &device) const {
  return {Code::no_target,
          text("entry '", signature.entry, "' holds no code for ", device.label(), " (", device.name, "): expected ",
               device.target, " or code that is compatible with it, got ", heldTargets())};
}

std::string tsr_entry::heldTargets() const {
  std::string held;
  for (const Variant &variant : variants)
    held += text(held.empty() ? "" : ", ", variant.target,
                 variant.module && !variant.module->ptx.empty() ? " (with PTX)" : "");
  return held;
}

void tsr_entry::prepare() {
  if (!holdsGpu || findForCpu())
    codeFor({TSR_CPU, 0});
}

const char *tsr_entry::target() const {
  const EntryCode *loaded = cpuCode.load(std::memory_order_acquire);
  if (!loaded)
    loaded = gpuCodes.load(std::memory_order_acquire);
  return loaded ? loaded->variant->target.c_str() : nullptr;
}

void tsr_entry::loadHostCode(EntryCode &code, const Variant &variant) {
  const HostObject &object = program.object(variant.object);
  code.variant = &variant;
  code.code = reinterpret_cast<tsr_entry_fn>(object.function(variant.symbol));
  if (!variant.workspace.empty())
    code.workspace = reinterpret_cast<tsr_workspace_fn>(object.function(variant.workspace));
}

const EntryCode *tsr_entry::find(tsr_device device) const {
  if (device.type != TSR_CUDA)
    return cpuCode.load(std::memory_order_acquire);
  const EntryCode *code = gpuCodes.load(std::memory_order_acquire);
  while (code && code->resident->device.ordinal != device.id)
    code = code->next;
  return code;
}

const EntryCode &tsr_entry::load(tsr_device device) {
  std::lock_guard<std::mutex> lock(program.loadMutex);
  if (const EntryCode *known = find(device)) // another thread was faster
    return *known;
  auto code = std::make_unique<EntryCode>();
  if (device.type != TSR_CUDA) {
    loadHostCode(*code, selectForCpu());
  } else {
    cuda::Device &gpu = cuda::Device::get(device.id);
    const cuda::Choice choice = cuda::choose(variants, gpu.capability);
    if (!choice.variant)
      throw noCodeFor(gpu);
    loadHostCode(*code, *choice.variant);
    code->resident = &program.resident(gpu);
    code->kernels = &program.kernels(*code->resident, code->variant->module, choice.isPtx);
    code->next = gpuCodes.load(std::memory_order_relaxed);
  }
  codes.push_back(std::move(code));
  (device.type == TSR_CUDA ? gpuCodes : cpuCode).store(codes.back().get(), std::memory_order_release);
  return *codes.back();
}

int64_t tsr_entry::workspaceSize(const int64_t *symbols) {
  prepare();
  if (const EntryCode *code = find({TSR_CPU, 0}))
    return code->workspaceSize(signature, symbols);
  std::lock_guard<std::mutex> lock(program.loadMutex);
  EntryCode code; // sizes are computed on the host: no GPU is needed for them
  loadHostCode(code, *std::find_if(variants.begin(), variants.end(), [](const Variant &v) { return bool(v.module); }));
  return code.workspaceSize(signature, symbols);
}
