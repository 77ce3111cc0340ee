// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An opened artifact and its entries; the opaque handles of the C ABI are these classes.
#pragma once

#include "CallScope.h"
#include "HostObject.h"
#include "Manifest.h"
#include "Mapping.h"
#include "Weights.h"
#include "Zip.h"
#include "cuda/Resident.h"
#include "mesh/Entry.h"

#include <atomic>
#include <mutex>
#include <shared_mutex>

namespace tsr {

/// An entry's code, loaded for the CPU or for one GPU.
struct EntryCode {
  const Variant *variant = nullptr;
  tsr_entry_fn code = nullptr;
  tsr_workspace_fn workspace = nullptr; // null: it needs none
  cuda::Resident *resident = nullptr;   // null: for the CPU
  cuda::Kernels *kernels = nullptr;
  const EntryCode *next = nullptr; // for another GPU

  int64_t workspaceSize(const Signature &signature, const int64_t *symbols) const;
  /// Throws what the code reports to `scope`.
  void run(CallScope &scope, const Signature &signature, void *const *buffers, const int64_t *symbols,
           void *space) const;
};

} // namespace tsr

struct tsr_entry {
  tsr_entry(tsr_program &program, tsr::EntryManifest manifest);

  /// Loads the code for the CPU; does nothing where there is only code for GPUs. Throws Error.
  void prepare();
  /// Code of the variant that suits a device; loads it at first. Throws Error.
  const tsr::EntryCode &codeFor(tsr_device device) {
    const tsr::EntryCode *known = find(device);
    return known ? *known : load(device);
  }
  /// Of what is loaded, the CPU's first; null before.
  const char *target() const;

  /// Where a call runs: on the GPU that has the first array of those, else on the CPU. Without any array (numbers
  /// alone, or nothing) on the CPU if there is code for it, else on GPU 0.
  tsr_device deviceOf(const tsr_tensor *const *inputs, int32_t numInputs, const tsr_tensor *const *outputs = nullptr,
                      int32_t numOutputs = 0) const;
  /// Checks a call's arguments and fills its symbols; on a no, false or (with `why`) the reason.
  bool bind(const tsr_tensor *const *arguments, int32_t count, int64_t *symbols, tsr::Error *why);
  /// The same for a call that is to be made: it is refused here. Throws Error.
  void require(const tsr_tensor *const *arguments, int32_t count, int64_t *symbols);
  /// What keeps the weights that a call on a GPU uses is added to `keepers`, if not null.
  void call(const tsr_call_args &args, tsr::cuda::Keepers *keepers = nullptr);
  /// Of the CPU's code, or where there is none, of the first GPU's.
  int64_t workspaceSize(const int64_t *symbols);

  tsr_program &program;
  const tsr::Signature signature;
  const std::unique_ptr<tsr::mesh::Entry> mesh; // null: on no mesh

private:
  const tsr::EntryCode *find(tsr_device device) const;
  const tsr::EntryCode &load(tsr_device device);
  void loadHostCode(tsr::EntryCode &code, const tsr::Variant &variant);
  const tsr::Variant *findForCpu() const;
  const tsr::Variant &selectForCpu() const;
  bool holdsCodeFor(int32_t gpu) const;
  tsr::Error noCodeFor(const tsr::cuda::Device &device) const;
  /// Whether there is code for the device that arguments lie on, and all lie there.
  bool suits(tsr_device device, const tsr_tensor *const *arguments, tsr::Error *why) const;
  bool lieOnGpu(int32_t id, const tsr_tensor *const *arguments, tsr::Error *why) const;
  std::string heldTargets() const;
  void checkOutputs(const tsr_call_args &args, tsr_device device, const int64_t *symbols) const;
  void checkAliases(const tsr_call_args &args) const;
  void checkOverlap(const tsr_call_args &args) const;
  void checkWeights(const tsr_call_args &args, const int64_t *symbols) const;
  void checkAndRun(const tsr_call_args &args, tsr_device device, const int64_t *symbols, tsr::cuda::Keepers *keepers);
  void runOnCpu(const tsr::EntryCode &code, const tsr_call_args &args, const int64_t *symbols, tsr::mesh::Call *mesh);
  void invokeOnCpu(const tsr::EntryCode &code, const tsr_call_args &args, void *const *buffers, const int64_t *symbols,
                   tsr::mesh::Call *mesh);
  void runOnGpu(const tsr::EntryCode &code, const tsr_call_args &args, const int64_t *symbols,
                tsr::cuda::Keepers *keepers, tsr::mesh::Call *mesh); // cuda/RunOnGpu.cpp

  const std::vector<tsr::Variant> variants;
  const bool holdsCpu, holdsGpu;
  std::atomic<const tsr::EntryCode *> cpuCode{nullptr}, gpuCodes{nullptr};
  std::vector<std::unique_ptr<tsr::EntryCode>> codes; // guarded by the program's loadMutex
};

namespace tsr {
/// Callers that were built before there were observers have none.
inline const tsr_observer *observerOf(const tsr_call_args &args) {
  return args.struct_size >= sizeof args ? args.observer : nullptr;
}
/// Handles and structs of a call, as the C ABI takes them. Throws Error (bad_handle).
void requireCall(const tsr_entry *entry, const tsr_call_args *args);
} // namespace tsr

struct tsr_program {
  tsr_program(std::unique_ptr<tsr::Mapping> mapping, const tsr_open_options &options);
  ~tsr_program();

  tsr_entry &entry(const std::string &name);
  /// The loaded object of a member; digests are checked here, before anything of it is used.
  const tsr::HostObject &object(const std::string &member);
  /// What the program keeps on a device, and a module's kernels there. loadMutex is held. Throws Error.
  tsr::cuda::Resident &resident(tsr::cuda::Device &device);
  tsr::cuda::Kernels &kernels(tsr::cuda::Resident &resident, const std::shared_ptr<const tsr::Module> &module,
                              bool isPtx);
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
  /// Guards `objects`, `images`, `residents` and the entries' loading.
  std::mutex loadMutex;

private:
  tsr::Bytes member(const std::string &name, bool verify) const;
  int32_t weightIndex(const std::string &name);
  void checkMembers() const;
  void readWeights(bool verify);
  void keepParts();

  tsr::Manifest manifest;
  std::map<std::string, std::unique_ptr<tsr::HostObject>, std::less<>> objects;
  std::map<std::string, std::unique_ptr<tsr::cuda::Image>, std::less<>> images; // by member
  std::vector<std::unique_ptr<tsr::cuda::Resident>> residents;                  // go before the images
};
