/* SPDX-License-Identifier: Apache-2.0 */
/* Data and view ops: const iota random dims symbol check reshape transpose broadcast slice pad
 * concat bitcast. */
#include "tests/ir/eval_fixture.h"

#include "base/philox.h"

static void test_const_packed(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  give(&x, build_const_data(&x.b, DTYPE_I4, I(3), 1, (uint8_t[]){0x8F, 0x07}, 2));
  give(&x, build_const_data(&x.b, DTYPE_U2, I(5), 1, (uint8_t[]){0xE4, 0x02}, 2));
  give(&x, build_const_data(&x.b, DTYPE_BF16, I(2), 1, (uint8_t[]){0x80, 0x3F, 0xC0, 0x7F}, 4));
  give(&x, build_const_data(&x.b, DTYPE_U64, I(1), 1, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8));
  give(&x, build_const_data(&x.b, DTYPE_F4E2M1, I(3), 1, (uint8_t[]){0xF1, 0x06}, 2));
  give(&x, build_const_data(&x.b, DTYPE_BOOL, I(3), 1, (uint8_t[]){0, 1, 7}, 3));
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(3), I(-1, -8, 7));
  expect_i(x.out[1], SHAPE(5), I(0, 1, 2, 3, 2));
  expect_f(x.out[2], SHAPE(2), F(1, NAN));
  expect_i(x.out[3], SHAPE(1), I(-1));
  expect_f(x.out[4], SHAPE(3), F(0.5, -6, 4));
  expect_i(x.out[5], SHAPE(3), I(0, 1, 1));
  uint64_t bytes;
  const uint8_t *packed = tensor_to_bytes(&x.arena, x.out[0], &bytes);
  assert_int_equal(bytes, 2);
  assert_memory_equal(packed, ((uint8_t[]){0x8F, 0x07}), 2);
  packed = tensor_to_bytes(&x.arena, x.out[4], &bytes);
  assert_memory_equal(packed, ((uint8_t[]){0xF1, 0x06}), 2);
  fixture_deinit(&x);
}

static void test_empty_and_rank_0(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id none = f32(&x, SHAPE(0, 3), NULL), one = f32(&x, SCALAR_SHAPE, F(7));
  give(&x, build_transpose(&x.b, none, I(1, 0)));
  give(&x, build_transpose(&x.b, one, NULL));
  give(&x, build_reshape(&x.b, none, (dim[]){k(&x, 5), k(&x, 0)}, 2));
  give(&x, build_concat(&x.b, (value_id[]){none, f32(&x, SHAPE(1, 3), F(1, 2, 3))}, 2, 0));
  give(&x, build_reshape(&x.b, one, (dim[]){k(&x, 1), k(&x, 1)}, 2));
  run(&x, INTERP_EXACT);
  expect_f(x.out[0], SHAPE(3, 0), NULL);
  expect_f(x.out[1], SCALAR_SHAPE, F(7));
  expect_f(x.out[2], SHAPE(5, 0), NULL);
  expect_f(x.out[3], SHAPE(1, 3), F(1, 2, 3));
  expect_f(x.out[4], SHAPE(1, 1), F(7));
  fixture_deinit(&x);
}

static void test_iota(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim dims[2] = {k(&x, 2), k(&x, 3)};
  give(&x, build_iota(&x.b, DTYPE_I64, dims, 2, 0));
  give(&x, build_iota(&x.b, DTYPE_F16, dims, 2, 1));
  give(&x, build_iota(&x.b, DTYPE_U2, (dim[]){k(&x, 6)}, 1, 0));
  struct iota_attrs bad = {&(struct type){.dtype = DTYPE_I64, .rank = 0}, 0};
  refused(&x, OP_IOTA, NULL, 0, &bad);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 3), I(0, 0, 0, 1, 1, 1));
  expect_f(x.out[1], SHAPE(2, 3), F(0, 1, 2, 0, 1, 2));
  expect_i(x.out[2], SHAPE(6), I(0, 1, 2, 3, 0, 1));
  fixture_deinit(&x);
}

/* The known answers that come with the authors' Random123 package. */
static void test_philox_known_answers(void **state) {
  (void)state;
  uint32_t words[4] = {0, 0, 0, 0};
  philox_rounds(words, 0, 0);
  assert_int_equal(words[0], 0x6627e8d5u);
  assert_int_equal(words[1], 0xe169c58du);
  assert_int_equal(words[2], 0xbc57ac4cu);
  assert_int_equal(words[3], 0x9b00dbd8u);
  for (int i = 0; i < 4; i++)
    words[i] = 0xffffffffu;
  philox_rounds(words, 0xffffffffu, 0xffffffffu);
  assert_int_equal(words[0], 0x408f276du);
  assert_int_equal(words[1], 0x41c83b0eu);
  assert_int_equal(words[2], 0xa20bc7c6u);
  assert_int_equal(words[3], 0x6d5451fdu);
}

static void test_random(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  struct type type = type_make(DTYPE_F32, (dim[]){k(&x, 4000)}, 1);
  struct type small = type_make(DTYPE_BF16, (dim[]){k(&x, 4000)}, 1);
  value_id seed = i64(&x, SCALAR_SHAPE, I(5));
  give_op(&x, OP_RANDOM, NULL, 0, &(struct random_attrs){&type, RANDOM_KIND_UNIFORM, 5});
  give_op(&x, OP_RANDOM, &seed, 1, &(struct random_attrs){&type, RANDOM_KIND_UNIFORM, 9});
  give_op(&x, OP_RANDOM, NULL, 0, &(struct random_attrs){&type, RANDOM_KIND_NORMAL, 5});
  give_op(&x, OP_RANDOM, NULL, 0, &(struct random_attrs){&small, RANDOM_KIND_UNIFORM, 6});
  run(&x, INTERP_TYPED);
  double mean = 0, normal_mean = 0, square = 0;
  for (int64_t i = 0; i < 4000; i++) {
    double u = x.out[0]->f64[i];
    assert_true(u >= 0 && u < 1 && u == x.out[1]->f64[i]);
    assert_true(x.out[3]->f64[i] >= 0 && x.out[3]->f64[i] < 1);
    mean += u / 4000;
    normal_mean += x.out[2]->f64[i] / 4000;
    square += x.out[2]->f64[i] * x.out[2]->f64[i] / 4000;
  }
  assert_true(fabs(mean - 0.5) < 0.02 && fabs(normal_mean) < 0.06 && fabs(square - 1) < 0.08);
  fixture_deinit(&x);
}

static void test_dims_and_symbols(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim n = dim_symbol(x.t, "n", 1, 8), m = dim_symbol(x.t, "m", 0, 100);
  value_id p = param(&x, DTYPE_I64, (dim[]){n}, 1);
  build_symbol(&x.b, p, 1, m);
  give(&x, build_dims(&x.b, (dim[]){n, m, dim_mul(x.t, m, n)}, 3));
  give(&x, build_iota(&x.b, DTYPE_I64, (dim[]){m}, 1, 0));
  struct tensor *in = tensor_create(&x.arena, DTYPE_I64, I(2), 1);
  in->i64[1] = 3;
  assert_int_equal(run_with(&x, INTERP_TYPED, &in), STATUS_OK);
  expect_i(x.out[0], SHAPE(3), I(2, 3, 6));
  expect_i(x.out[1], SHAPE(3), I(0, 1, 2));
  in->i64[1] = 101;
  run_fails(&x, &in, DIAG_E0611);
  in = tensor_create(&x.arena, DTYPE_I64, I(9), 1);
  run_fails(&x, &in, DIAG_E0611);
  in = tensor_create(&x.arena, DTYPE_I64, I(1), 1);
  run_fails(&x, &in, DIAG_E0610);
  in = tensor_create(&x.arena, DTYPE_I32, I(2), 1);
  run_fails(&x, &in, DIAG_E0603);
  in = tensor_create(&x.arena, DTYPE_I64, I(2, 1), 2);
  run_fails(&x, &in, DIAG_E0604);
  refused(&x, OP_SYMBOL, &p, 1, &(struct symbol_attrs){k(&x, 3), 0});
  refused(&x, OP_SYMBOL, &p, 1, &(struct symbol_attrs){m, 8});
  fixture_deinit(&x);
}

static void test_check(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim n = dim_symbol(x.t, "n", 0, 100);
  value_id p = param(&x, DTYPE_F32, (dim[]){n}, 1);
  build_check(&x.b, k(&x, 3), RELATION_DIVIDES, n, "n is a multiple of 3");
  give(&x, p);
  struct tensor *in = tensor_create(&x.arena, DTYPE_F32, I(6), 1);
  assert_int_equal(run_with(&x, INTERP_TYPED, &in), STATUS_OK);
  in = tensor_create(&x.arena, DTYPE_F32, I(7), 1);
  run_fails(&x, &in, DIAG_E0613);
  assert_non_null(strstr(diags_get(&x.diags, diags_count(&x.diags) - 1)->message, "multiple of 3"));
  fixture_deinit(&x);
}

static void test_relations(void **state) {
  (void)state;
  assert_true(interp_relation(1, RELATION_BROADCAST, 5) &&
              interp_relation(5, RELATION_BROADCAST, 1));
  assert_false(interp_relation(1, RELATION_BROADCAST, 0) ||
               interp_relation(0, RELATION_BROADCAST, 1)); /* a result's dim is the larger one */
  assert_false(interp_relation(2, RELATION_BROADCAST, 5));
  assert_true(interp_relation(0, RELATION_DIVIDES, 0) && !interp_relation(0, RELATION_DIVIDES, 4));
  assert_true(interp_relation(-1, RELATION_DIVIDES, INT64_MIN));
  assert_true(interp_relation(2, RELATION_LT, 3) && !interp_relation(3, RELATION_LT, 3));
  assert_true(interp_relation(3, RELATION_LE, 3) && !interp_relation(4, RELATION_EQ, 3));
}

static void test_reshape(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 3), F(1, 2, 3, 4, 5, 6));
  give(&x, build_reshape(&x.b, v, (dim[]){k(&x, 3), k(&x, 2)}, 2));
  refused(&x, OP_RESHAPE, &v, 1, &(struct reshape_attrs){DIMS(k(&x, 4), k(&x, 2))});
  refused(&x, OP_RESHAPE, &v, 1, &(struct reshape_attrs){DIMS(DIM_NONE, k(&x, 2))});
  dim n = dim_symbol(x.t, "n", 1, 8);
  refused(&x, OP_RESHAPE, &v, 1, &(struct reshape_attrs){DIMS(dim_sub(x.t, n, k(&x, 20)))});
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(3, 2), F(1, 2, 3, 4, 5, 6));
  fixture_deinit(&x);
}

static void test_reshape_of_unknown_size(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim n = dim_symbol(x.t, "n", 0, 100);
  value_id p = param(&x, DTYPE_F32, (dim[]){n}, 1);
  give(&x, build_reshape(&x.b, p, (dim[]){k(&x, 2), k(&x, 2)}, 2));
  struct tensor *in = tensor_create(&x.arena, DTYPE_F32, I(4), 1);
  assert_int_equal(run_with(&x, INTERP_TYPED, &in), STATUS_OK);
  in = tensor_create(&x.arena, DTYPE_F32, I(5), 1);
  run_fails(&x, &in, DIAG_E0620);
  fixture_deinit(&x);
}

static void test_transpose(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(2, 3, 2), I(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  give(&x, build_transpose(&x.b, v, I(2, 0, 1)));
  give(&x, build_transpose(&x.b, v, I(1, 2, 0)));
  refused(&x, OP_TRANSPOSE, &v, 1, &(struct transpose_attrs){INTS(0, 1, 1)});
  refused(&x, OP_TRANSPOSE, &v, 1, &(struct transpose_attrs){INTS(0, 1, 3)});
  refused(&x, OP_TRANSPOSE, &v, 1, &(struct transpose_attrs){INTS(0, 1)});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 2, 3), I(0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11));
  expect_i(x.out[1], SHAPE(3, 2, 2), I(0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11));
  fixture_deinit(&x);
}

static void test_broadcast(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(2, 1), I(1, 2));
  give(&x, build_broadcast(&x.b, v, (dim[]){k(&x, 2), k(&x, 3)}, 2));
  give(&x, build_broadcast_to(&x.b, v, (dim[]){k(&x, 2), k(&x, 2), k(&x, 1)}, 3));
  refused(&x, OP_BROADCAST, &v, 1, &(struct broadcast_attrs){DIMS(k(&x, 3), k(&x, 3))});
  refused(&x, OP_BROADCAST, &v, 1, &(struct broadcast_attrs){DIMS(k(&x, 2))});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 3), I(1, 1, 1, 2, 2, 2));
  expect_i(x.out[1], SHAPE(2, 2, 1), I(1, 2, 1, 2));
  fixture_deinit(&x);
}

static void test_slice(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(2, 5), I(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  dim zero = k(&x, 0), one = k(&x, 1), two = k(&x, 2), four = k(&x, 4);
  give(&x, build_slice(&x.b, v, (dim[]){zero, one}, (dim[]){two, two}, I(1, 2)));
  give(&x, build_slice(&x.b, v, (dim[]){one, four}, (dim[]){two, two}, I(-1, -3)));
  give(&x, build_reverse(&x.b, v, 1));
  give(&x, build_slice(&x.b, v, (dim[]){zero, k(&x, 5)}, (dim[]){two, zero}, I(1, 1)));
  struct slice_attrs past = {DIMS(zero, four), DIMS(two, two), INTS(1, 1)};
  refused(&x, OP_SLICE, &v, 1, &past);
  past = (struct slice_attrs){DIMS(zero, one), DIMS(two, k(&x, 3)), INTS(1, -1)};
  refused(&x, OP_SLICE, &v, 1, &past);
  past = (struct slice_attrs){DIMS(zero, zero), DIMS(two, one), INTS(1, 0)};
  refused(&x, OP_SLICE, &v, 1, &past);
  past = (struct slice_attrs){DIMS(zero), DIMS(two, one), INTS(1, 1)};
  refused(&x, OP_SLICE, &v, 1, &past);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 2), I(1, 3, 6, 8));
  expect_i(x.out[1], SHAPE(2, 2), I(9, 6, 4, 1));
  expect_i(x.out[2], SHAPE(2, 5), I(4, 3, 2, 1, 0, 9, 8, 7, 6, 5));
  expect_i(x.out[3], SHAPE(2, 0), NULL);
  fixture_deinit(&x);
}

static void test_slice_checks_its_range_at_run_time(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim n = dim_symbol(x.t, "n", 0, 100);
  value_id p = param(&x, DTYPE_F32, (dim[]){n}, 1);
  give(&x, build_slice_axis(&x.b, p, 0, k(&x, 2), k(&x, 3)));
  struct tensor *in = tensor_create(&x.arena, DTYPE_F32, I(5), 1);
  assert_int_equal(run_with(&x, INTERP_TYPED, &in), STATUS_OK);
  in = tensor_create(&x.arena, DTYPE_F32, I(4), 1);
  run_fails(&x, &in, DIAG_E0620);
  fixture_deinit(&x);
}

static void test_pad(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(2, 3), I(1, 2, 3, 4, 5, 6)), fill = i64(&x, SCALAR_SHAPE, I(9));
  value_id none = i64(&x, SHAPE(0), NULL);
  dim zero = k(&x, 0), one = k(&x, 1), two = k(&x, 2);
  give(&x, build_pad(&x.b, v, fill, (dim[]){zero, one}, (dim[]){one, zero}, I(0, 1)));
  give(&x, build_pad(&x.b, v, fill, (dim[]){zero, zero}, (dim[]){zero, zero}, I(2, 0)));
  give(&x, build_pad(&x.b, none, fill, &one, &two, I(3)));
  struct pad_attrs bad = {DIMS(zero, k(&x, -1)), DIMS(zero, zero), INTS(0, 0)};
  refused(&x, OP_PAD, (value_id[]){v, fill}, 2, &bad);
  bad = (struct pad_attrs){DIMS(zero, zero), DIMS(zero, zero), INTS(0, -1)};
  refused(&x, OP_PAD, (value_id[]){v, fill}, 2, &bad);
  bad = (struct pad_attrs){DIMS(zero, zero), DIMS(zero, zero), INTS(0, 0)};
  refused(&x, OP_PAD, (value_id[]){v, v}, 2, &bad);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(3, 6), I(9, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 9, 9, 9, 9, 9, 9));
  expect_i(x.out[1], SHAPE(4, 3), I(1, 2, 3, 9, 9, 9, 9, 9, 9, 4, 5, 6));
  expect_i(x.out[2], SHAPE(3), I(9, 9, 9));
  fixture_deinit(&x);
}

static void test_concat(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = i64(&x, SHAPE(2, 1), I(1, 2)), b = i64(&x, SHAPE(2, 2), I(3, 4, 5, 6));
  give(&x, build_concat(&x.b, (value_id[]){a, b, a}, 3, 1));
  refused(&x, OP_CONCAT, (value_id[]){a, b}, 2, &(struct concat_attrs){0});
  refused(&x, OP_CONCAT, (value_id[]){a, b}, 2, &(struct concat_attrs){2});
  value_id f = f32(&x, SHAPE(2, 1), F(1, 2));
  refused(&x, OP_CONCAT, (value_id[]){a, f}, 2, &(struct concat_attrs){1});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 4), I(1, 3, 4, 1, 2, 5, 6, 2));
  fixture_deinit(&x);
}

static void test_bitcast(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(3), F(1, -0.0, INFINITY)),
           u = constant(&x, DTYPE_U8, SHAPE(1), I(0xB8));
  give(&x, build_bitcast(&x.b, v, DTYPE_U32));
  give(&x, build_bitcast(&x.b, u, DTYPE_I8));
  give(&x, build_bitcast(&x.b, u, DTYPE_F8E4M3FN));
  refused(&x, OP_BITCAST, &v, 1, &(struct bitcast_attrs){DTYPE_I64});
  refused(&x, OP_BITCAST, &u, 1, &(struct bitcast_attrs){DTYPE_BOOL});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(3), I(0x3F800000, 0x80000000, 0x7F800000));
  expect_i(x.out[1], SHAPE(1), I(-72));
  expect_f(x.out[2], SHAPE(1), F(-1));
  fixture_deinit(&x);
}

static void test_budget(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim n = dim_symbol(x.t, "n", 0, INT64_C(1) << 40);
  param(&x, DTYPE_F32, (dim[]){n}, 1);
  give(&x, build_iota(&x.b, DTYPE_I64, (dim[]){dim_mul(x.t, n, k(&x, INT64_C(1) << 28))}, 1, 0));
  struct tensor *in = tensor_create(&x.arena, DTYPE_F32, I(2), 1);
  run_fails(&x, &in, DIAG_E0621);
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_const_packed),
      cmocka_unit_test(test_empty_and_rank_0),
      cmocka_unit_test(test_iota),
      cmocka_unit_test(test_philox_known_answers),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_dims_and_symbols),
      cmocka_unit_test(test_check),
      cmocka_unit_test(test_relations),
      cmocka_unit_test(test_reshape),
      cmocka_unit_test(test_reshape_of_unknown_size),
      cmocka_unit_test(test_transpose),
      cmocka_unit_test(test_broadcast),
      cmocka_unit_test(test_slice),
      cmocka_unit_test(test_slice_checks_its_range_at_run_time),
      cmocka_unit_test(test_pad),
      cmocka_unit_test(test_concat),
      cmocka_unit_test(test_bitcast),
      cmocka_unit_test(test_budget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
