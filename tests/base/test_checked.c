/* SPDX-License-Identifier: Apache-2.0 */
/* Checked sizes, at and around their limits. */
#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void products_and_sums_stop_at_the_limit(void **state) {
  (void)state;
  size_t z;
  int64_t i;
  assert_true(size_mul(SIZE_MAX / 2, 2, &z));
  assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &z));
  assert_false(size_add(SIZE_MAX, 1, &z));
  assert_true(i64_mul(INT64_MIN, 1, &i));
  assert_false(i64_mul(INT64_MIN, -1, &i));
  assert_false(i64_add(INT64_MAX, 1, &i));
  assert_false(i64_sub(INT64_MIN, 1, &i));
}

static void shapes_count_elements(void **state) {
  (void)state;
  int64_t n;
  assert_true(shape_elements(NULL, 0, &n));
  assert_int_equal(n, 1);
  assert_true(shape_elements((int64_t[]){3, 0, 5}, 3, &n));
  assert_int_equal(n, 0);
  assert_false(shape_elements((int64_t[]){3, -1}, 2, &n));
  assert_false(shape_elements((int64_t[]){0, -1}, 2, &n));
  assert_false(shape_elements((int64_t[]){INT64_MAX, 2}, 2, &n));
  assert_false(shape_elements((int64_t[]){INT64_MAX, 0, 2}, 3, &n));
}

static void shapes_have_bytes(void **state) {
  (void)state;
  uint64_t b;
  assert_true(shape_bytes((int64_t[]){3, 5}, 2, 4, &b));
  assert_int_equal(b, 8);
  assert_true(shape_bytes((int64_t[]){3}, 1, 2, &b));
  assert_int_equal(b, 1);
  assert_true(shape_bytes((int64_t[]){32, 32}, 2, 32, &b));
  assert_int_equal(b, 4096);
  assert_true(shape_bytes((int64_t[]){0}, 1, 4, &b));
  assert_int_equal(b, 0);
  assert_true(shape_bytes((int64_t[]){INT64_MAX}, 1, 4, &b));
  assert_int_equal(b, (uint64_t)INT64_MAX / 2 + 1);
  assert_true(shape_bytes((int64_t[]){INT64_MAX}, 1, 8, &b));
  assert_false(shape_bytes((int64_t[]){INT64_MAX / 4}, 1, 64, &b));
}

static void ranges_lie_inside(void **state) {
  (void)state;
  uint64_t v;
  assert_true(range_inside(0, 10, 10));
  assert_true(range_inside(10, 0, 10));
  assert_false(range_inside(11, 0, 10));
  assert_false(range_inside(5, UINT64_MAX, 10));
  assert_true(u64_align(4097, 4096, &v));
  assert_int_equal(v, 8192);
  assert_false(u64_align(UINT64_MAX, 4096, &v));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_and_sums_stop_at_the_limit),
      cmocka_unit_test(shapes_count_elements),
      cmocka_unit_test(shapes_have_bytes),
      cmocka_unit_test(ranges_lie_inside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
