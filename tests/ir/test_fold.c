/* SPDX-License-Identifier: Apache-2.0 */
/* interp_fold: one op on constants; and pieces of it that passes use alone. */
#include "tests/ir/eval_fixture.h"

#include "ir/scalar_eval.h"

static op_id def_of(struct fixture *x, value_id v) { return function_value(x->f, v)->def; }

static void test_fold(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = f32(&x, SHAPE(2), F(1, 2)), p = param(&x, DTYPE_F32, (dim[]){k(&x, 2)}, 1);
  value_id sum = build_binary_f64(&x.b, SCALAR_ADD, a, ldexp(1, -30));
  value_id open = build_binary(&x.b, SCALAR_ADD, a, p);
  value_id above = build_binary(&x.b, SCALAR_ADD, sum, a);
  assert_int_equal(interp_fold(x.f, def_of(&x, sum), &x.arena, &x.diags, x.out), STATUS_OK);
  expect_f(x.out[0], SHAPE(2), F(1, 2)); /* typed */
  assert_int_equal(interp_fold(x.f, def_of(&x, open), &x.arena, &x.diags, x.out),
                   STATUS_UNSUPPORTED);
  assert_int_equal(interp_fold(x.f, def_of(&x, above), &x.arena, &x.diags, x.out),
                   STATUS_UNSUPPORTED);
  fixture_deinit(&x);
}

static void test_fold_of_several_results(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = i64(&x, SHAPE(3), I(2, 9, 4));
  op_id op = build_op(&x.b, OP_TOPK, &a, 1, NULL, 0, &(struct topk_attrs){0, k(&x, 2), true});
  assert_int_equal(interp_fold(x.f, op, &x.arena, &x.diags, x.out), STATUS_OK);
  expect_i(x.out[0], SHAPE(2), I(9, 4));
  expect_i(x.out[1], SHAPE(2), I(1, 2));
  fixture_deinit(&x);
}

static void test_fold_reports(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = f32(&x, SHAPE(2), F(1, 2)), at = i64(&x, SHAPE(1), I(2));
  value_id v = build_gather(&x.b, a, &at, I(0), 1, OUT_OF_RANGE_ERROR);
  assert_int_equal(interp_fold(x.f, def_of(&x, v), &x.arena, &x.diags, x.out), STATUS_INVALID);
  dim n = dim_symbol(x.t, "n", 0, 9);
  value_id d = build_dims(&x.b, &n, 1);
  assert_int_equal(interp_fold(x.f, def_of(&x, d), &x.arena, &x.diags, x.out), STATUS_UNSUPPORTED);
  value_id big =
      build_broadcast(&x.b, i64(&x, SHAPE(1), I(1)), (dim[]){k(&x, INT64_C(1) << 40)}, 1);
  assert_int_equal(interp_fold(x.f, def_of(&x, big), &x.arena, &x.diags, x.out), STATUS_RESOURCES);
  fixture_deinit(&x);
}

static void test_scalar_inst(void **state) {
  (void)state;
  struct scalar_inst inst = {.op = SCALAR_ADD, .dtype = DTYPE_I8};
  union scalar xs[3] = {{.i64 = 127}, {.i64 = 1}, {.i64 = 0}};
  assert_int_equal(scalar_inst_eval(INTERP_TYPED, &inst, DTYPE_I8, xs).i64, -128);
  inst = (struct scalar_inst){.op = SCALAR_LT, .dtype = DTYPE_BOOL};
  xs[0].i64 = -1;
  assert_int_equal(scalar_inst_eval(INTERP_TYPED, &inst, DTYPE_I64, xs).i64, 1);
  assert_int_equal(scalar_inst_eval(INTERP_TYPED, &inst, DTYPE_U64, xs).i64, 0);
  inst = (struct scalar_inst){.op = SCALAR_CAST, .dtype = DTYPE_F16};
  xs[0].f64 = 2049;
  assert_true(scalar_inst_eval(INTERP_TYPED, &inst, DTYPE_F32, xs).f64 == 2048);
}

static void test_bytes_round_trip(void **state) {
  (void)state;
  struct arena arena = {0};
  for (int t = 0; t < DTYPE_COUNT; t++) {
    /* Odd bits twice over, so that a packed byte is half used. */
    uint8_t bytes[24] = {0x01, 0x3C, 0x02, 0x40, 0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x00, 0x40,
                         0x00, 0x00, 0x40, 0x40, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x07, 0x08};
    if (t == DTYPE_BOOL)
      memset(bytes, 1, sizeof bytes);
    uint64_t size;
    struct tensor *x = tensor_from_bytes(&arena, (enum dtype)t, I(3), 1, bytes);
    assert_non_null(x);
    const uint8_t *back = tensor_to_bytes(&arena, x, &size);
    uint64_t bits = 3 * dtype_bits((enum dtype)t);
    assert_int_equal(size, (bits + 7) / 8);
    bytes[size - 1] &= (uint8_t)(bits % 8 ? (1u << bits % 8) - 1 : 0xFF);
    assert_memory_equal(back, bytes, size);
  }
  assert_null(tensor_create(&arena, DTYPE_F32, I(-1), 1));
  assert_null(tensor_create(&arena, DTYPE_F32, I(INT64_MAX, 2), 2));
  arena_deinit(&arena);
}

static void test_identities(void **state) {
  (void)state;
  for (int t = 0; t < DTYPE_COUNT; t++) {
    enum dtype dtype = (enum dtype)t;
    for (int kind = COMBINER_SUM; kind <= COMBINER_XOR; kind++) {
      bool bits = kind >= COMBINER_AND;
      if (bits ? !dtype_is_int(dtype) && dtype != DTYPE_BOOL
               : !dtype_is_int(dtype) && !dtype_is_float(dtype))
        continue;
      union scalar one = {.i64 = 1}, e = scalar_identity((enum combiner)kind, dtype);
      if (dtype_is_float(dtype))
        one.f64 = 1;
      union scalar y = scalar_combine((enum combiner)kind, dtype, e, one);
      assert_true(dtype_is_float(dtype) ? y.f64 == one.f64 : y.i64 == scalar_literal_i64(dtype, 1));
    }
  }
}

static void test_strided_copy(void **state) {
  (void)state;
  int64_t from[24], to[24] = {0}, dims[3] = {2, 3, 4}, fs[3], ts[3] = {1, 2, 6};
  for (int i = 0; i < 24; i++)
    from[i] = i;
  strides_of(dims, 3, fs);
  strided_copy(to, ts, from, fs, dims, 3);
  for (int i = 0; i < 24; i++)
    assert_int_equal(to[i / 12 + i / 4 % 3 * 2 + i % 4 * 6], i);
  /* Backwards, every other one. */
  strided_copy(to, I(1), from + 23, I(-2), I(4), 1);
  assert_int_equal(to[0], 23);
  assert_int_equal(to[3], 17);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fold),
      cmocka_unit_test(test_fold_of_several_results),
      cmocka_unit_test(test_fold_reports),
      cmocka_unit_test(test_scalar_inst),
      cmocka_unit_test(test_bytes_round_trip),
      cmocka_unit_test(test_identities),
      cmocka_unit_test(test_strided_copy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
