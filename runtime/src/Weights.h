// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A program's weights: where their values lie, and the safetensors file that they come from.
#pragma once

#include "Bytes.h"
#include "Tensor.h"

#include <memory>
#include <string>
#include <vector>

namespace tsr {

/// One weight's value: in the mapped file, or a tensor that the program was given.
/// Of several equal parts of a dimension, one.
struct Part {
  int64_t count = 1, index = 0;
};

class Weight {
public:
  explicit Weight(std::string name) : name(std::move(name)) {}
  Weight(Weight &&other) noexcept;
  Weight &operator=(Weight &&) = delete;

  /// `data` must outlive the weight.
  void setMapped(tsr_dtype dtype, std::vector<int64_t> shape, const uint8_t *data);
  /// Takes the tensor over and gives the one before back (or null): its deleter may take locks of its owner's, such as
  /// Python's, so it must run when none of ours is held.
  std::shared_ptr<tsr_managed_tensor> exchange(tsr_managed_tensor *tensor);

  /// Keeps a part of what was mapped, one of `parts[i].count` of dimension i: where it lies, if that is in one piece.
  /// Throws Error (weights_file).
  void keepPart(const std::vector<Part> &parts);

  bool isSet() const { return set; }
  const tsr_tensor &tensor() const { return view; }
  /// What keeps the value alive beside the weight; null for one in the file, which lives as long as the program.
  const std::shared_ptr<tsr_managed_tensor> &owner() const { return owned; }
  const std::string name;

private:
  bool set = false;
  tsr_tensor view{};
  std::vector<int64_t> shape;
  std::shared_ptr<tsr_managed_tensor> owned;
  std::unique_ptr<uint8_t[]> part;
};

/// Sets those of `weights` that the file holds. Throws Error (weights_file).
void readSafetensors(Bytes file, std::vector<Weight> &weights);

} // namespace tsr
