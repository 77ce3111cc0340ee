// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StatusFile.h"

#include "World.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace tsr::mesh {

static constexpr size_t size = 256;

/// Null where nobody asked, or the file cannot be had: it is only a courtesy.
static char *map() {
  const char *folder = std::getenv("TESSERA_MESH_STATUS");
  if (!folder || !*folder)
    return nullptr;
  const int file = open(text(folder, "/", world().rank).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0)
    return nullptr;
  void *memory =
      ftruncate(file, size) == 0 ? mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  close(file);
  return memory == MAP_FAILED ? nullptr : static_cast<char *>(memory);
}

void noteCollective(const std::string &label) noexcept {
  static char *const memory = map();
  if (!memory)
    return;
  const size_t length = std::min(label.size(), size - 1);
  std::memcpy(memory, label.data(), length);
  memory[length] = '\0';
}

} // namespace tsr::mesh
