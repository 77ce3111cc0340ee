// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Api.h"

#include "CallScope.h"
#include "Memory.h"
#include "Watch.h"
#include "cuda/Call.h"
#include "mesh/Entry.h"

#include <cmath>

namespace tsr {

thread_local CallScope *CallScope::current = nullptr;

// Compiled code reads the table by these offsets.
static_assert(offsetof(tsr_api, struct_size) == 0);
static_assert(offsetof(tsr_api, abi_version) == 4);
static_assert(offsetof(tsr_api, parallel_for) == 8);
static_assert(offsetof(tsr_api, fail) == 16);
static_assert(offsetof(tsr_api, math_f32) == 24);
static_assert(offsetof(tsr_api, math_f64) == 32);
static_assert(offsetof(tsr_api, alloc) == 40);
static_assert(offsetof(tsr_api, free) == 48);
static_assert(offsetof(tsr_api, launch) == 56);
static_assert(offsetof(tsr_api, copy) == 64);
static_assert(offsetof(tsr_api, read) == 72);
static_assert(offsetof(tsr_api, device_alloc) == 80);
static_assert(offsetof(tsr_api, device_free) == 88);
static_assert(offsetof(tsr_api, collective_start) == 96);
static_assert(offsetof(tsr_api, collective_wait) == 104);
static_assert(offsetof(tsr_api, axis_index) == 112);
static_assert(offsetof(tsr_api, observe) == 120);
static_assert(offsetof(tsr_api, collective_run) == 128);
static_assert(sizeof(tsr_api) == 136);

namespace {

/// libm's functions as functions of two arguments, in the order of TSR_MATH_*.
template <class T>
constexpr T (*mathTable[TSR_MATH_COUNT])(T, T) = {
    [](T x, T) { return std::exp(x); },      [](T x, T) { return std::exp2(x); },
    [](T x, T) { return std::expm1(x); },    [](T x, T) { return std::log(x); },
    [](T x, T) { return std::log2(x); },     [](T x, T) { return std::log1p(x); },
    [](T x, T) { return std::sin(x); },      [](T x, T) { return std::cos(x); },
    [](T x, T) { return std::tanh(x); },     [](T x, T) { return std::erf(x); },
    [](T x, T y) { return std::pow(x, y); }, [](T x, T y) { return std::fmod(x, y); }};

std::string expand(const char *message, int64_t value0, int64_t value1) {
  std::string result;
  for (const char *at = message ? message : "compiled code failed"; *at; ++at) {
    if (at[0] == '%' && (at[1] == '0' || at[1] == '1'))
      result += std::to_string(*++at == '0' ? value0 : value1);
    else
      result += *at;
  }
  return result;
}

int32_t apiFail(int32_t code, const char *message, int64_t value0, int64_t value1) {
  try {
    if (CallScope *scope = CallScope::current)
      scope->fail(code, expand(message, value0, value1));
    else // code that runs outside of any call, as in a host program that links an object statically
      setLastError(code, expand(message, value0, value1));
  } catch (const std::bad_alloc &) {
    if (CallScope *scope = CallScope::current)
      scope->fail(code, {});
  }
  return code;
}

} // namespace

const tsr_api api = {sizeof(tsr_api),    TSR_ABI_VERSION,   tsr_parallel_for, apiFail,         mathTable<float>,
                     mathTable<double>,  scratchAllocate,   scratchFree,      cuda::apiLaunch, cuda::apiCopy,
                     cuda::apiRead,      cuda::apiAllocate, cuda::apiFree,    mesh::apiStart,  mesh::apiWait,
                     mesh::apiAxisIndex, apiObserve,        mesh::apiRun};

} // namespace tsr

extern "C" const tsr_api *tsr_get_api(void) { return &tsr::api; }
