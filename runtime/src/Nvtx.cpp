// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Nvtx.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

namespace tsr::nvtx {

namespace {

// Names, numbers and layouts are those of nvtxDetail/nvtxTypes.h (NVTX 3), whose binary interface is stable.
using Function = void (*)();
using RangePush = int (*)(const char *message);
using RangePop = int (*)();

constexpr int moduleCount = 7, core = 1; // modules are numbered from 1
constexpr uint32_t rangePush = 9, rangePop = 11, functionCount = 16;
constexpr uint32_t callbackTable = 1, versionTable = 3, version = 3;

/// What a tool fills: for each function of a module, the place of its pointer.
struct ModuleTable {
  Function functions[functionCount] = {};
  Function *places[functionCount + 1] = {}; // ends with a null
  ModuleTable() {
    for (uint32_t i = 1; i < functionCount; ++i)
      places[i] = &functions[i];
  }
};

ModuleTable tables[moduleCount];

int moduleTable(int module, Function ***table, unsigned *size) {
  if (module < 1 || module >= moduleCount)
    return 0;
  if (size)
    *size = functionCount;
  if (table)
    *table = tables[module].places;
  return 1;
}

const void *exportTable(uint32_t id) {
  static const struct {
    size_t size;
    int (*moduleTable)(int, Function ***, unsigned *);
  } callbacks{sizeof callbacks, moduleTable};
  static const struct {
    size_t size;
    uint32_t version, reserved;
    void (*setToolVersion)(uint32_t);
  } versions{sizeof versions, version, 0, [](uint32_t) {}};
  return id == callbackTable ? static_cast<const void *>(&callbacks) : id == versionTable ? &versions : nullptr;
}

struct Tool {
  RangePush push = nullptr;
  RangePop pop = nullptr;

  Tool() {
    const char *path = std::getenv("NVTX_INJECTION64_PATH");
    void *library = path && *path ? dlopen(path, RTLD_LAZY) : nullptr; // never closed
    using Initialize = int (*)(const void *(*)(uint32_t));
    auto initialize = library ? reinterpret_cast<Initialize>(dlsym(library, "InitializeInjectionNvtx2")) : nullptr;
    Function *functions = tables[core].functions;
    if (!initialize || !initialize(exportTable) || !functions[rangePush] || !functions[rangePop])
      return;
    push = reinterpret_cast<RangePush>(functions[rangePush]);
    pop = reinterpret_cast<RangePop>(functions[rangePop]);
  }
};

const Tool &tool() {
  static const Tool tool;
  return tool;
}

} // namespace

Range::Range(const char *name) : isOpen(name && tool().push) {
  if (isOpen)
    tool().push(name);
}

Range::~Range() {
  if (isOpen)
    tool().pop();
}

bool showsKernels() {
  static const bool wanted = [] {
    const char *value = std::getenv("TESSERA_NVTX");
    return value && !std::strcmp(value, "1");
  }();
  return wanted && tool().push;
}

} // namespace tsr::nvtx
