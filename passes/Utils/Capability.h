// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_UTILS_CAPABILITY_H
#define TESSERA_PASSES_UTILS_CAPABILITY_H

#include "llvm/ADT/StringRef.h"

namespace tessera {

/// The compute capability that the name of a chip has: 90 for sm_90 and sm_90a; 0 where it has none.
inline unsigned capabilityOf(llvm::StringRef chip) {
  unsigned number = 0;
  return chip.consume_front("sm_") && !chip.consumeInteger(10, number) ? number : 0;
}

} // namespace tessera

#endif // TESSERA_PASSES_UTILS_CAPABILITY_H
