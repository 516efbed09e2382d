/* SPDX-License-Identifier: Apache-2.0 */
/* A plan for several ranks that has a step of every kind, for tests of what happens in the middle
 * of a run. */
#ifndef SINTER_TESTS_RANKS_PLAN_H
#define SINTER_TESTS_RANKS_PLAN_H

#include "tests/support/engine_fixture.h"

/* What a step can be made to do, and what all callers get then, where ranks are threads. */
static const struct ranks_plan_fault {
  const char *word, *code;
  sinter_status status;
  const char *text;
  bool check; /* seen by --check-collectives */
} ranks_plan_faults[] = {
    {"fail", "E0705", SINTER_DEVICE, "failed in step", false},
    {"oom", "E0615", SINTER_RESOURCES, "step", false},
    {"stall", "E0703", SINTER_DEVICE, "", false},
    {"kill", "E0703", SINTER_DEVICE, "", false}, /* a thread that is gone is one that is silent */
    {"corrupt", "E0704", SINTER_DEVICE, "different decisions", false},
    {"corrupt-payload", "E0732", SINTER_DEVICE, "is not what rank", true},
};
enum { RANKS_PLAN_FAULTS = sizeof ranks_plan_faults / sizeof *ranks_plan_faults };

/* Steps of the plan behind its last exchange. */
enum { RANKS_PLAN_LAST_STEPS = 3 };

/* The failure that its caller was told of last. */
struct slowest_fault {
  int n;
  double seconds;
  char of[64];
};

static inline void slowest_fault_note(struct slowest_fault *s, const char *of, double seconds,
                                      int deadline_ms) {
  s->n++;
  if (seconds > s->seconds) {
    s->seconds = seconds;
    snprintf(s->of, sizeof s->of, "%s", of);
  }
  if (seconds > deadline_ms * 1e-3 + 8) /* a busy machine takes its time */
    fail_msg("'%s' took %.1f s", of, seconds);
}

static inline void slowest_fault_print(const struct slowest_fault *s, const char *where) {
  printf("%d faults of %s; the slowest was told of after %.3f s: %s\n", s->n, where, s->seconds,
         s->of);
}

/* Of x[n] i64, whole on every rank: y = the sum over the ranks of x, computed in two halves of the
 * mesh and then together, in a loop of two iterations (y = 2 * ranks * x); z = x, packed and
 * unpacked. */
static inline void ranks_plan_make(struct engine_maker *e, uint32_t outer, uint32_t inner) {
  engine_maker_init(e, 0);
  struct manifest_build *b = &e->build;
  uint32_t a = manifest_build_axis(b, "a", outer), c = manifest_build_axis(b, "b", inner);
  uint32_t sn = manifest_build_symbol(b, "n", 0, 4096), st = manifest_build_symbol(b, "t", 0, 100);
  uint32_t sk = manifest_build_symbol(b, "k", 0, 100), sm = manifest_build_symbol(b, "m", 0, 100);
  uint32_t n = manifest_build_symbol_expr(b, sn), one = engine_const(e, 1);
  uint32_t bytes = engine_times(e, n, 8);
  static const int64_t two[] = {2};
  uint32_t trips = engine_constant(e, "two", DTYPE_I64, two, 1);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, n),
           p = engine_input(e, entry, "p", DTYPE_U4, n);
  uint32_t y = engine_output(e, entry, 1, "y", DTYPE_I64, n),
           z = engine_output(e, entry, 0, "z", DTYPE_U4, n);
  uint32_t wide = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_U8, n, 0, 9);
  uint32_t part = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I64, n, 0, 9);
  uint32_t half = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I64, n, 0, 9);
  uint32_t zeros = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I64, n, 0, 9);
  uint32_t param = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_I64, n, 0, 0);
  uint32_t next = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_I64, n, 0, 0);
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  Engine__Unpack *unpack = manifest_build_step_unpack(b, block);
  unpack->dst = wide, unpack->src = p, unpack->elements = n, unpack->dtype = DTYPE_U4;
  Engine__Pack *pack = manifest_build_step_pack(b, block);
  pack->dst = z, pack->src = wide, pack->elements = n, pack->dtype = DTYPE_U4;
  Engine__Fill *fill = manifest_build_step_fill(b, block);
  fill->dst = zeros, fill->bytes = bytes;
  manifest_build_step_check(b, block)->condition->relation = ENGINE__RELATION__LE;
  Engine__BindSymbol *bind = manifest_build_step_bind_symbol(b, block);
  bind->symbol = sk, bind->value = trips;
  Engine__SetSymbol *set = manifest_build_step_set_symbol(b, block);
  set->symbol = sm, set->expr = one;
  Engine__If *branch = manifest_build_step_if_(b, block);
  branch->condition = trips;
  branch->then_block = manifest_build_block(b);
  Engine__Loop *loop = manifest_build_step_loop(b, branch->then_block);
  loop->trip = ENGINE__TRIP__FROM_VALUE, loop->trip_value = trips, loop->trip_symbol = st;
  loop->body = manifest_build_block(b);
  manifest_build_carried(b, loop, zeros, param, next);
  manifest_build_step_reserve(b, loop->body)->value = next;
  Engine__Launch *launch =
      engine_launch(e, loop->body, KERNEL_thread_sum_i64, (uint32_t[]){x, part},
                    (uint32_t[]){n, one}, n); /* a copy, by way of scratch */
  launch->scratch = bytes;
  Engine__Exchange *ex = manifest_build_step_exchange(b, loop->body);
  manifest_build_exchange_axis(b, ex, c, 0, 0);
  manifest_build_exchange_part(b, ex, part, half, n);
  ex = manifest_build_step_exchange(b, loop->body);
  manifest_build_exchange_axis(b, ex, a, 0, 0);
  manifest_build_exchange_part(b, ex, half, half, n);
  engine_launch(e, loop->body, KERNEL_add_i64, (uint32_t[]){param, half, next},
                (uint32_t[]){n, one}, n);
  manifest_build_step_layout(b, block)->phase = 1;
  Engine__Copy *copy = manifest_build_step_copy(b, block);
  copy->dst = y, copy->src = param, copy->bytes = bytes;
}

/* One run of the plan at size n (at most 4096); SINTER_MISMATCH if it computes something else. */
static inline sinter_status ranks_plan_run(sinter_session *session, int64_t n, int64_t ranks) {
  static int64_t x[4096];
  static uint8_t p[2048];
  for (int64_t i = 0; i < n; i++)
    x[i] = i * 7 % 101, p[i / 2] = 0x21;
  sinter_tensor inputs[] = {engine_tensor(SINTER_I64, n, x, sizeof x),
                            engine_tensor(SINTER_U4, n, p, sizeof p)},
                outputs[2] = {0};
  sinter_status st = sinter_session_run(session, "main", inputs, 2, outputs, 2);
  for (int64_t i = 0; i < n && !st; i++)
    if (((int64_t *)outputs[0].data)[i] != 2 * ranks * x[i] ||
        (i % 2 && ((uint8_t *)outputs[1].data)[i / 2] != 0x21))
      return SINTER_MISMATCH;
  return st;
}

#endif
