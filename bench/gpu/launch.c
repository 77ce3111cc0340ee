/* Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 * What a launch costs at least: a loop of cuLaunchKernelEx of a kernel of three arguments that does nothing. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static const char ptx[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
                          ".visible .entry nothing(.param .u64 a, .param .u64 b, .param .u64 c) { ret; }\n";

/* CUlaunchConfig of cuda.h. */
typedef struct {
  unsigned grid[3], block[3], shared;
  void *stream, *attributes;
  unsigned attribute_count;
} launch_config;

static int (*launch)(const launch_config *, void *, void **, void **);
static void *kernel;

/* Loads the kernel into the calling thread's context. Returns 0, or the driver's error; -1 without a driver. */
int prepare(void) {
  void *driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (!driver)
    return -1;
  int (*load)(void **, const void *, void *, void *, unsigned, void *, void *, unsigned) =
      (int (*)(void **, const void *, void *, void *, unsigned, void *, void *, unsigned))dlsym(driver,
                                                                                                "cuLibraryLoadData");
  int (*get)(void **, void *, const char *) =
      (int (*)(void **, void *, const char *))dlsym(driver, "cuLibraryGetKernel");
  launch = (int (*)(const launch_config *, void *, void **, void **))dlsym(driver, "cuLaunchKernelEx");
  if (!load || !get || !launch)
    return -1;
  void *library;
  int error = load(&library, ptx, NULL, NULL, 0, NULL, NULL, 0);
  return error ? error : get(&kernel, library, "nothing");
}

/* Launches on a stream; returns nanoseconds a launch, or less than 0. */
double launch_loop(int count, void *stream) {
  uint64_t a = 0, b = 0, c = 0;
  void *arguments[] = {&a, &b, &c};
  launch_config config = {{1, 1, 1}, {32, 1, 1}, 0, stream, NULL, 0};
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int i = 0; i < count; ++i)
    if (launch(&config, kernel, arguments, NULL))
      return -1;
  clock_gettime(CLOCK_MONOTONIC, &end);
  return ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / count;
}
