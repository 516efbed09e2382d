/* SPDX-License-Identifier: Apache-2.0 */
/* What expand_combine writes gives what the ops give: merges with planted ties, NaN and empty
 * parts, and indices in any order. */
#include "tests/ir/eval_fixture.h"

#include "ir/text.h"
#include "passes/pipeline.h"

static void run_text(struct module *m, struct tensor *const *inputs, struct arena *arena,
                     struct tensor **out) {
  struct diags d = {0};
  if (interp_run(m->functions.data[0], INTERP_EXACT, inputs, arena, &d, out)) {
    diags_print(&d, stderr);
    fail_msg("does not run");
  }
  diags_deinit(&d);
}

/* The results before and after the pass, within 1e-12 of each other. */
static void check(const char *text, struct tensor *const *inputs) {
  struct diags d = {0};
  struct arena arena = {0};
  struct module *m = NULL;
  struct tensor *want[2], *have[2];
  struct pipeline_options options = {.passes = "expand_combine", .verify_each = true};
  if (module_parse("test.sir", text, strlen(text), &d, &m)) {
    diags_print(&d, stderr);
    fail_msg("%s", text);
  }
  run_text(m, inputs, &arena, want);
  assert_int_equal(pipeline_run(m, &options, &d), STATUS_OK);
  const struct function *f = m->functions.data[0];
  for (uint32_t i = 1; i < f->ops.len; i++)
    assert_true(f->ops.data[i].kind != OP_COMBINE && f->ops.data[i].kind != OP_ATTENTION);
  run_text(m, inputs, &arena, have);
  for (uint32_t i = 0; i < 2; i++) {
    assert_int_equal(want[i]->count, have[i]->count);
    for (int64_t k = 0; k < want[i]->count; k++) {
      if (!dtype_is_float(want[i]->dtype)) {
        assert_int_equal(want[i]->i64[k], have[i]->i64[k]);
        continue;
      }
      double a = want[i]->f64[k], b = have[i]->f64[k];
      if (!(a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-12 * (1 + fabs(a))))
        fail_msg("result %u, element %d: %g and not %g", i, (int)k, b, a);
    }
  }
  module_destroy(m);
  arena_deinit(&arena);
  diags_deinit(&d);
}

static struct tensor *floats(struct arena *a, const int64_t *dims, size_t rank, const double *v) {
  struct tensor *t = tensor_create(a, DTYPE_F32, dims, (uint32_t)rank);
  memcpy(t->data, v, (size_t)t->count * 8);
  return t;
}

static struct tensor *ints(struct arena *a, const int64_t *dims, size_t rank, const int64_t *v) {
  struct tensor *t = tensor_create(a, DTYPE_I64, dims, (uint32_t)rank);
  memcpy(t->data, v, (size_t)t->count * 8);
  return t;
}

static void test_softmax(void **state) {
  (void)state;
  struct arena a = {0};
  struct tensor *inputs[] = {
      floats(&a, SHAPE(3, 3, 2), F(1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0, 9, 1, 0, 0, 0, 0)),
      floats(&a, SHAPE(3, 3),
             F(0.5, 2, -INFINITY, 1.5, -1, -INFINITY, -200, -INFINITY, -INFINITY))};
  check("func @main(%o: f32[3, 3, 2], %l: f32[3, 3]) -> (f32[3, 2], f32[3]) {\n"
        "%a, %b = combine %o, %l { kind = softmax } : f32[3, 2], f32[3]\n"
        "return %a, %b\n}\n",
        inputs);
  arena_deinit(&a);
}

static void test_arg(void **state) {
  (void)state;
  struct arena a = {0};
  struct tensor *inputs[] = {
      floats(&a, SHAPE(3, 4), F(2, 1, NAN, -INFINITY, 3, 1, 5, -INFINITY, 3, 0, NAN, -INFINITY)),
      ints(&a, SHAPE(3, 4), I(4, 7, 9, 5, 8, 2, 1, INT64_MAX, 6, 3, 0, INT64_MAX))};
  const char *kinds[] = {"argmax", "argmin"};
  for (int i = 0; i < 2; i++) {
    char text[512];
    snprintf(text, sizeof text,
             "func @main(%%v: f32[3, 4], %%i: i64[3, 4]) -> (f32[4], i64[4]) {\n"
             "%%a, %%b = combine %%v, %%i { kind = %s } : f32[4], i64[4]\nreturn %%a, %%b\n}\n",
             kinds[i]);
    check(text, inputs);
  }
  arena_deinit(&a);
}

static void test_rows(void **state) {
  (void)state;
  struct arena a = {0};
  /* Three ranks, each with three candidates in order; ties on all ranks, one rank with one only. */
  struct tensor *descending[] = {
      floats(&a, SHAPE(3, 3, 1), F(NAN, 4, 2, 4, 4, 1, 2, 100, 100)),
      ints(&a, SHAPE(3, 3, 1), I(9, 3, 5, 0, 6, 2, 1, INT64_MAX, INT64_MAX))};
  struct tensor *ascending[] = {
      floats(&a, SHAPE(3, 3, 1), F(1, 2, NAN, 1, 4, 4, NAN, -100, -100)),
      ints(&a, SHAPE(3, 3, 1), I(9, 3, 5, 0, 6, 2, 1, INT64_MAX, INT64_MAX))};
  check("func @main(%v: f32[3, 3, 1], %i: i64[3, 3, 1]) -> (f32[3, 1], i64[3, 1]) {\n"
        "%a, %b = combine %v, %i { kind = topk, axis = 0 } : f32[3, 1], i64[3, 1]\n"
        "return %a, %b\n}\n",
        descending);
  check("func @main(%v: f32[3, 3, 1], %i: i64[3, 3, 1]) -> (f32[3, 1], i64[3, 1]) {\n"
        "%a, %b = combine %v, %i { kind = bottomk, axis = 0 } : f32[3, 1], i64[3, 1]\n"
        "return %a, %b\n}\n",
        ascending);
  arena_deinit(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_softmax), cmocka_unit_test(test_arg),
                                     cmocka_unit_test(test_rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
