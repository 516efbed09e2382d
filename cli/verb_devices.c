/* SPDX-License-Identifier: Apache-2.0 */
/* sinter devices: what sessions can run on here. */
#include "cli/verb.h"
#include "runtime/drivers/cpu/cpu_target.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The value of the first "key : value" line of /proc/cpuinfo; "unknown" without one. */
static const char *cpuinfo(struct arena *arena, const char *key) {
  FILE *f = fopen("/proc/cpuinfo", "r");
  const char *found = "unknown";
  char line[512];
  while (f && fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (strncmp(line, key, strlen(key)) || !colon)
      continue;
    char *value = colon + 1 + strspn(colon + 1, " \t");
    found = arena_strndup(arena, value, strcspn(value, "\n"));
    break;
  }
  if (f)
    fclose(f);
  return found;
}

static unsigned usable_cpus(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

/* 0 where the system does not say. */
static int64_t cache_bytes(int name) {
  long bytes = sysconf(name);
  return bytes > 0 ? bytes : 0;
}

status verb_devices(struct invocation *v) {
  const char *model = cpuinfo(&v->arena, "model name");
  const char *target = cpu_target_best(cpu_target_features());
  int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  int64_t l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE), l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE),
          l3 = cache_bytes(_SC_LEVEL3_CACHE_SIZE);
  if (!v->as_json) {
    printf("cpu  %s\n", model);
    printf("     %u usable cpus, target %s, %.1f GiB of memory\n", usable_cpus(), target,
           (double)memory / 0x1p30);
    printf("     caches: L1 %lld KiB, L2 %lld KiB, L3 %lld KiB\n", (long long)l1 / 1024,
           (long long)l2 / 1024, (long long)l3 / 1024);
    printf("     cpu:N is N devices for N ranks: one processor, memory apart\n");
    return STATUS_OK;
  }
  struct json *j = &v->json;
  json_key(j, "devices");
  json_array_begin(j);
  json_object_begin(j);
  json_key(j, "name"), json_string(j, "cpu");
  json_key(j, "model"), json_string(j, model);
  json_key(j, "target"), json_string(j, target);
  json_key(j, "cpus"), json_u64(j, usable_cpus());
  json_key(j, "memory_bytes"), json_i64(j, memory);
  json_key(j, "cache_bytes");
  json_array_begin(j);
  json_i64(j, l1), json_i64(j, l2), json_i64(j, l3);
  json_array_end(j);
  json_object_end(j);
  json_array_end(j);
  return STATUS_OK;
}
