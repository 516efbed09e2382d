/* SPDX-License-Identifier: Apache-2.0 */
/* A function built of constants and parameters, run by the interpreter: for tests of ops. */
#ifndef SINTER_TESTS_IR_EVAL_FIXTURE_H
#define SINTER_TESTS_IR_EVAL_FIXTURE_H

#include "ir/interp.h"
#include "ir/verify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAX_RESULTS 8

struct fixture {
  struct module *m;
  struct function *f;
  struct dim_table *t;
  struct builder b;
  struct diags diags;
  struct arena arena;
  struct tensor *out[MAX_RESULTS];
};

#define LIST(type, ...) ((type[]){__VA_ARGS__}), sizeof((type[]){__VA_ARGS__}) / sizeof(type)
#define INTS(...) ((struct ints){LIST(const int64_t, __VA_ARGS__)})
#define DIMS(...) ((struct dims){LIST(const dim, __VA_ARGS__)})
#define SHAPE(...) LIST(const int64_t, __VA_ARGS__)
#define SCALAR_SHAPE (const int64_t *)NULL, 0
#define F(...) ((const double[]){__VA_ARGS__})
#define I(...) ((const int64_t[]){__VA_ARGS__})
#define NO_INTS ((struct ints){0})

static inline void fixture_init(struct fixture *x) {
  memset(x, 0, sizeof *x);
  x->m = module_create();
  x->f = function_create(x->m, "main");
  x->t = x->m->dims;
  builder_init(&x->b, x->f, 0, &x->diags);
}

static inline void fixture_deinit(struct fixture *x) {
  arena_deinit(&x->arena);
  diags_deinit(&x->diags);
  module_destroy(x->m);
}

static inline dim k(struct fixture *x, int64_t n) { return dim_const(x->t, n); }

/* A constant; values are doubles for floats, int64_t for the rest. */
static inline value_id constant(struct fixture *x, enum dtype dtype, const int64_t *dims,
                                size_t rank, const void *values) {
  struct tensor *t = tensor_create(&x->arena, dtype, dims, (uint32_t)rank);
  uint64_t bytes;
  if (values && t->count > 0)
    memcpy(t->data, values, (size_t)t->count * 8);
  void *data = tensor_to_bytes(&x->arena, t, &bytes);
  return build_const_data(&x->b, dtype, dims, (uint32_t)rank, data, bytes);
}
static inline value_id f32(struct fixture *x, const int64_t *dims, size_t rank, const double *v) {
  return constant(x, DTYPE_F32, dims, rank, v);
}
static inline value_id i64(struct fixture *x, const int64_t *dims, size_t rank, const int64_t *v) {
  return constant(x, DTYPE_I64, dims, rank, v);
}
static inline value_id param(struct fixture *x, enum dtype dtype, const dim *dims, size_t rank) {
  struct type type = type_make(dtype, dims, (uint32_t)rank);
  return region_add_param(x->f, 0, &type, NULL);
}

static inline void print_diags(struct fixture *x) {
  if (diags_count(&x->diags))
    diags_print(&x->diags, stderr);
}

/* All results of an op become the function's. */
static inline op_id give_op(struct fixture *x, enum op_kind kind, const value_id *operands,
                            uint32_t n, const void *attrs) {
  op_id op = build_op(&x->b, kind, operands, n, NULL, 0, attrs);
  if (op == OP_ID_NONE)
    print_diags(x);
  assert_int_not_equal(op, OP_ID_NONE);
  const struct op *o = function_op(x->f, op);
  for (uint32_t i = 0; i < o->n_results; i++)
    vec_push(&x->f->regions.data[0].results, o->results[i]);
  return op;
}
static inline void give(struct fixture *x, value_id v) {
  assert_int_not_equal(v, VALUE_NONE);
  vec_push(&x->f->regions.data[0].results, v);
}

/* The op is refused by its type rule. */
static inline void refused(struct fixture *x, enum op_kind kind, const value_id *operands,
                           uint32_t n, const void *attrs) {
  uint32_t before = diags_errors(&x->diags);
  op_id op = build_op(&x->b, kind, operands, n, NULL, 0, attrs);
  assert_int_equal(op, OP_ID_NONE);
  assert_int_equal(diags_errors(&x->diags), before + 1);
}

static inline status run_with(struct fixture *x, enum interp_mode mode,
                              struct tensor *const *inputs) {
  return interp_run(x->f, mode, inputs, &x->arena, &x->diags, x->out);
}
static inline void run(struct fixture *x, enum interp_mode mode) {
  status s = module_verify(x->m, &x->diags);
  if (!s)
    s = run_with(x, mode, NULL);
  if (s)
    print_diags(x);
  assert_int_equal(s, STATUS_OK);
}
/* The run ends in a report of this code. */
static inline void run_fails(struct fixture *x, struct tensor *const *inputs, enum diag_code code) {
  status s = run_with(x, INTERP_TYPED, inputs);
  assert_int_not_equal(s, STATUS_OK);
  assert_true(diags_count(&x->diags) > 0);
  assert_string_equal(diag_code_name(diags_get(&x->diags, diags_count(&x->diags) - 1)->code),
                      diag_code_name(code));
}

static inline void expect_dims(const struct tensor *t, const int64_t *dims, size_t rank) {
  assert_int_equal(t->rank, rank);
  for (uint32_t i = 0; i < rank; i++)
    assert_int_equal(t->dims[i], dims[i]);
}
static inline void expect_f(const struct tensor *t, const int64_t *dims, size_t rank,
                            const double *v) {
  expect_dims(t, dims, rank);
  assert_true(dtype_is_float(t->dtype));
  for (int64_t i = 0; i < t->count; i++) {
    if (isnan(v[i]) ? isnan(t->f64[i]) : t->f64[i] == v[i])
      continue;
    fail_msg("element %lld is %.17g, not %.17g", (long long)i, t->f64[i], v[i]);
  }
}
static inline void expect_near(const struct tensor *t, const int64_t *dims, size_t rank,
                               const double *v, double tolerance) {
  expect_dims(t, dims, rank);
  for (int64_t i = 0; i < t->count; i++)
    if (!(fabs(t->f64[i] - v[i]) <= tolerance))
      fail_msg("element %lld is %.17g, not %.17g", (long long)i, t->f64[i], v[i]);
}
static inline void expect_i(const struct tensor *t, const int64_t *dims, size_t rank,
                            const int64_t *v) {
  expect_dims(t, dims, rank);
  assert_false(dtype_is_float(t->dtype));
  for (int64_t i = 0; i < t->count; i++)
    if (t->i64[i] != v[i])
      fail_msg("element %lld is %lld, not %lld", (long long)i, (long long)t->i64[i],
               (long long)v[i]);
}

#endif
