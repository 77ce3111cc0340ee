// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mapping.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tsr {

namespace {
struct File {
  int descriptor;
  ~File() {
    if (descriptor >= 0)
      close(descriptor);
  }
};
} // namespace

std::unique_ptr<Mapping> Mapping::ofFile(const char *path) {
  File file{open(path, O_RDONLY | O_CLOEXEC)};
  if (file.descriptor < 0)
    refuse(Code::file, "cannot open '", path, "': ", std::strerror(errno));
  struct stat status;
  if (fstat(file.descriptor, &status) != 0)
    refuse(Code::file, "cannot read '", path, "': ", std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    refuse(Code::file, "cannot map '", path, "': it is not a regular file");
  if (status.st_size == 0)
    refuse(Code::zip, "'", path, "' is empty: expected a .tsr artifact");
  size_t size = static_cast<size_t>(status.st_size);
  void *memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor, 0);
  if (memory == MAP_FAILED)
    refuse(Code::file, "cannot map '", path, "': ", std::strerror(errno));
  return std::unique_ptr<Mapping>(new Mapping(memory, size));
}

std::unique_ptr<Mapping> Mapping::ofCopy(const void *bytes, size_t size) {
  if (size == 0)
    refuse(Code::zip, "artifact is empty");
  // Page-aligned, so that the archive's 256-byte alignment means something in memory too.
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw std::bad_alloc();
  std::memcpy(memory, bytes, size);
  mprotect(memory, size, PROT_READ);
  return std::unique_ptr<Mapping>(new Mapping(memory, size));
}

Mapping::~Mapping() { munmap(memory, size); }

} // namespace tsr
