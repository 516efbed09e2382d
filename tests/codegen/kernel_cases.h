/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules against the interpreter in exact arithmetic (doubles): modules made of a seed are
 * compiled, run (code of GPUs on simulated ones) and compared. A failure prints the module and its
 * seed; SINTER_SEED and SINTER_COUNT choose others, SINTER_TEST a test by its name.
 *
 * Each row of kernels.def belongs to a program of tests by its root; check_coverage fails where a
 * row got no case on one of its targets. */
#ifndef SINTER_TESTS_CODEGEN_KERNEL_CASES_H
#define SINTER_TESTS_CODEGEN_KERNEL_CASES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "codegen/engine_build.h"
#include "codegen/kernel.h"
#include "codegen/schedule.h"
#include "include/sinter/runtime.h"
#include "ir/random_inputs.h"
#include "ir/text.h"
#include "passes/pipeline.h"

static uint64_t state_of_random;

static int64_t pick(int64_t lo, int64_t hi) {
  state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
  return lo + (int64_t)((state_of_random >> 33) % (uint64_t)(hi - lo + 1));
}

/* Sizes with the edges that blocks have. */
static int64_t size(int64_t most) {
  static const int64_t edges[] = {1, 2, 7, 8, 9, 15, 16, 17, 48, 49, 64, 65};
  int64_t n = pick(0, 1) ? edges[pick(0, 11)] : pick(1, most);
  return n > most ? pick(1, most) : n;
}

/* ---- one module ---- */

struct run {
  const char *text, *target, *devices;
  uint64_t seed;
  struct diags diags;
  struct arena arena;
  char path[64];
};

static void fail_run(struct run *r, const char *what) {
  diags_print(&r->diags, stderr);
  fail_msg("%s (%s, seed %llu) of\n%s", what, r->target, (unsigned long long)r->seed, r->text);
}

static struct module *parse(struct run *r) {
  struct module *m = NULL;
  module_parse("kernel.sir", r->text, strlen(r->text), &r->diags, &m);
  if (!m)
    fail_run(r, "parsing failed");
  return m;
}

/* ---- coverage ---- */

enum { ON_cpu = 1 << TARGET_CPU, ON_nvptx = 1 << TARGET_NVPTX, ON_any = ON_cpu | ON_nvptx };

static struct {
  const struct schedule *schedule;
  int targets, seen;
} schedule_rows[] = {
#define KERNEL(target, root, name) {&schedule_##name, ON_##target, 0},
#include "codegen/kernels.def"
#undef KERNEL
};

enum { SCHEDULE_ROWS = sizeof schedule_rows / sizeof *schedule_rows };

/* Which program has the cases of a root. */
enum kernel_program { KERNELS, KERNELS_DATA };

static enum kernel_program program_of(enum root_kind root) {
  switch (root) {
  case ROOT_KIND_POINTWISE:
  case ROOT_KIND_ROW:
  case ROOT_KIND_REDUCE:
  case ROOT_KIND_WINDOW:
  case ROOT_KIND_CONTRACT:
  case ROOT_KIND_CONV:
  case ROOT_KIND_ATTENTION: return KERNELS;
  case ROOT_KIND_SCAN:
  case ROOT_KIND_SCATTER:
  case ROOT_KIND_UPDATE:
  case ROOT_KIND_TOPK:
  case ROOT_KIND_NONZERO:
  case ROOT_KIND_UNIQUE:
  case ROOT_KIND_NMS: break;
  }
  return KERNELS_DATA;
}

static void note_schedules(struct run *r, struct module *m, const struct target_isa *isa) {
  struct kernel_set set;
  if (kernel_set_init(&set, m, isa, &r->diags) != STATUS_OK)
    fail_run(r, "there are no kernels");
  for (uint32_t i = 0; i < set.kernels.len; i++)
    for (uint32_t k = 0; k < SCHEDULE_ROWS; k++)
      if (schedule_rows[k].schedule == set.kernels.data[i].schedule)
        schedule_rows[k].seen |= 1 << isa->kind;
  kernel_set_deinit(&set);
}

/* The last test of a program. Seeds of the caller's choice need not meet every row. */
static void check_coverage(enum kernel_program program) {
  uint32_t missing = 0;
  if (getenv("SINTER_SEED") || getenv("SINTER_COUNT") || getenv("SINTER_TEST"))
    return;
  for (uint32_t k = 0; k < SCHEDULE_ROWS; k++) {
    int without = schedule_rows[k].targets & ~schedule_rows[k].seen;
    if (program_of(schedule_rows[k].schedule->root) != program || !without)
      continue;
    missing++;
    fprintf(stderr, "no case met '%s'%s%s\n", schedule_rows[k].schedule->name,
            without & ON_cpu ? " on cpu" : "", without & ON_nvptx ? " on nvptx" : "");
  }
  assert_int_equal(missing, 0);
}

/* ---- running ---- */

static bool build(struct run *r) {
  struct target_isa isa;
  if (target_isa_resolve(&r->diags, r->target, &isa) != STATUS_OK)
    fail_run(r, "no target");
  r->devices = isa.kind == TARGET_NVPTX ? "sim:1" : "cpu";
  if (isa.kind == TARGET_CPU && !target_isa_runs_here(&isa))
    return false;
  struct module *m = parse(r);
  struct pipeline_options passes = {.verify_each = true, .gpu = isa.kind == TARGET_NVPTX};
  struct engine_build_options options = {.isa = &isa, .threads = 1};
  if (pipeline_run(m, &passes, &r->diags) != STATUS_OK)
    fail_run(r, "a pass failed");
  note_schedules(r, m, &isa);
  if (engine_build(m, &options, r->path, &r->diags) != STATUS_OK)
    fail_run(r, "code generation failed");
  module_destroy(m);
  return true;
}

static void run_engine(struct run *r, struct tensor **in, uint32_t n_in, sinter_tensor *out,
                       uint32_t n_out, sinter_session **out_session, sinter_engine **out_engine) {
  sinter_tensor *tensors = ARENA_ARRAY(&r->arena, sinter_tensor, n_in + 1);
  for (uint32_t i = 0; i < n_in; i++) {
    tensors[i].dtype = (sinter_dtype)dtype_infos[in[i]->dtype].onnx;
    tensors[i].rank = in[i]->rank;
    memcpy(tensors[i].dims, in[i]->dims, in[i]->rank * sizeof *in[i]->dims);
    tensors[i].data = tensor_to_bytes(&r->arena, in[i], &tensors[i].bytes);
  }
  sinter_session_options options = {
      .struct_size = sizeof options, .devices = r->devices, .threads = 2};
  if (sinter_engine_open(r->path, NULL, out_engine) ||
      sinter_session_create(*out_engine, &options, out_session) ||
      sinter_session_run(*out_session, "main", tensors, n_in, out, n_out)) {
    fail_run(r, sinter_last_error());
  }
}

/* Errors may be as large as `roundoff` times the largest magnitude. */
static void compare(struct run *r, const struct tensor *want, const sinter_tensor *have) {
  if (want->rank != have->rank || memcmp(want->dims, have->dims, want->rank * sizeof *want->dims)) {
    fail_run(r, "the shape differs");
  }
  struct tensor *x = tensor_from_bytes(&r->arena, want->dtype, want->dims, want->rank, have->data);
  if (!dtype_is_float(want->dtype)) {
    for (int64_t i = 0; i < want->count; i++) {
      if (x->i64[i] != want->i64[i])
        fail_run(r, "integers differ");
    }
    return;
  }
  double most = 0, limit = want->dtype == DTYPE_F64   ? 1e-12
                           : want->dtype == DTYPE_F32 ? 1e-5
                                                      : 1e-2;
  for (int64_t i = 0; i < want->count; i++)
    most = fmax(most, isfinite(want->f64[i]) ? fabs(want->f64[i]) : 0);
  for (int64_t i = 0; i < want->count; i++) {
    double a = want->f64[i], b = x->f64[i];
    if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= limit * most)
      continue;
    fprintf(stderr, "element %lld: %.9g instead of %.9g\n", (long long)i, b, a);
    fail_run(r, "values differ");
  }
}

static void check_on(const char *text, const char *target, uint64_t seed) {
  struct run r = {.text = text, .target = target, .seed = seed};
  snprintf(r.path, sizeof r.path, "/tmp/test_kernels.%d.sinter", (int)getpid());
  if (!build(&r))
    return;
  struct module *m = parse(&r);
  const struct function *f = m->functions.data[0];
  uint32_t n_in = f->regions.data[0].params.len, n_out = f->regions.data[0].results.len;
  struct tensor **in = ARENA_ARRAY(&r.arena, struct tensor *, n_in + 1);
  struct tensor **want = ARENA_ARRAY(&r.arena, struct tensor *, n_out);
  sinter_tensor *out = ARENA_ARRAY(&r.arena, sinter_tensor, n_out);
  sinter_session *session;
  sinter_engine *engine;
  if (!random_inputs(f, seed, &r.arena, in))
    fail_run(&r, "no inputs");
  if (interp_run(f, INTERP_EXACT, in, &r.arena, &r.diags, want) != STATUS_OK)
    fail_run(&r, "the interpreter failed");
  run_engine(&r, in, n_in, out, n_out, &session, &engine);
  for (uint32_t i = 0; i < n_out; i++)
    compare(&r, want[i], &out[i]);
  sinter_session_destroy(session);
  sinter_engine_close(engine);
  unlink(r.path);
  module_destroy(m);
  arena_deinit(&r.arena);
  diags_deinit(&r.diags);
}

/* If set, instead of one by the seed. */
static const char *only_target;

static void check(const struct strbuf *text, uint64_t seed) {
  static const char *const targets[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "sm_80"};
  check_on(text->data, only_target ? only_target : targets[seed % 4], seed);
}

typedef void (*make_text)(struct strbuf *text);

static void check_many(make_text make, int64_t usual) {
  const char *seed = getenv("SINTER_SEED"), *count = getenv("SINTER_COUNT");
  uint64_t first = seed ? strtoull(seed, NULL, 10) : 0,
           n = count ? strtoull(count, NULL, 10) : (uint64_t)usual;
  for (uint64_t i = first; i < first + n; i++) {
    struct strbuf text = {0};
    state_of_random = i * 0x9e3779b97f4a7c15u + 1;
    make(&text);
    check(&text, i);
    strbuf_deinit(&text);
  }
}

/* On a simulated GPU alone. */
static void check_gpu(make_text make, int64_t usual) {
  only_target = "sm_80";
  check_many(make, usual);
  only_target = NULL;
}

#endif
