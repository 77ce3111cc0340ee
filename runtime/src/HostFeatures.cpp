// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "HostFeatures.h"

#include "tessera/runtime.h"

#include <algorithm>
#include <cpuid.h>
#include <cstdint>
#include <sys/syscall.h>
#include <unistd.h>

namespace tsr {

const char *const hostTriple = "x86_64-linux-gnu";

namespace {

struct Cpu {
  uint32_t leaf1c = 0, leaf7b = 0, leaf7c = 0, leaf7d = 0, leaf71a = 0, leaf71d = 0, ext1c = 0;
  uint64_t xcr0 = 0; // the register state that the kernel saves

  Cpu() {
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d))
      leaf1c = c;
    uint32_t subleaves = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
      subleaves = a, leaf7b = b, leaf7c = c, leaf7d = d;
    if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
      leaf71a = a, leaf71d = d;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
      ext1c = c;
    if (leaf1c >> 27 & 1) { // OSXSAVE: xgetbv may be executed
      uint32_t low, high;
      __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
      xcr0 = uint64_t(high) << 32 | low;
    }
  }

  /// Linux gives a process the AMX registers only when it asks (Documentation/arch/x86/xstate.rst).
  bool requestAmx() const {
    constexpr long requestPermission = 0x1023, tileData = 18;
    return (leaf7d >> 24 & 1) && (xcr0 >> 17 & 3) == 3 && syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
  }
};

std::vector<std::string> findFeatures() {
  const Cpu cpu;
  const bool avx = (cpu.xcr0 & 6) == 6, avx512 = (cpu.xcr0 & 0xe6) == 0xe6, amx = cpu.requestAmx();
  const struct {
    const char *name;
    uint32_t word;
    int bit;
    bool saved;
  } table[] = {
      {"sse3", cpu.leaf1c, 0, true},
      {"pclmul", cpu.leaf1c, 1, true},
      {"ssse3", cpu.leaf1c, 9, true},
      {"fma", cpu.leaf1c, 12, avx},
      {"cx16", cpu.leaf1c, 13, true},
      {"sse4.1", cpu.leaf1c, 19, true},
      {"sse4.2", cpu.leaf1c, 20, true},
      {"movbe", cpu.leaf1c, 22, true},
      {"popcnt", cpu.leaf1c, 23, true},
      {"aes", cpu.leaf1c, 25, true},
      {"avx", cpu.leaf1c, 28, avx},
      {"f16c", cpu.leaf1c, 29, avx},
      {"lzcnt", cpu.ext1c, 5, true},
      {"bmi", cpu.leaf7b, 3, true},
      {"avx2", cpu.leaf7b, 5, avx},
      {"bmi2", cpu.leaf7b, 8, true},
      {"avx512f", cpu.leaf7b, 16, avx512},
      {"avx512dq", cpu.leaf7b, 17, avx512},
      {"avx512ifma", cpu.leaf7b, 21, avx512},
      {"avx512cd", cpu.leaf7b, 28, avx512},
      {"avx512bw", cpu.leaf7b, 30, avx512},
      {"avx512vl", cpu.leaf7b, 31, avx512},
      {"avx512vbmi", cpu.leaf7c, 1, avx512},
      {"avx512vbmi2", cpu.leaf7c, 6, avx512},
      {"gfni", cpu.leaf7c, 8, true},
      {"vaes", cpu.leaf7c, 9, avx},
      {"vpclmulqdq", cpu.leaf7c, 10, avx},
      {"avx512vnni", cpu.leaf7c, 11, avx512},
      {"avx512bitalg", cpu.leaf7c, 12, avx512},
      {"avx512vpopcntdq", cpu.leaf7c, 14, avx512},
      {"amx-bf16", cpu.leaf7d, 22, amx},
      {"avx512fp16", cpu.leaf7d, 23, avx512},
      {"amx-tile", cpu.leaf7d, 24, amx},
      {"amx-int8", cpu.leaf7d, 25, amx},
      {"avxvnni", cpu.leaf71a, 4, avx},
      {"avx512bf16", cpu.leaf71a, 5, avx512},
      {"amx-fp16", cpu.leaf71a, 21, amx},
      {"avxvnniint8", cpu.leaf71d, 4, avx},
      {"avxneconvert", cpu.leaf71d, 5, avx},
  };
  std::vector<std::string> features{"sse", "sse2"}; // x86-64 has them
  for (const auto &row : table)
    if (row.saved && (row.word >> row.bit & 1))
      features.push_back(row.name);
  return features;
}

const std::vector<std::string> &features() {
  static const std::vector<std::string> found = findFeatures();
  return found;
}

bool hasAll(std::initializer_list<const char *> names) {
  return std::all_of(names.begin(), names.end(), [](const char *name) { return hostHasFeature(name); });
}

} // namespace

bool hostHasFeature(const std::string &name) {
  return std::find(features().begin(), features().end(), name) != features().end();
}

} // namespace tsr

extern "C" const char *tsr_host_features(void) {
  static const std::string joined = [] {
    std::string result;
    for (const std::string &name : tsr::features())
      result += (result.empty() ? "" : ",") + name;
    return result;
  }();
  return joined.c_str();
}

extern "C" const char *tsr_native_target(void) {
  if (tsr::hasAll({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx2", "fma", "f16c"}))
    return "cpu:avx512";
  return tsr::hasAll({"avx2", "fma", "f16c"}) ? "cpu:avx2" : "cpu";
}
