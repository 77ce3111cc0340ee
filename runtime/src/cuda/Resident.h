// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a program keeps on one device: its kernels and copies of its weights.
#pragma once

#include "../Weights.h"
#include "Image.h"

#include <map>

namespace tsr::cuda {

using Keepers = std::vector<std::shared_ptr<void>>;

class Resident {
public:
  Resident(Device &device, size_t numWeights) : device(device), slots(numWeights) {}
  ~Resident();
  Resident(const Resident &) = delete;

  /// The program's load lock is held.
  Kernels &kernels(const Module &module, const Image *image);

  /// Where a weight lies on this device; uploads it when it is asked for first, or first since it was replaced. The
  /// device's context is current, and the weight does not change meanwhile. Throws Error.
  void *weight(size_t index, const Weight &weight) {
    Slot &slot = slots[index];
    if (!slot.isThere.load(std::memory_order_acquire))
      upload(slot, weight);
    return slot.memory;
  }
  /// The weight is being replaced, and no call is being made.
  void forget(size_t index);
  /// What keeps the weights that are here now, for who uses them longer than until they are replaced.
  void addKeepers(Keepers &keepers);

  Device &device;

private:
  struct Slot {
    std::atomic<bool> isThere{false};
    void *memory = nullptr;
    std::shared_ptr<void> keeper;
  };
  void upload(Slot &slot, const Weight &weight);

  std::mutex uploadMutex;
  std::vector<Slot> slots;
  std::map<std::pair<const Module *, const Image *>, std::unique_ptr<Kernels>> loaded;
};

} // namespace tsr::cuda
