/* SPDX-License-Identifier: Apache-2.0 */
/* sinter doctor: what this machine has of what engines may want, what would run, and why not. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/verb.h"
#include "compiler/compile_driver.h"
#include "runtime/comm/nccl/nccl_api.h"
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

/* What was found, for what follows from it. */
struct findings {
  uint32_t gpus;
  bool nccl, sim, sim_nccl;
};

/* Which pairs of GPUs do not reach each other's memory. */
static void report_peers(struct invocation *v, const struct cuda_api *api, uint32_t count) {
  struct strbuf apart = {0};
  uint32_t pairs = 0, missing = 0;
  for (uint32_t a = 0; a < count; a++)
    for (uint32_t b = 0; b < count; b++) {
      bool reaches = a == b;
      if (a == b || cuda_peers(api, a, b, &reaches) != STATUS_OK)
        continue;
      pairs++;
      if (!reaches && ++missing <= 8)
        strbuf_printf(&apart, "%s%u-%u", missing > 1 ? ", " : "", a, b);
    }
  if (!missing)
    report(v, "peers", true, "every GPU reaches the memory of every other");
  else
    report(v, "peers", false,
           arena_printf(&v->arena,
                        "%u of %u pairs do not reach each other's memory (%s%s): NCCL goes by "
                        "way of the host there",
                        missing, pairs, apart.data, missing > 8 ? ", ..." : ""));
  strbuf_deinit(&apart);
}

static uint32_t report_gpus(struct invocation *v, const char *what, const struct cuda_api *api) {
  int version;
  uint32_t count;
  if (cuda_probe(api, &version, &count) != STATUS_OK) {
    report(v, what, false, reason(v));
    return 0;
  }
  report(v, what, count > 0,
         arena_printf(&v->arena, "CUDA %d.%d, %u GPU%s%s", version / 1000, version % 1000 / 10,
                      count, count == 1 ? "" : "s",
                      api->graph_make && api->exec_update
                          ? ""
                          : "; a driver of CUDA 12 records runs better"));
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
  if (count > 1)
    report_peers(v, api, count);
  return count;
}

static void report_driver(struct invocation *v, struct findings *f) {
  const struct cuda_api *api;
  if (cuda_api_load(&api) == STATUS_OK)
    f->gpus = report_gpus(v, "cuda", api);
  else
    report(v, "cuda", false, reason(v));
}

static void report_simulator(struct invocation *v, struct findings *f) {
  const struct cuda_api *api;
  const struct nccl_api *nccl;
  int version;
  uint32_t count;
  f->sim = cuda_api_load_simulated(1, &api) == STATUS_OK &&
           cuda_probe(api, &version, &count) == STATUS_OK;
  if (!f->sim) {
    report(v, "sim", false, reason(v));
    return;
  }
  f->sim_nccl = nccl_api_load(true, &nccl) == STATUS_OK;
  report(
      v, "sim", true,
      f->sim_nccl
          ? arena_printf(&v->arena, "%u simulated GPUs for engines with PTX, and their NCCL", count)
          : arena_printf(&v->arena, "%u simulated GPUs for engines with PTX, without NCCL: %s",
                         count, reason(v)));
}

static void report_nccl(struct invocation *v, struct findings *f) {
  const struct nccl_api *api;
  f->nccl = nccl_api_load(false, &api) == STATUS_OK;
  report(v, "nccl", f->nccl,
         f->nccl ? arena_printf(&v->arena, "NCCL %d.%d.%d", api->number / 10000,
                                api->number / 100 % 100, api->number % 100)
                 : reason(v));
}

/* Engines by what they want, and what becomes of them here. */
static void report_runs(struct invocation *v, const struct findings *f) {
  report(v, "runs", true, "engines for the cpu, of any number of ranks (--devices cpu:N)");
  report(v, "runs", f->gpus > 0,
         f->gpus  ? "engines for one GPU (--devices cuda:0)"
         : f->sim ? "no engines on GPUs, since there is none; on simulated ones (--devices sim:1)"
                  : "no engines for GPUs, since there is none, and no simulator");
  if (f->gpus > 1)
    report(v, "runs", true,
           arena_printf(&v->arena, "engines for up to %u GPUs, one per rank%s", f->gpus,
                        f->nccl
                            ? ", which exchange elements by NCCL"
                            : "; without NCCL they exchange elements by way of the host, slowly"));
  else
    report(v, "runs", false,
           f->sim ? "no engines for several GPUs, but on simulated ones (--devices sim:4)"
                  : "no engines for several GPUs");
}

static void report_ptxas(struct invocation *v) {
  char found[8192];
  bool has = compiler_ptxas(found, sizeof found);
  report(v, "ptxas", has,
         has ? found : "not found: the driver assembles an engine's PTX when it loads it");
}

status verb_doctor(struct invocation *v) {
  if (v->as_json) {
    json_key(&v->json, "checks");
    json_array_begin(&v->json);
  }
  report(v, "cpu", true,
         arena_printf(&v->arena, "runs code for %s and below",
                      cpu_target_best(cpu_target_features())));
  struct findings found = {0};
  report_driver(v, &found);
  report_nccl(v, &found);
  report_simulator(v, &found);
  report_ptxas(v);
  report_runs(v, &found);
  if (v->as_json)
    json_array_end(&v->json);
  return STATUS_OK;
}
