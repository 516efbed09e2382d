/* SPDX-License-Identifier: Apache-2.0 */
/* A plan for four GPUs that can be recorded and has every kind of exchange. */
#ifndef SINTER_TESTS_GPU_PLAN_H
#define SINTER_TESTS_GPU_PLAN_H

#include "tests/support/engine_fixture.h"

/* Of x[n] i64, whole on every rank: a = x by a kernel; b = a summed over the inner axis;
 * everybody's b is gathered along the outer axis (c), sent around there (b), blocks of c are
 * exchanged (d), and summed and split again (a): all of them 2 x times something. y = b + a = 2 x +
 * 4 x. */
static inline void make_graph_plan(struct engine_maker *e) {
  engine_maker_init(e, 0);
  struct manifest_build *b = &e->build;
  uint32_t outer = manifest_build_axis(b, "a", 2), inner = manifest_build_axis(b, "b", 2);
  uint32_t sn = manifest_build_symbol(b, "n", 0, 4096);
  uint32_t n = manifest_build_symbol_expr(b, sn), one = engine_const(e, 1);
  uint32_t twice = engine_times(e, n, 2);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_I64, n),
           y = engine_output(e, entry, 0, "y", DTYPE_I64, n);
  uint32_t v[5];
  for (int i = 0; i < 5; i++)
    v[i] = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I64, i == 2 || i == 3 ? twice : n, 0,
                        9);
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  engine_launch(e, block, KERNEL_thread_sum_i64, (uint32_t[]){x, v[0]}, (uint32_t[]){n, one}, n);
  static const struct {
    Engine__ExchangeKind kind;
    uint32_t src, dst;
  } steps[] = {{ENGINE__EXCHANGE_KIND__ALL_REDUCE, 0, 1},
               {ENGINE__EXCHANGE_KIND__ALL_GATHER, 1, 2},
               {ENGINE__EXCHANGE_KIND__PERMUTE, 1, 4},
               {ENGINE__EXCHANGE_KIND__ALL_TO_ALL, 2, 3},
               {ENGINE__EXCHANGE_KIND__REDUCE_SCATTER, 3, 0}};
  for (int i = 0; i < 5; i++) {
    Engine__Exchange *ex = manifest_build_step_exchange(b, block);
    ex->kind = steps[i].kind;
    manifest_build_exchange_axis(b, ex, i ? outer : inner, 0, 0);
    manifest_build_exchange_part(b, ex, v[steps[i].src], v[steps[i].dst], n);
    if (ex->kind == ENGINE__EXCHANGE_KIND__PERMUTE)
      manifest_build_exchange_from(b, ex, (uint32_t[]){1, 0}, 2);
  }
  engine_launch(e, block, KERNEL_add_i64, (uint32_t[]){v[4], v[0], y}, (uint32_t[]){n, one}, n);
}

static inline sinter_status run_graph_plan(sinter_session *session, int64_t n) {
  static int64_t x[4096];
  for (int64_t i = 0; i < n; i++)
    x[i] = i * 7 % 101 + 1;
  sinter_tensor input = engine_tensor(SINTER_I64, n, x, sizeof x), output = {0};
  sinter_status st = sinter_session_run(session, "main", &input, 1, &output, 1);
  for (int64_t i = 0; i < n && !st; i++)
    if (((int64_t *)output.data)[i] != 6 * x[i])
      return SINTER_MISMATCH;
  return st;
}

#endif
