// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which compiled GPU code runs on which device.
#pragma once

#include "../Manifest.h"
#include "Device.h"

namespace tsr::cuda {

/// The code of a variant that suits a device: its machine code, or PTX that the driver translates.
struct Choice {
  const Variant *variant = nullptr;
  bool isPtx = false;
};

/// The best of an entry's variants for a device. Machine code comes first: an architecture's own (sm_90a on 9.0 alone),
/// then one of its family (sm_100f), then the nearest below it of the same generation (sm_80 on 8.6); then the PTX of
/// the nearest capability below it. No variant when none suits.
Choice choose(const std::vector<Variant> &variants, Capability capability);

} // namespace tsr::cuda
