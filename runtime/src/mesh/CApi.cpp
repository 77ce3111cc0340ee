// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The part of the C ABI that is about meshes.
#include "Failure.h"
#include "Library.h"
#include "World.h"

using namespace tsr;

extern "C" {

int32_t tsr_world(tsr_world_info *info) {
  return guarded([&] {
    requireStruct(info, "tsr_world_info");
    const mesh::World &world = mesh::world();
    info->rank = world.rank;
    info->size = world.size;
    info->local_rank = world.localRank;
  });
}

int32_t tsr_mesh_timeout(double *seconds) {
  return guarded([&] {
    requireHandle(seconds, "seconds");
    *seconds = mesh::timeout();
  });
}

int32_t tsr_mesh_set_timeout(double seconds) {
  return guarded([&] { mesh::setTimeout(seconds); });
}

int32_t tsr_mesh_add_library_folder(const char *folder) {
  return guarded([&] {
    requireHandle(folder, "folder");
    mesh::addLibraryFolder(folder);
  });
}

void tsr_mesh_on_failure(void (*hook)(void *, int32_t, const char *), void *context) {
  mesh::setFailureHook(hook, context);
}

void tsr_mesh_leave(void) { mesh::leave(); }

} // extern "C"
