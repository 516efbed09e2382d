/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID against the names of targets. */
#include "runtime/drivers/cpu/cpu_target.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum feature {
#define CPU_FEATURE(name, text, level, leaf, subleaf, reg, bit, state) FEATURE_##name,
#include "runtime/drivers/cpu/cpu_feature.def"
#undef CPU_FEATURE
  FEATURE_COUNT
};

enum reg { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

static const struct {
  const char *name;
  uint32_t level, leaf, subleaf;
  enum reg reg;
  uint32_t bit;
  uint64_t state;
} table[FEATURE_COUNT] = {
#define CPU_FEATURE(name, text, level, leaf, subleaf, reg, bit, state)                             \
  {text, level, leaf, subleaf, REG_##reg, bit, state},
#include "runtime/drivers/cpu/cpu_feature.def"
#undef CPU_FEATURE
};

_Static_assert(FEATURE_COUNT <= 64, "features are bits of a word");

#if defined(__x86_64__)
/* What the system saves on a context switch; features beyond it must not be used. */
static uint64_t saved_state(void) {
  uint32_t a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1))
    return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

unsigned long long cpu_target_features(void) {
  unsigned long long features = 0;
  uint64_t state = saved_state();
  for (int i = 0; i < FEATURE_COUNT; i++) {
    uint32_t r[4] = {0};
    if (!__get_cpuid_count(table[i].leaf, table[i].subleaf, &r[0], &r[1], &r[2], &r[3]))
      continue;
    if (r[table[i].reg] >> table[i].bit & 1 && (state & table[i].state) == table[i].state)
      features |= 1ull << i;
  }
  return features;
}
#else
unsigned long long cpu_target_features(void) { return 0; }
#endif

static const char *const level_names[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"};

static bool has_level(unsigned level, unsigned long long features, const char **out_missing) {
  for (int i = 0; i < FEATURE_COUNT; i++)
    if (table[i].level <= level && !(features >> i & 1)) {
      *out_missing = table[i].name;
      return false;
    }
  return true;
}

static bool has_feature(const char *name, size_t n, unsigned long long features,
                        const char **out_missing) {
  *out_missing = name;
  for (int i = 0; i < FEATURE_COUNT; i++)
    if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0)
      return features >> i & 1;
  return false;
}

bool cpu_target_runs(const char *target, unsigned long long features, const char **out_missing) {
  size_t n = strcspn(target, "+");
  *out_missing = target;
  for (unsigned level = 1; level <= 4; level++) {
    if (strlen(level_names[level - 1]) != n || memcmp(level_names[level - 1], target, n) != 0)
      continue;
    if (!has_level(level, features, out_missing))
      return false;
    for (const char *p = target + n; *p == '+'; p += n) {
      n = strcspn(++p, "+");
      if (!has_feature(p, n, features, out_missing))
        return false;
    }
    return true;
  }
  return false;
}

const char *cpu_target_best(unsigned long long features) {
  const char *missing;
  for (unsigned level = 4; level >= 1; level--)
    if (has_level(level, features, &missing))
      return level_names[level - 1];
  return "none";
}

bool cpu_target_describe(unsigned long long features, char *buffer, size_t n) {
  const char *best = cpu_target_best(features), *missing;
  if (!cpu_target_runs(best, features, &missing))
    return false;
  size_t length = (size_t)snprintf(buffer, n, "%s", best);
  for (int i = 0; i < FEATURE_COUNT && length < n; i++)
    if (features >> i & 1 && table[i].level == 9)
      length += (size_t)snprintf(buffer + length, n - length, "+%s", table[i].name);
  return length < n;
}
