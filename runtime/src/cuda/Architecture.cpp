// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Architecture.h"

namespace tsr::cuda {

namespace {

/// 0 when the machine code does not run there; otherwise the higher the better.
int32_t rankOfCode(const Architecture &code, Capability device) {
  const bool sameMajor = code.major == device.major, same = sameMajor && code.minor == device.minor;
  const bool notNewer = sameMajor && code.minor <= device.minor;
  switch (code.suffix) {
  case 'a':
    return same ? 1000 : 0;
  case 'f':
    return notNewer ? 500 + code.minor : 0;
  default:
    return notNewer ? 100 + code.minor : 0;
  }
}

/// The same for PTX, which is always below machine code; that of an architecture with a suffix runs nowhere else.
int32_t rankOfPtx(const Architecture &code, Capability device) {
  const bool notNewer = code.major < device.major || (code.major == device.major && code.minor <= device.minor);
  return code.suffix == 0 && notNewer ? -1000 + code.major * 10 + code.minor : INT32_MIN;
}

} // namespace

Choice choose(const std::vector<Variant> &variants, Capability capability) {
  Choice best;
  int32_t bestRank = INT32_MIN;
  auto consider = [&](const Variant &variant, int32_t rank, bool isPtx) {
    if (rank > bestRank)
      best = {&variant, isPtx}, bestRank = rank;
  };
  for (const Variant &variant : variants) {
    if (!variant.module)
      continue;
    const Module &module = *variant.module;
    if (int32_t rank = rankOfCode(module.architecture, capability); rank > 0 && module.holdsCode())
      consider(variant, rank, false);
    if (!module.ptx.empty())
      consider(variant, rankOfPtx(module.architecture, capability), true);
  }
  return best;
}

} // namespace tsr::cuda
