// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Library.h"

#include <cstdlib>
#include <dlfcn.h>
#include <glob.h>
#include <mutex>

namespace tsr::mesh {

namespace {

std::mutex foldersMutex;
std::vector<std::string> folders;

std::vector<std::string> matches(const std::string &pattern) {
  std::vector<std::string> paths;
  glob_t found{};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return paths;
}

} // namespace

void addLibraryFolder(const char *folder) {
  std::lock_guard<std::mutex> lock(foldersMutex);
  folders.push_back(folder);
}

Library openLibrary(const char *variable, const std::vector<const char *> &names,
                    const std::vector<const char *> &patterns, Code code) {
  std::string tried;
  auto open = [&](const std::string &path, int flags = 0) {
    void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | flags);
    if (const char *problem = handle || flags ? nullptr : dlerror())
      tried += text(tried.empty() ? "" : "; ", problem);
    return Library{handle, path};
  };
  if (const char *chosen = std::getenv(variable); chosen && *chosen) {
    if (Library library = open(chosen); library.handle)
      return library;
    refuse(code, variable, ": ", tried);
  }
  for (const char *name : names)
    if (Library library = open(name, RTLD_NOLOAD); library.handle)
      return library;
  std::lock_guard<std::mutex> lock(foldersMutex);
  for (const std::string &folder : folders)
    for (const char *pattern : patterns)
      for (const std::string &path : matches(folder + "/" + pattern))
        if (Library library = open(path); library.handle)
          return library;
  for (const char *name : names)
    if (Library library = open(name); library.handle)
      return library;
  refuse(code, tried);
}

} // namespace tsr::mesh
