// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Finding libmpi and libnccl: named by the environment, in the process already, where Python has its packages, or where
// the system's loader looks.
#pragma once

#include "../Status.h"

#include <vector>

namespace tsr::mesh {

/// A folder to look in, such as the lib folder of Python's installation.
void addLibraryFolder(const char *folder);

struct Library {
  void *handle = nullptr; // never closed
  std::string path;
};

/// `names` are tried in order; `patterns` too, below each folder (as glob takes them). `variable` overrules all.
/// Throws Error (`code`) that says what was tried.
Library openLibrary(const char *variable, const std::vector<const char *> &names,
                    const std::vector<const char *> &patterns, Code code);

} // namespace tsr::mesh
