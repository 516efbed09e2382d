/* SPDX-License-Identifier: Apache-2.0 */
/* Dim expressions: values, what is unknown, what goes stale. */
#include "runtime/expr_state.h"

#include "codegen/manifest_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
  struct arena arena;
  struct pool pool;
  struct manifest_build build;
  struct plan plan;
  struct expr_state exprs;
  uint32_t x, y; /* symbols */
  uint32_t ex, ey;
  uint32_t first_use[3];
};

static void set_up(struct fixture *f) {
  memset(f, 0, sizeof *f);
  arena_init(&f->arena);
  pool_init(&f->pool);
  manifest_build_init(&f->build, &f->arena);
  f->x = manifest_build_symbol(&f->build, "x", INT64_MIN, INT64_MAX);
  f->y = manifest_build_symbol(&f->build, "y", INT64_MIN, INT64_MAX);
  f->ex = manifest_build_symbol_expr(&f->build, f->x);
  f->ey = manifest_build_symbol_expr(&f->build, f->y);
}

static void start(struct fixture *f) {
  f->plan.manifest = &f->build.manifest;
  f->first_use[f->x] = f->ex;
  f->first_use[f->y] = f->ey;
  f->plan.symbol_first_use = f->first_use;
  static const uint32_t coords[] = {0, 3};
  assert_int_equal(expr_state_init(&f->exprs, &f->plan, coords, &f->pool), STATUS_OK);
  expr_state_reset(&f->exprs);
}

static void tear_down(struct fixture *f) {
  manifest_build_deinit(&f->build);
  pool_deinit(&f->pool);
  arena_deinit(&f->arena);
}

static void arithmetic(void **state) {
  (void)state;
  static const struct {
    enum expr_op op;
    int64_t a, b;
    enum expr_validity validity;
    int64_t value;
  } cases[] = {
      {EXPR_ADD, 3, -5, EXPR_VALID, -2},       {EXPR_ADD, INT64_MAX, 1, EXPR_OVERFLOW, 0},
      {EXPR_MUL, -3, 5, EXPR_VALID, -15},      {EXPR_MUL, INT64_MAX, 2, EXPR_OVERFLOW, 0},
      {EXPR_FLOORDIV, 7, 2, EXPR_VALID, 3},    {EXPR_FLOORDIV, -7, 2, EXPR_VALID, -4},
      {EXPR_FLOORDIV, 7, -2, EXPR_VALID, -4},  {EXPR_FLOORDIV, -7, -2, EXPR_VALID, 3},
      {EXPR_FLOORDIV, 7, 0, EXPR_VALID, 0},    {EXPR_FLOORDIV, INT64_MIN, -1, EXPR_OVERFLOW, 0},
      {EXPR_FLOORDIV, -8, 4, EXPR_VALID, -2},  {EXPR_MOD, 7, 3, EXPR_VALID, 1},
      {EXPR_MOD, -7, 3, EXPR_VALID, 2},        {EXPR_MOD, 7, -3, EXPR_VALID, -2},
      {EXPR_MOD, 7, 0, EXPR_VALID, 0},         {EXPR_MOD, INT64_MIN, -1, EXPR_VALID, 0},
      {EXPR_MIN, 2, -2, EXPR_VALID, -2},       {EXPR_MAX, 2, -2, EXPR_VALID, 2},
      {EXPR_EXACTDIV, 12, 4, EXPR_VALID, 3},   {EXPR_EXACTDIV, 13, 4, EXPR_INEXACT, 0},
      {EXPR_EXACTDIV, 12, 0, EXPR_INEXACT, 0}, {EXPR_EXACTDIV, INT64_MIN, -1, EXPR_OVERFLOW, 0},
  };
  struct fixture f;
  set_up(&f);
  uint32_t ops[EXPR_COORD + 1] = {0};
  for (enum expr_op op = EXPR_ADD; op <= EXPR_EXACTDIV; op++)
    ops[op] = manifest_build_expr(&f.build, op, f.ex, f.ey, 0);
  start(&f);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t value = 0;
    expr_state_bind(&f.exprs, f.x, cases[i].a);
    expr_state_bind(&f.exprs, f.y, cases[i].b);
    assert_int_equal(expr_state_get(&f.exprs, ops[cases[i].op], &value), cases[i].validity);
    assert_int_equal(value, cases[i].value);
  }
  tear_down(&f);
}

static void unknown_spreads_until_bound(void **state) {
  (void)state;
  struct fixture f;
  set_up(&f);
  uint32_t sum = manifest_build_expr(&f.build, EXPR_ADD, f.ex, f.ey, 0);
  uint32_t coord = manifest_build_expr(&f.build, EXPR_COORD, 1, 0, 4);
  start(&f);
  int64_t value = -1;
  assert_int_equal(expr_state_get(&f.exprs, sum, &value), EXPR_UNBOUND);
  expr_state_bind(&f.exprs, f.x, 1);
  assert_int_equal(expr_state_get(&f.exprs, sum, &value), EXPR_UNBOUND);
  assert_int_equal(value, -1);
  expr_state_bind(&f.exprs, f.y, 2);
  assert_int_equal(expr_state_get(&f.exprs, sum, &value), EXPR_VALID);
  assert_int_equal(value, 3);
  expr_state_bind(&f.exprs, f.x, 5);
  assert_int_equal(expr_state_get(&f.exprs, sum, &value), EXPR_VALID);
  assert_int_equal(value, 7);
  assert_int_equal(expr_state_get(&f.exprs, coord, &value), EXPR_VALID);
  assert_int_equal(value, 3);
  expr_state_reset(&f.exprs);
  assert_int_equal(expr_state_get(&f.exprs, sum, &value), EXPR_UNBOUND);
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(arithmetic),
      cmocka_unit_test(unknown_spreads_until_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
