// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Places a compiled CPU object in memory: x86-64 ELF, relocatable (ET_REL), position independent, needing nothing from
// outside. A dynamic loader would want a file, a linker and a process-wide name space; this needs none of them, and it
// takes only what the compiler emits:
//
//   sections     allocated PROGBITS/NOTE/UNWIND; writable ones only if they are .data.rel.ro* or the tsr_runtime slot
//   relocations  R_X86_64_64, PC32, PLT32 (as PC32), GOTPCREL[X] and REX_GOTPCRELX (through slots that we make)
//   symbols      every one defined in the object
//
// Memory is written while it is RW, then text becomes RX and everything else R, the tsr_runtime slot too: no page is
// ever writable and executable. The bytes are untrusted while loading (any bytes give a result or an Error, in memory
// bounded by their size); running the code is another matter, and the documentation says so.
#pragma once

#include "Bytes.h"

#include <map>
#include <memory>
#include <string>

namespace tsr {

class HostObject {
public:
  static std::unique_ptr<HostObject> load(Bytes file, const tsr_api *api);
  ~HostObject();
  HostObject(const HostObject &) = delete;
  HostObject &operator=(const HostObject &) = delete;

  /// An exported function; throws Error (object_symbol) when there is none of that name.
  void *function(const std::string &name) const;

private:
  friend class ObjectLoader;
  HostObject() = default;
  void *memory = nullptr;
  size_t size = 0;
  std::map<std::string, void *, std::less<>> functions;
};

} // namespace tsr
