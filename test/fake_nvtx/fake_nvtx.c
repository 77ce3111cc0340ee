// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A tool for NVTX ranges, as Nsight's are: NVTX_INJECTION64_PATH names it, and it prints the ranges of all threads to
// standard error. Like these, it asks for the versions and for all modules of functions, and fails without.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef void (*function)(void);

static int push(const char *message) {
  fprintf(stderr, "push %s\n", message);
  return 0;
}

static int pop(void) {
  fprintf(stderr, "pop\n");
  return 0;
}

__attribute__((visibility("default"))) int InitializeInjectionNvtx2(const void *(*export_table)(uint32_t)) {
  const struct {
    size_t size;
    int (*module_table)(int module, function ***table, unsigned *size);
  } *callbacks = export_table(1);
  const struct {
    size_t size;
    uint32_t version, reserved;
    void (*set_injection_version)(uint32_t);
  } *versions = export_table(3);
  function **core, **other;
  unsigned size = 0;
  if (!callbacks || callbacks->size < sizeof *callbacks || !versions || versions->version != 3 || export_table(2))
    return 0;
  versions->set_injection_version(3);
  for (int module = 1; module <= 6; ++module) { // all that NVTX 3 has
    if (!callbacks->module_table(module, &other, NULL))
      return 0;
    *other[1] = (function)pop; // what nobody calls
  }
  if (!callbacks->module_table(1, &core, &size) || size < 12 || callbacks->module_table(7, &other, &size))
    return 0;
  *core[9] = (function)push;
  *core[11] = (function)pop;
  return 1;
}
