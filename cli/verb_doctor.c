/* SPDX-License-Identifier: Apache-2.0 */
/* sinter doctor: what this machine has of what engines may want, what would run, and why not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/verb.h"
#include "runtime/drivers/cpu/cpu_target.h"
#include "runtime/drivers/cuda/cuda_probe.h"
#include "runtime/fault.h"

/* One thing that was looked at. */
static void report(struct invocation *v, const char *what, bool good, const char *text) {
  if (!v->as_json) {
    printf("%-9s %-3s %s\n", what, good ? "ok" : "-", text);
    return;
  }
  json_object_begin(&v->json);
  json_key(&v->json, "what"), json_string(&v->json, what);
  json_key(&v->json, "ok"), json_bool(&v->json, good);
  json_key(&v->json, "text"), json_string(&v->json, text);
  json_object_end(&v->json);
}

/* The first line of the thread's last error, without its code. */
static const char *reason(struct invocation *v) {
  const char *text = fault_text();
  const char *start = strstr(text, "]: ");
  start = start ? start + 3 : text;
  return arena_strndup(&v->arena, start, strcspn(start, "\n"));
}

static void report_gpus(struct invocation *v, const char *what, const struct cuda_api *api) {
  int version;
  uint32_t count;
  if (cuda_probe(api, &version, &count) != STATUS_OK) {
    report(v, what, false, reason(v));
    return;
  }
  report(v, what, count > 0,
         arena_printf(&v->arena, "CUDA %d.%d, %u GPU%s", version / 1000, version % 1000 / 10, count,
                      count == 1 ? "" : "s"));
  for (uint32_t i = 0; i < count; i++) {
    struct gpu_info gpu;
    char name[32];
    snprintf(name, sizeof name, "%s:%u", what, i);
    if (cuda_describe(api, i, &gpu) != STATUS_OK)
      report(v, name, false, reason(v));
    else
      report(v, name, true,
             arena_printf(&v->arena, "%s, sm_%d, %d multiprocessors, %.1f GiB", gpu.name,
                          gpu.capability, gpu.multiprocessors, (double)gpu.memory / 0x1p30));
  }
}

static void report_driver(struct invocation *v) {
  const struct cuda_api *api;
  if (cuda_api_load(&api) == STATUS_OK)
    report_gpus(v, "cuda", api);
  else
    report(v, "cuda", false, reason(v));
}

static void report_simulator(struct invocation *v) {
  const struct cuda_api *api;
  int version;
  uint32_t count;
  if (cuda_api_load_simulated(1, &api) == STATUS_OK &&
      cuda_probe(api, &version, &count) == STATUS_OK)
    report(v, "sim", true,
           arena_printf(&v->arena, "%u simulated GPUs for engines with PTX", count));
  else
    report(v, "sim", false, reason(v));
}

static void report_nccl(struct invocation *v) {
  int version;
  char problem[256];
  if (nccl_probe(&version, problem, sizeof problem))
    report(v, "nccl", true,
           arena_printf(&v->arena, "NCCL %d.%d.%d", version / 10000, version / 100 % 100,
                        version % 100));
  else
    report(v, "nccl", false, problem);
}

static const char *find_program(struct invocation *v, const char *name, const char *elsewhere) {
  const char *path = getenv("PATH");
  for (const char *at = path ? path : ""; *at; at += strcspn(at, ":"), at += *at == ':') {
    const char *file = arena_printf(&v->arena, "%.*s/%s", (int)strcspn(at, ":"), at, name);
    if (access(file, X_OK) == 0)
      return file;
  }
  return access(elsewhere, X_OK) == 0 ? elsewhere : NULL;
}

static void report_ptxas(struct invocation *v) {
  const char *path = find_program(v, "ptxas", "/usr/local/cuda/bin/ptxas");
  report(v, "ptxas", path != NULL,
         path ? path : "not found: the driver assembles an engine's PTX when it loads it");
}

status verb_doctor(struct invocation *v) {
  if (v->as_json) {
    json_key(&v->json, "checks");
    json_array_begin(&v->json);
  }
  report(v, "cpu", true,
         arena_printf(&v->arena, "runs code for %s and below",
                      cpu_target_best(cpu_target_features())));
  report_driver(v);
  report_simulator(v);
  report_nccl(v);
  report_ptxas(v);
  if (v->as_json)
    json_array_end(&v->json);
  return STATUS_OK;
}
