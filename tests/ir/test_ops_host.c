/* SPDX-License-Identifier: Apache-2.0 */
/* host: functions over strings; and strings in what moves and compares elements. */
#include "tests/ir/eval_fixture.h"

static value_id strings(struct fixture *x, const int64_t *dims, size_t rank,
                        const char *const *texts) {
  int64_t ids[16], n = 1;
  for (size_t d = 0; d < rank; d++)
    n *= dims[d];
  for (int64_t i = 0; i < n; i++)
    ids[i] = (int64_t)module_add_string(x->m, texts[i], strlen(texts[i]));
  return build_const_data(&x->b, DTYPE_STRING, dims, (uint32_t)rank, ids, (uint64_t)n * 8);
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__})

static void expect_strings(const struct fixture *x, const struct tensor *t,
                           const char *const *texts) {
  assert_int_equal(t->dtype, DTYPE_STRING);
  for (int64_t i = 0; i < t->count; i++) {
    struct host_string s;
    assert_true(host_strings_get(&x->m->strings, (uint64_t)t->i64[i], &s));
    assert_int_equal(s.size, strlen(texts[i]));
    assert_memory_equal(s.data, texts[i], s.size);
  }
}

static op_id give_host(struct fixture *x, enum host_op f, enum dtype dtype, const value_id *in,
                       uint32_t n) {
  struct host_attrs a = {.function = f, .dtype = dtype};
  return give_op(x, OP_HOST, in, n, &a);
}

static void text_functions(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = strings(&x, SHAPE(3), TEXTS("Ab", "", "\xC3\x89")),
           b = strings(&x, SHAPE(3), TEXTS("1", "2.5", "x"));
  give_host(&x, HOST_OP_CONCAT, DTYPE_STRING, (value_id[]){a, b}, 2);
  give_host(&x, HOST_OP_LOWER, DTYPE_STRING, &a, 1);
  give_host(&x, HOST_OP_UPPER, DTYPE_STRING, &a, 1);
  give_host(&x, HOST_OP_FORMAT, DTYPE_STRING, (value_id[]){f32(&x, SHAPE(3), F(0.1, -2, 1e20))}, 1);
  run(&x, INTERP_TYPED);
  expect_strings(&x, x.out[0], TEXTS("Ab1", "2.5", "\xC3\x89x"));
  expect_strings(&x, x.out[1], TEXTS("ab", "", "\xC3\xA9"));
  expect_strings(&x, x.out[2], TEXTS("AB", "", "\xC3\x89"));
  expect_strings(&x, x.out[3], TEXTS("0.1", "-2.0", "1e+20"));
  fixture_deinit(&x);
}

static void numbers(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = strings(&x, SHAPE(2), TEXTS(" 12", "-3"));
  give_host(&x, HOST_OP_PARSE, DTYPE_I32, &a, 1);
  give_host(&x, HOST_OP_PARSE, DTYPE_F64, &a, 1);
  run(&x, INTERP_TYPED);
  assert_int_equal(x.out[0]->i64[0], 12);
  assert_int_equal(x.out[0]->i64[1], -3);
  expect_f(x.out[1], SHAPE(2), F(12, -3));
  value_id none = strings(&x, SHAPE(1), TEXTS("twelve"));
  give_host(&x, HOST_OP_PARSE, DTYPE_I32, &none, 1);
  run_fails(&x, NULL, DIAG_E0610);
  fixture_deinit(&x);
}

/* Equal strings are equal numbers: views, gathers and comparisons know nothing of strings. */
static void moved_and_compared(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = strings(&x, SHAPE(2, 2), TEXTS("a", "b", "a", "c"));
  value_id b = strings(&x, SHAPE(1), TEXTS("a"));
  give(&x, build_binary(&x.b, SCALAR_EQ, a, b));
  give(&x, build_transpose(&x.b, a, I(1, 0)));
  give(&x, build_select(&x.b, build_binary(&x.b, SCALAR_NE, a, b), a, b));
  value_id fill = strings(&x, (const int64_t *)NULL, 0, TEXTS(""));
  give(&x, build_pad(&x.b, b, fill, (dim[]){k(&x, 1)}, (dim[]){k(&x, 0)}, NULL));
  run(&x, INTERP_TYPED);
  assert_int_equal(x.out[0]->i64[0] + x.out[0]->i64[2], 2);
  assert_int_equal(x.out[0]->i64[1] + x.out[0]->i64[3], 0);
  expect_strings(&x, x.out[1], TEXTS("a", "a", "b", "c"));
  expect_strings(&x, x.out[2], TEXTS("a", "b", "a", "c"));
  expect_strings(&x, x.out[3], TEXTS("", "a"));
  fixture_deinit(&x);
}

static void refusals(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = strings(&x, SHAPE(2), TEXTS("a", "b")), n = i64(&x, SHAPE(2), I(1, 2));
  value_id b = strings(&x, SHAPE(3), TEXTS("a", "b", "c"));
  struct host_attrs concat = {HOST_OP_CONCAT, DTYPE_STRING}, parse = {HOST_OP_PARSE, DTYPE_F16},
                    count = {HOST_OP_SPLIT_COUNT, DTYPE_I64};
  refused(&x, OP_HOST, (value_id[]){a, n}, 2, &concat);   /* a number */
  refused(&x, OP_HOST, (value_id[]){a, b}, 2, &concat);   /* other dims */
  refused(&x, OP_HOST, (value_id[]){a}, 1, &concat);      /* too few */
  refused(&x, OP_HOST, (value_id[]){a}, 1, &parse);       /* no such text */
  refused(&x, OP_HOST, (value_id[]){a, a, n}, 3, &count); /* a parameter of two elements */
  concat.dtype = DTYPE_I64;
  refused(&x, OP_HOST, (value_id[]){a, a}, 2, &concat);
  assert_int_equal(build_binary(&x.b, SCALAR_LT, a, a), VALUE_NONE);
  assert_int_equal(build_binary(&x.b, SCALAR_ADD, a, a), VALUE_NONE);
  assert_int_equal(build_cast(&x.b, a, DTYPE_I64), VALUE_NONE);
  assert_int_equal(build_reduce(&x.b, a, I(0), 1, COMBINER_MAX), VALUE_NONE);
  struct topk_attrs topk = {.k = k(&x, 1)};
  refused(&x, OP_TOPK, &a, 1, &topk);
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_functions),
      cmocka_unit_test(numbers),
      cmocka_unit_test(moved_and_compared),
      cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
