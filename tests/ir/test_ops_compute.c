/* SPDX-License-Identifier: Apache-2.0 */
/* Compute ops: reduce scan window contract conv attention, and their flops. */
#include "tests/ir/eval_fixture.h"

static value_id reduce(struct fixture *x, value_id v, struct ints axes, enum combiner kind,
                       bool last) {
  op_id op = give_op(x, OP_REDUCE, &v, 1, &(struct reduce_attrs){axes, kind, last});
  return op_result(x->f, op, 0);
}

static void test_reduce(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 3, 2), F(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  reduce(&x, v, INTS(1), COMBINER_SUM, false);
  reduce(&x, v, INTS(2, 0), COMBINER_MAX, false);
  reduce(&x, v, INTS(0, 1, 2), COMBINER_PROD, false);
  reduce(&x, v, NO_INTS, COMBINER_SUM, false);
  reduce(&x, v, INTS(0), COMBINER_MIN, false);
  for (int mode = INTERP_TYPED; mode <= INTERP_EXACT; mode++) {
    run(&x, (enum interp_mode)mode);
    expect_f(x.out[0], SHAPE(2, 1, 2), F(9, 12, 27, 30));
    expect_f(x.out[1], SHAPE(1, 3, 1), F(8, 10, 12));
    expect_f(x.out[2], SHAPE(1, 1, 1), F(479001600));
    expect_f(x.out[3], SHAPE(2, 3, 2), F(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    expect_f(x.out[4], SHAPE(1, 3, 2), F(1, 2, 3, 4, 5, 6));
  }
  fixture_deinit(&x);
}

static void test_reduce_ints_and_bools(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = constant(&x, DTYPE_I8, SHAPE(3), I(100, 100, -7));
  value_id u = constant(&x, DTYPE_U64, SHAPE(2), I(-1, 1));
  value_id b = constant(&x, DTYPE_BOOL, SHAPE(2, 2), I(1, 0, 1, 1));
  reduce(&x, v, INTS(0), COMBINER_SUM, false);
  reduce(&x, v, INTS(0), COMBINER_MIN, false);
  reduce(&x, u, INTS(0), COMBINER_MAX, false);
  reduce(&x, v, INTS(0), COMBINER_XOR, false);
  reduce(&x, b, INTS(1), COMBINER_AND, false);
  reduce(&x, b, INTS(1), COMBINER_OR, false);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(1), I(-63));
  expect_i(x.out[1], SHAPE(1), I(-7));
  expect_i(x.out[2], SHAPE(1), I(-1));
  expect_i(x.out[3], SHAPE(1), I(-7));
  expect_i(x.out[4], SHAPE(2, 1), I(0, 1));
  expect_i(x.out[5], SHAPE(2, 1), I(1, 1));
  fixture_deinit(&x);
}

static void test_reduce_of_nothing(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 0), NULL), i = constant(&x, DTYPE_I16, SHAPE(0), NULL);
  reduce(&x, v, INTS(1), COMBINER_SUM, false);
  reduce(&x, v, INTS(1), COMBINER_MAX, false);
  reduce(&x, i, INTS(0), COMBINER_MIN, false);
  reduce(&x, i, INTS(0), COMBINER_AND, false);
  reduce(&x, v, INTS(0), COMBINER_PROD, false);
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(2, 1), F(0, 0));
  expect_f(x.out[1], SHAPE(2, 1), F(-INFINITY, -INFINITY));
  expect_i(x.out[2], SHAPE(1), I(32767));
  expect_i(x.out[3], SHAPE(1), I(-1));
  expect_f(x.out[4], SHAPE(1, 0), NULL);
  fixture_deinit(&x);
}

static void test_reduce_arg(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 4), F(1, 3, 3, 2, NAN, 5, NAN, 0));
  reduce(&x, v, INTS(1), COMBINER_ARGMAX, false);
  reduce(&x, v, INTS(1), COMBINER_ARGMAX, true);
  reduce(&x, v, INTS(1), COMBINER_ARGMIN, false);
  reduce(&x, v, INTS(0), COMBINER_ARGMIN, true);
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(2, 1), F(3, NAN));
  expect_i(x.out[1], SHAPE(2, 1), I(1, 0));
  expect_i(x.out[3], SHAPE(2, 1), I(2, 2));
  expect_f(x.out[4], SHAPE(2, 1), F(1, NAN));
  expect_i(x.out[5], SHAPE(2, 1), I(0, 0));
  expect_f(x.out[6], SHAPE(1, 4), F(NAN, 3, NAN, 0));
  expect_i(x.out[7], SHAPE(1, 4), I(1, 0, 1, 1));
  fixture_deinit(&x);
}

static void test_reduce_refuses(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 2), F(1, 2, 3, 4)), b = constant(&x, DTYPE_BOOL, SHAPE(1), I(1));
  refused(&x, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(0, 0), COMBINER_SUM, false});
  refused(&x, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(-1), COMBINER_SUM, false});
  refused(&x, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(0), COMBINER_NONE, false});
  refused(&x, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(0), COMBINER_AND, false});
  refused(&x, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(0, 1), COMBINER_ARGMAX, false});
  refused(&x, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(0), COMBINER_MAX, true});
  refused(&x, OP_REDUCE, &b, 1, &(struct reduce_attrs){INTS(0), COMBINER_SUM, false});
  fixture_deinit(&x);
}

/* 1 + 2^-24 three times: f32 loses each, f64 keeps all; f16 accumulates in f32. */
static void test_accumulation(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  double e = ldexp(1, -24);
  value_id v = f32(&x, SHAPE(4), F(1, e, e, e));
  value_id h = constant(&x, DTYPE_F16, SHAPE(3), F(2048, 1, 1));
  reduce(&x, v, INTS(0), COMBINER_SUM, false);
  reduce(&x, h, INTS(0), COMBINER_SUM, false);
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(1), F(1));
  expect_f(x.out[1], SHAPE(1), F(2050));
  run(&x, INTERP_EXACT);
  expect_f(x.out[0], SHAPE(1), F(1 + 3 * e));
  fixture_deinit(&x);
}

static void test_scan(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(2, 3), I(1, 2, 3, 4, 5, 6));
  give_op(&x, OP_SCAN, &v, 1, &(struct scan_attrs){1, COMBINER_SUM, false, false});
  give_op(&x, OP_SCAN, &v, 1, &(struct scan_attrs){1, COMBINER_SUM, true, false});
  give_op(&x, OP_SCAN, &v, 1, &(struct scan_attrs){1, COMBINER_PROD, false, true});
  give_op(&x, OP_SCAN, &v, 1, &(struct scan_attrs){0, COMBINER_MAX, true, true});
  refused(&x, OP_SCAN, &v, 1, &(struct scan_attrs){2, COMBINER_SUM, false, false});
  refused(&x, OP_SCAN, &v, 1, &(struct scan_attrs){0, COMBINER_ARGMAX, false, false});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 3), I(1, 3, 6, 4, 9, 15));
  expect_i(x.out[1], SHAPE(2, 3), I(0, 1, 3, 0, 4, 9));
  expect_i(x.out[2], SHAPE(2, 3), I(6, 6, 3, 120, 30, 6));
  expect_i(x.out[3], SHAPE(2, 3), I(4, 5, 6, INT64_MIN, INT64_MIN, INT64_MIN));
  fixture_deinit(&x);
}

static void test_window(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim zero = k(&x, 0), one = k(&x, 1);
  value_id v = f32(&x, SHAPE(1, 6), F(3, 1, 4, 1, 5, 9));
  struct window_attrs a = {COMBINER_MAX, INTS(1, 3),      INTS(1, 2),
                           INTS(1, 1),   DIMS(zero, one), DIMS(zero, one)};
  give_op(&x, OP_WINDOW, &v, 1, &a);
  a.kind = COMBINER_SUM;
  a.dilation = INTS(1, 2);
  a.stride = INTS(1, 1);
  give_op(&x, OP_WINDOW, &v, 1, &a);
  a.size = INTS(1, 0);
  refused(&x, OP_WINDOW, &v, 1, &a);
  a.size = INTS(1, 100);
  refused(&x, OP_WINDOW, &v, 1, &a);
  a.size = INTS(1, INT64_MAX);
  refused(&x, OP_WINDOW, &v, 1, &a);
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(1, 3), F(3, 4, 9));
  expect_f(x.out[1], SHAPE(1, 4), F(2, 12, 11, 9));
  fixture_deinit(&x);
}

static void test_window_arg(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim zero = k(&x, 0), one = k(&x, 1), two = k(&x, 2);
  value_id v = f32(&x, SHAPE(2, 3), F(1, 7, 7, -INFINITY, 2, 3));
  struct window_attrs a = {COMBINER_ARGMAX, INTS(2, 2),       INTS(1, 1),
                           INTS(1, 1),      DIMS(zero, zero), DIMS(zero, zero)};
  give_op(&x, OP_WINDOW, &v, 1, &a);
  a.size = INTS(1, 2);
  a.low = DIMS(zero, one);
  give_op(&x, OP_WINDOW, &v, 1, &a);
  a.size = INTS(1, 1);
  a.low = DIMS(zero, two);
  give_op(&x, OP_WINDOW, &v, 1, &a);
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(1, 2), F(7, 7));
  expect_i(x.out[1], SHAPE(1, 2), I(1, 1));
  expect_f(x.out[2], SHAPE(2, 3), F(1, 7, 7, -INFINITY, 2, 3));
  expect_i(x.out[3], SHAPE(2, 3), I(0, 1, 1, 3, 4, 5));
  expect_f(x.out[4], SHAPE(2, 5),
           F(-INFINITY, -INFINITY, 1, 7, 7, -INFINITY, -INFINITY, -INFINITY, 2, 3));
  expect_i(x.out[5], SHAPE(2, 5), I(0, 0, 0, 1, 2, 0, 0, 3, 4, 5));
  fixture_deinit(&x);
}

static void test_contract(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = f32(&x, SHAPE(2, 3), F(1, 2, 3, 4, 5, 6));
  value_id b = f32(&x, SHAPE(3, 2), F(1, 0, 0, 1, 1, 1));
  give(&x, build_matmul(&x.b, a, b, DTYPE_F32));
  /* Both sides transposed, k in another order: sum over both dims of a * b^T. */
  struct contract_attrs c = {NO_INTS, NO_INTS, INTS(1, 0), INTS(0, 1), DTYPE_F32, false};
  give_op(&x, OP_CONTRACT, (value_id[]){a, b}, 2, &c);
  c = (struct contract_attrs){NO_INTS, NO_INTS, NO_INTS, NO_INTS, DTYPE_F64, false};
  give_op(&x, OP_CONTRACT, (value_id[]){a, b}, 2, &c);
  for (int mode = INTERP_TYPED; mode <= INTERP_EXACT; mode++) {
    run(&x, (enum interp_mode)mode);
    expect_f(x.out[0], SHAPE(2, 2), F(4, 5, 10, 11));
    expect_f(x.out[1], SCALAR_SHAPE, F(1 + 5 + 3 + 6));
    expect_dims(x.out[2], SHAPE(2, 3, 3, 2));
    assert_true(x.out[2]->f64[3 * 6 + 0] == 4 && x.out[2]->f64[3 * 6 + 3] == 4);
  }
  fixture_deinit(&x);
}

static void test_contract_batch(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  /* lhs [m, b, k], rhs [n, k, b] -> [b, m, n]. */
  value_id a = i64(&x, SHAPE(1, 2, 2), I(1, 2, 3, 4));
  value_id b = i64(&x, SHAPE(3, 2, 2), I(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  struct contract_attrs c = {INTS(1), INTS(2), INTS(2), INTS(1), DTYPE_I64, false};
  give_op(&x, OP_CONTRACT, (value_id[]){a, b}, 2, &c);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 1, 3), I(7, 19, 31, 22, 50, 78));
  fixture_deinit(&x);
}

static void test_contract_ints(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  struct contract_attrs c = {NO_INTS, NO_INTS, INTS(0), INTS(0), DTYPE_I32, false};
  value_id u8 = constant(&x, DTYPE_U8, SHAPE(2), I(255, 255));
  value_id i8 = constant(&x, DTYPE_I8, SHAPE(2), I(-128, 127));
  value_id i16 = constant(&x, DTYPE_I16, SHAPE(2), I(-32768, -32768));
  value_id big = i64(&x, SHAPE(2), I(INT64_MAX, 1));
  give_op(&x, OP_CONTRACT, (value_id[]){u8, i8}, 2, &c);
  give_op(&x, OP_CONTRACT, (value_id[]){i16, i16}, 2, &c);
  c.dtype = DTYPE_I64;
  give_op(&x, OP_CONTRACT, (value_id[]){i16, i16}, 2, &c);
  give_op(&x, OP_CONTRACT, (value_id[]){big, big}, 2, &c);
  c.dtype = DTYPE_I8;
  give_op(&x, OP_CONTRACT, (value_id[]){u8, u8}, 2, &c);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SCALAR_SHAPE, I(-255));
  expect_i(x.out[1], SCALAR_SHAPE, I(INT32_MIN));
  expect_i(x.out[2], SCALAR_SHAPE, I(INT32_MIN));
  expect_i(x.out[3], SCALAR_SHAPE, I(2));
  expect_i(x.out[4], SCALAR_SHAPE, I(2));
  fixture_deinit(&x);
}

static void test_contract_rounding_and_empty(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id h = constant(&x, DTYPE_F16, SHAPE(3), F(2048, 1, 1)),
           one = constant(&x, DTYPE_F16, SHAPE(3), F(1, 1, 1));
  struct contract_attrs c = {NO_INTS, NO_INTS, INTS(0), INTS(0), DTYPE_F16, false};
  give_op(&x, OP_CONTRACT, (value_id[]){h, one}, 2, &c);
  value_id none = f32(&x, SHAPE(2, 0), NULL), other = f32(&x, SHAPE(0, 2), NULL);
  give(&x, build_matmul(&x.b, none, other, DTYPE_F32));
  give(&x, build_matmul(&x.b, other, none, DTYPE_F32));
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SCALAR_SHAPE, F(2050));
  expect_f(x.out[1], SHAPE(2, 2), F(0, 0, 0, 0));
  expect_f(x.out[2], SHAPE(0, 0), NULL);
  fixture_deinit(&x);
}

static void test_contract_refuses(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = f32(&x, SHAPE(2, 3), F(1, 2, 3, 4, 5, 6)),
           h = constant(&x, DTYPE_F16, SHAPE(3), F(1, 1, 1));
  struct contract_attrs c = {NO_INTS, NO_INTS, INTS(1), INTS(0), DTYPE_F32, false};
  refused(&x, OP_CONTRACT, (value_id[]){a, a}, 2, &c);
  refused(&x, OP_CONTRACT, (value_id[]){a, h}, 2, &c);
  c = (struct contract_attrs){INTS(0), INTS(0), INTS(0), INTS(1), DTYPE_F32, false};
  refused(&x, OP_CONTRACT, (value_id[]){a, a}, 2, &c);
  c = (struct contract_attrs){NO_INTS, NO_INTS, INTS(0, 1), INTS(0), DTYPE_F32, false};
  refused(&x, OP_CONTRACT, (value_id[]){a, a}, 2, &c);
  c = (struct contract_attrs){NO_INTS, NO_INTS, INTS(0), INTS(0), DTYPE_I32, false};
  refused(&x, OP_CONTRACT, (value_id[]){a, a}, 2, &c);
  fixture_deinit(&x);
}

static struct conv_attrs conv2(struct fixture *x, const int64_t *stride, const int64_t *dilation,
                               const dim *low, const dim *high, int64_t groups, enum dtype dtype) {
  (void)x;
  return (struct conv_attrs){{stride, 2}, {dilation, 2}, {low, 2}, {high, 2}, groups, dtype, false};
}

static void test_conv(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim zero = k(&x, 0), one = k(&x, 1);
  value_id v = f32(&x, SHAPE(1, 1, 3, 3), F(1, 2, 3, 4, 5, 6, 7, 8, 9));
  value_id w = f32(&x, SHAPE(1, 1, 2, 2), F(1, 10, 100, 1000));
  struct conv_attrs a =
      conv2(&x, I(1, 1), I(1, 1), (dim[]){zero, zero}, (dim[]){zero, zero}, 1, DTYPE_F32);
  give_op(&x, OP_CONV, (value_id[]){v, w}, 2, &a);
  a = conv2(&x, I(2, 1), I(1, 2), (dim[]){one, zero}, (dim[]){zero, one}, 1, DTYPE_F32);
  give_op(&x, OP_CONV, (value_id[]){v, w}, 2, &a);
  for (int mode = INTERP_TYPED; mode <= INTERP_EXACT; mode++) {
    run(&x, (enum interp_mode)mode);
    expect_f(x.out[0], SHAPE(1, 1, 2, 2), F(5421, 6532, 8754, 9865));
    expect_f(x.out[1], SHAPE(1, 1, 2, 2), F(3100, 200, 9764, 805));
  }
  fixture_deinit(&x);
}

static void test_conv_groups_and_channels(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim zero[2] = {k(&x, 0), k(&x, 0)};
  value_id v = f32(&x, SHAPE(2, 4, 1, 1), F(1, 2, 3, 4, 5, 6, 7, 8));
  value_id w = f32(&x, SHAPE(4, 2, 1, 1), F(1, 0, 0, 1, 1, 1, 2, -1));
  struct conv_attrs a = conv2(&x, I(1, 1), I(1, 1), zero, zero, 2, DTYPE_F32);
  give_op(&x, OP_CONV, (value_id[]){v, w}, 2, &a);
  value_id xi = constant(&x, DTYPE_U8, SHAPE(1, 1, 3), I(200, 100, 255));
  value_id wi = constant(&x, DTYPE_I8, SHAPE(1, 1, 2), I(-100, 100));
  struct conv_attrs b = {INTS(1), INTS(1), {zero, 1}, {zero, 1}, 1, DTYPE_I32, false};
  give_op(&x, OP_CONV, (value_id[]){xi, wi}, 2, &b);
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(2, 4, 1, 1), F(1, 2, 7, 2, 5, 6, 15, 6));
  expect_i(x.out[1], SHAPE(1, 1, 2), I(-10000, 15500));
  a.groups = 3;
  refused(&x, OP_CONV, (value_id[]){v, w}, 2, &a);
  a.groups = 0;
  refused(&x, OP_CONV, (value_id[]){v, w}, 2, &a);
  a.groups = 2;
  a.stride = INTS(0, 1);
  refused(&x, OP_CONV, (value_id[]){v, w}, 2, &a);
  fixture_deinit(&x);
}

static void test_attention(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  /* Two query heads on one kv head; one-hot scores by a great scale. */
  value_id q = f32(&x, SHAPE(1, 2, 2, 2), F(1, 0, 0, 1, 0, 1, 1, 0));
  value_id key = f32(&x, SHAPE(1, 1, 2, 2), F(1, 0, 0, 1));
  value_id v = f32(&x, SHAPE(1, 1, 2, 3), F(1, 2, 3, 4, 5, 6));
  struct attention_attrs a = {1000, 0, false, 0, false, false, false, 0, false};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v}, 3, &a);
  a.causal = true;
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v}, 3, &a);
  a.causal = false;
  a.scale = 0;
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v}, 3, &a);
  for (int mode = INTERP_TYPED; mode <= INTERP_EXACT; mode++) {
    run(&x, (enum interp_mode)mode);
    expect_f(x.out[0], SHAPE(1, 2, 2, 3), F(1, 2, 3, 4, 5, 6, 4, 5, 6, 1, 2, 3));
    expect_f(x.out[1], SHAPE(1, 2, 2, 3), F(1, 2, 3, 4, 5, 6, 1, 2, 3, 1, 2, 3));
    expect_f(x.out[2], SHAPE(1, 2, 2, 3),
             F(2.5, 3.5, 4.5, 2.5, 3.5, 4.5, 2.5, 3.5, 4.5, 2.5, 3.5, 4.5));
  }
  fixture_deinit(&x);
}

static void test_attention_masks(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id q = f32(&x, SHAPE(1, 1, 2, 1), F(0, 0)), key = f32(&x, SHAPE(1, 1, 3, 1), F(0, 0, 0));
  value_id v = f32(&x, SHAPE(1, 1, 3, 1), F(1, 2, 4));
  value_id bias = f32(&x, SHAPE(1, 1, 1, 3), F(-INFINITY, 0, 0));
  value_id q_pos = i64(&x, SHAPE(1, 2), I(5, -1)), k_pos = i64(&x, SHAPE(1, 3), I(6, 5, 0));
  struct attention_attrs a = {1, 0, true, 0, false, false, false, 0, false};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v}, 3, &a); /* q at 1, 2 */
  a = (struct attention_attrs){1, 0, true, 2, false, false, false, 0, false};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v}, 3, &a);
  a = (struct attention_attrs){1, 0, false, 0, true, false, false, 0, false};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v, bias}, 4, &a);
  a = (struct attention_attrs){1, 0, true, 0, false, true, false, 0, false};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v, q_pos, k_pos}, 5, &a);
  a = (struct attention_attrs){1, 0, true, 3, true, true, false, 0, false};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v, bias, q_pos, k_pos}, 6, &a);
  run(&x, INTERP_TYPED);
  expect_near(x.out[0], SHAPE(1, 1, 2, 1), F(1.5, 7.0 / 3), 1e-6);
  expect_near(x.out[1], SHAPE(1, 1, 2, 1), F(1.5, 3), 1e-6);
  expect_near(x.out[2], SHAPE(1, 1, 2, 1), F(3, 3), 1e-6);
  expect_near(x.out[3], SHAPE(1, 1, 2, 1), F(3, 0), 1e-6);
  expect_near(x.out[4], SHAPE(1, 1, 2, 1), F(2, 0), 1e-6);
  fixture_deinit(&x);
}

/* 70 keys of one score: 64 to the first of two parts or three, the third has none. */
static void test_attention_parts(void **state) {
  (void)state;
  struct fixture x;
  double values[70];
  for (int i = 0; i < 70; i++)
    values[i] = i;
  fixture_init(&x);
  value_id q = f32(&x, SHAPE(1, 1, 1, 1), F(0)), key = f32(&x, SHAPE(1, 1, 70, 1), values);
  struct attention_attrs a = {.scale = 1, .lse = true, .parts = 3};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, key}, 3, &a);
  run(&x, INTERP_EXACT);
  expect_near(x.out[0], SHAPE(3, 1, 1, 1, 1), F(31.5, 66.5, 0), 1e-12);
  expect_f(x.out[1], SHAPE(3, 1, 1, 1), F(log(64), log(6), -INFINITY));
  a.lse = false;
  refused(&x, OP_ATTENTION, (value_id[]){q, key, key}, 3, &a);
  fixture_deinit(&x);
}

static void test_attention_softcap_and_softmax(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id q = f32(&x, SHAPE(1, 1, 1, 2), F(1, 2)),
           key = f32(&x, SHAPE(1, 1, 2, 2), F(1, 1, -1, 3));
  value_id v = f32(&x, SHAPE(1, 1, 2, 1), F(10, 20));
  struct attention_attrs a = {0.5, 2, false, 0, false, false, false, 0, false};
  give_op(&x, OP_ATTENTION, (value_id[]){q, key, v}, 3, &a);
  run(&x, INTERP_EXACT);
  double s0 = 2 * tanh(1.5 / 2), s1 = 2 * tanh(2.5 / 2);
  double w = exp(s0) / (exp(s0) + exp(s1));
  expect_near(x.out[0], SHAPE(1, 1, 1, 1), F(10 * w + 20 * (1 - w)), 1e-12);
  a.has_bias = true;
  refused(&x, OP_ATTENTION, (value_id[]){q, key, v}, 3, &a);
  a.has_bias = false;
  refused(&x, OP_ATTENTION, (value_id[]){q, key, q}, 3, &a);
  fixture_deinit(&x);
}

static int64_t flops_of(struct fixture *x, op_id id) {
  const struct op *op = function_op(x->f, id);
  int64_t n = -1;
  dim d = op_infos[op->kind].hooks->flops(x->f, op);
  assert_true(dim_is_const(x->t, d, &n));
  return n;
}

static void test_flops(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim zero[2] = {k(&x, 0), k(&x, 0)};
  value_id a = f32(&x, SHAPE(2, 3), F(1, 2, 3, 4, 5, 6)),
           b = f32(&x, SHAPE(3, 2), F(1, 0, 0, 1, 1, 1));
  value_id p = param(&x, DTYPE_F32, (dim[]){k(&x, 1), k(&x, 4), k(&x, 8), k(&x, 8)}, 4);
  value_id w = param(&x, DTYPE_F32, (dim[]){k(&x, 16), k(&x, 2), k(&x, 3), k(&x, 3)}, 4);
  struct contract_attrs c = {NO_INTS, NO_INTS, INTS(1), INTS(0), DTYPE_F32, false};
  assert_int_equal(flops_of(&x, give_op(&x, OP_CONTRACT, (value_id[]){a, b}, 2, &c)),
                   2 * 2 * 3 * 2);
  struct conv_attrs v = conv2(&x, I(1, 1), I(1, 1), zero, zero, 2, DTYPE_F32);
  assert_int_equal(flops_of(&x, give_op(&x, OP_CONV, (value_id[]){p, w}, 2, &v)),
                   2 * 16 * 36 * 2 * 9);
  assert_int_equal(flops_of(&x, give_op(&x, OP_REDUCE, &a, 1,
                                        &(struct reduce_attrs){INTS(0), COMBINER_SUM, false})),
                   6);
  value_id e = build_unary(&x.b, SCALAR_EXP, a);
  assert_int_equal(flops_of(&x, function_value(x.f, e)->def), 6 * 12);
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reduce),
      cmocka_unit_test(test_reduce_ints_and_bools),
      cmocka_unit_test(test_reduce_of_nothing),
      cmocka_unit_test(test_reduce_arg),
      cmocka_unit_test(test_reduce_refuses),
      cmocka_unit_test(test_accumulation),
      cmocka_unit_test(test_scan),
      cmocka_unit_test(test_window),
      cmocka_unit_test(test_window_arg),
      cmocka_unit_test(test_contract),
      cmocka_unit_test(test_contract_batch),
      cmocka_unit_test(test_contract_ints),
      cmocka_unit_test(test_contract_rounding_and_empty),
      cmocka_unit_test(test_contract_refuses),
      cmocka_unit_test(test_conv),
      cmocka_unit_test(test_conv_groups_and_channels),
      cmocka_unit_test(test_attention),
      cmocka_unit_test(test_attention_masks),
      cmocka_unit_test(test_attention_parts),
      cmocka_unit_test(test_attention_softcap_and_softmax),
      cmocka_unit_test(test_flops),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
