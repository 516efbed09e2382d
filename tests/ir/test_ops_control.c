/* SPDX-License-Identifier: Apache-2.0 */
/* Ops with regions: if, loop, fused. */
#include "tests/ir/eval_fixture.h"

static region_id region_of(struct fixture *x, const value_id *results, uint32_t n) {
  region_id r = region_create(x->f);
  for (uint32_t i = 0; i < n; i++)
    vec_push(&x->f->regions.data[r].results, results[i]);
  return r;
}

static op_id control(struct fixture *x, enum op_kind kind, const value_id *operands, uint32_t n,
                     const region_id *regions, uint32_t n_regions, const void *attrs) {
  op_id op = build_op(&x->b, kind, operands, n, regions, n_regions, attrs);
  if (op == OP_ID_NONE)
    print_diags(x);
  assert_int_not_equal(op, OP_ID_NONE);
  const struct op *o = function_op(x->f, op);
  for (uint32_t i = 0; i < o->n_results; i++)
    vec_push(&x->f->regions.data[0].results, o->results[i]);
  return op;
}

static struct tensor *flag(struct fixture *x, bool value) {
  struct tensor *t = tensor_create(&x->arena, DTYPE_BOOL, NULL, 0);
  t->i64[0] = value;
  return t;
}

static struct tensor *number(struct fixture *x, int64_t value) {
  struct tensor *t = tensor_create(&x->arena, DTYPE_I64, NULL, 0);
  t->i64[0] = value;
  return t;
}

/* Branches of different length: the result's dim is a fresh symbol. */
static void test_if(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id c = param(&x, DTYPE_BOOL, NULL, 0);
  value_id outer = i64(&x, SHAPE(2), I(1, 2));
  struct builder body = x.b;
  region_id r[2] = {region_create(x.f), region_create(x.f)};
  body.region = r[0];
  value_id sum = build_binary_i64(&body, SCALAR_ADD, outer, 10);
  vec_push(&x.f->regions.data[r[0]].results, sum);
  body.region = r[1];
  value_id twice = build_concat(&body, (value_id[]){outer, outer}, 2, 0);
  vec_push(&x.f->regions.data[r[1]].results, twice);
  dim n = dim_fresh(x.t, "n", 0, 4);
  struct type type = type_make(DTYPE_I64, &n, 1);
  struct if_attrs a = {{&type, 1}};
  op_id op = control(&x, OP_IF, &c, 1, r, 2, &a);
  give(&x, build_dims(&x.b, &n, 1));
  give(&x, build_binary_i64(&x.b, SCALAR_MUL, op_result(x.f, op, 0), 2));
  struct tensor *in = flag(&x, true);
  assert_int_equal(run_with(&x, INTERP_TYPED, &in), STATUS_OK);
  expect_i(x.out[0], SHAPE(2), I(11, 12));
  expect_i(x.out[1], SHAPE(1), I(2));
  in = flag(&x, false);
  assert_int_equal(run_with(&x, INTERP_TYPED, &in), STATUS_OK);
  expect_i(x.out[0], SHAPE(4), I(1, 2, 1, 2));
  expect_i(x.out[1], SHAPE(1), I(4));
  expect_i(x.out[2], SHAPE(4), I(2, 4, 2, 4));
  fixture_deinit(&x);
}

static void test_if_refuses(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id c = param(&x, DTYPE_BOOL, NULL, 0), n = param(&x, DTYPE_I64, NULL, 0);
  value_id v = i64(&x, SHAPE(2), I(1, 2)), f = f32(&x, SHAPE(2), F(1, 2));
  region_id ints = region_of(&x, &v, 1), floats = region_of(&x, &f, 1),
            two = region_of(&x, (value_id[]){v, v}, 2);
  struct type type = type_make(DTYPE_I64, (dim[]){k(&x, 2)}, 1),
              longer = type_make(DTYPE_I64, (dim[]){k(&x, 3)}, 1);
  struct if_attrs a = {{&type, 1}}, wrong = {{&longer, 1}};
  uint32_t before = x.b.failures;
  build_op(&x.b, OP_IF, &n, 1, (region_id[]){ints, ints}, 2, &a);
  build_op(&x.b, OP_IF, &c, 1, (region_id[]){ints, floats}, 2, &a);
  build_op(&x.b, OP_IF, &c, 1, (region_id[]){ints, two}, 2, &a);
  build_op(&x.b, OP_IF, &c, 1, (region_id[]){ints, ints}, 2, &wrong);
  assert_int_equal(x.b.failures, before + 4);
  fixture_deinit(&x);
}

/* A loop that appends the iteration number to a vector, and outputs its sum each time. */
struct growing {
  struct fixture x;
  value_id most, go, start;
  dim n, end, trip;
  op_id op;
};

static void growing_init(struct growing *g) {
  struct fixture *x = &g->x;
  fixture_init(x);
  g->most = param(x, DTYPE_I64, NULL, 0);
  g->go = param(x, DTYPE_BOOL, NULL, 0);
  dim m = dim_symbol(x->t, "m", 0, 100);
  g->start = param(x, DTYPE_I64, &m, 1);
  g->n = dim_fresh(x->t, "n", 0, 1000);
  g->end = dim_fresh(x->t, "end", 0, 1000);
  g->trip = dim_fresh(x->t, "trip", 0, 1000);
  region_id r = region_create(x->f);
  struct type scalar = type_make(DTYPE_I64, NULL, 0), vector = type_make(DTYPE_I64, &g->n, 1);
  value_id i = region_add_param(x->f, r, &scalar, "i");
  value_id v = region_add_param(x->f, r, &vector, "v");
  struct builder b = x->b;
  b.region = r;
  value_id next = build_reshape(&b, i, (dim[]){k(x, 1)}, 1);
  value_id longer = build_concat(&b, (value_id[]){v, next}, 2, 0);
  value_id sum = build_reduce(&b, longer, I(0), 1, COMBINER_SUM);
  value_id below = build_binary_i64(&b, SCALAR_LT, build_reshape(&b, sum, NULL, 0), 10);
  value_id results[3] = {below, longer, sum};
  vec_append(&x->f->regions.data[r].results, results, 3);
  struct type types[2] = {type_make(DTYPE_I64, &g->end, 1),
                          type_make(DTYPE_I64, (dim[]){g->trip, k(x, 1)}, 2)};
  struct loop_attrs a = {{types, 2}, g->trip, 1};
  g->op = control(x, OP_LOOP, (value_id[]){g->most, g->go, g->start}, 3, &r, 1, &a);
  give(x, build_dims(&x->b, (dim[]){g->trip, g->end}, 2));
}

static void test_loop_grows(void **state) {
  (void)state;
  struct growing g;
  growing_init(&g);
  struct fixture *x = &g.x;
  struct tensor *start = tensor_create(&x->arena, DTYPE_I64, I(1), 1);
  start->i64[0] = 4;
  struct tensor *in[3] = {number(x, 3), flag(x, true), start};
  assert_int_equal(run_with(x, INTERP_TYPED, in), STATUS_OK);
  expect_i(x->out[0], SHAPE(4), I(4, 0, 1, 2));
  expect_i(x->out[1], SHAPE(3, 1), I(4, 5, 7));
  expect_i(x->out[2], SHAPE(2), I(3, 4));
  in[0] = number(x, -1); /* until the condition ends it */
  assert_int_equal(run_with(x, INTERP_TYPED, in), STATUS_OK);
  expect_i(x->out[0], SHAPE(5), I(4, 0, 1, 2, 3));
  expect_i(x->out[1], SHAPE(4, 1), I(4, 5, 7, 10));
  in[0] = number(x, 0);
  assert_int_equal(run_with(x, INTERP_TYPED, in), STATUS_OK);
  expect_i(x->out[0], SHAPE(1), I(4));
  expect_i(x->out[1], SHAPE(0, 1), NULL);
  expect_i(x->out[2], SHAPE(2), I(0, 1));
  in[0] = number(x, 5);
  in[1] = flag(x, false);
  assert_int_equal(run_with(x, INTERP_TYPED, in), STATUS_OK);
  expect_i(x->out[0], SHAPE(1), I(4));
  fixture_deinit(x);
}

/* An output whose size changes cannot be stacked. */
static void test_loop_output_of_changing_size(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id most = i64(&x, SCALAR_SHAPE, I(2)), go = constant(&x, DTYPE_BOOL, SCALAR_SHAPE, I(1));
  region_id r = region_create(x.f);
  struct type scalar = type_make(DTYPE_I64, NULL, 0);
  value_id i = region_add_param(x.f, r, &scalar, "i");
  struct builder b = x.b;
  b.region = r;
  dim n = dim_fresh(x.t, "n", 0, 8), trip = dim_fresh(x.t, "trip", 0, 8),
      m = dim_fresh(x.t, "m", 0, 8);
  build_symbol(&b, i, 0, n);
  value_id results[2] = {go, build_iota(&b, DTYPE_I64, &n, 1, 0)};
  vec_append(&x.f->regions.data[r].results, results, 2);
  struct type type = type_make(DTYPE_I64, (dim[]){trip, m}, 2);
  struct loop_attrs a = {{&type, 1}, trip, 0};
  control(&x, OP_LOOP, (value_id[]){most, go}, 2, &r, 1, &a);
  run_fails(&x, NULL, DIAG_E0614);
  fixture_deinit(&x);
}

static void test_loop_refuses(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id most = i64(&x, SCALAR_SHAPE, I(2)), go = constant(&x, DTYPE_BOOL, SCALAR_SHAPE, I(1));
  value_id v = f32(&x, SHAPE(2), F(1, 2));
  struct type scalar = type_make(DTYPE_I64, NULL, 0),
              two = type_make(DTYPE_F32, (dim[]){k(&x, 2)}, 1);
  struct type three = type_make(DTYPE_F32, (dim[]){k(&x, 3)}, 1);
  region_id r = region_create(x.f);
  region_add_param(x.f, r, &scalar, "i");
  value_id p = region_add_param(x.f, r, &two, "p");
  value_id results[2] = {go, p};
  vec_append(&x.f->regions.data[r].results, results, 2);
  struct loop_attrs good = {{&two, 1}, DIM_NONE, 1}, wrong = {{&three, 1}, DIM_NONE, 1};
  struct loop_attrs count = {{&two, 1}, DIM_NONE, 0};
  uint32_t before = x.b.failures;
  build_op(&x.b, OP_LOOP, (value_id[]){most, go, v}, 3, &r, 1, &wrong);
  build_op(&x.b, OP_LOOP, (value_id[]){most, go, v}, 3, &r, 1, &count);
  build_op(&x.b, OP_LOOP, (value_id[]){go, go, v}, 3, &r, 1, &good);
  build_op(&x.b, OP_LOOP, (value_id[]){most, go, most}, 3, &r, 1, &good);
  build_op(&x.b, OP_LOOP, (value_id[]){most, go}, 2, &r, 1, &good);
  assert_int_equal(x.b.failures, before + 5);
  control(&x, OP_LOOP, (value_id[]){most, go, v}, 3, &r, 1, &good);
  assert_int_equal(run_with(&x, INTERP_TYPED, NULL), STATUS_OK);
  expect_f(x.out[0], SHAPE(2), F(1, 2));
  fixture_deinit(&x);
}

/* A loop that never ends stops at the budget. */
static void test_loop_without_end(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id most = i64(&x, SCALAR_SHAPE, I(-1)), go = constant(&x, DTYPE_BOOL, SCALAR_SHAPE, I(1));
  struct type scalar = type_make(DTYPE_I64, NULL, 0);
  region_id r = region_create(x.f);
  region_add_param(x.f, r, &scalar, "i");
  vec_push(&x.f->regions.data[r].results, go);
  struct loop_attrs a = {{NULL, 0}, DIM_NONE, 0};
  control(&x, OP_LOOP, (value_id[]){most, go}, 2, &r, 1, &a);
  struct interp in;
  interp_init(&in, x.f, INTERP_TYPED, &x.arena, &x.diags);
  in.budget = 100000;
  assert_int_equal(interp_start(&in, NULL, x.out), STATUS_RESOURCES);
  interp_deinit(&in);
  fixture_deinit(&x);
}

static void test_fused(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim n = dim_symbol(x.t, "n", 0, 10);
  value_id v = param(&x, DTYPE_F32, &n, 1);
  region_id r = region_create(x.f);
  value_id p = region_add_param(x.f, r, value_type(x.f, v), "p");
  struct builder b = x.b;
  b.region = r;
  value_id results[2] = {build_binary_f64(&b, SCALAR_ADD, p, 1),
                         build_reduce(&b, p, I(0), 1, COMBINER_SUM)};
  vec_append(&x.f->regions.data[r].results, results, 2);
  struct fused_attrs a = {.root = ROOT_KIND_ROW};
  control(&x, OP_FUSED, &v, 1, &r, 1, &a);
  struct tensor *in = tensor_create(&x.arena, DTYPE_F32, I(2), 1);
  in->f64[0] = 1, in->f64[1] = 2;
  assert_int_equal(run_with(&x, INTERP_TYPED, &in), STATUS_OK);
  expect_f(x.out[0], SHAPE(2), F(2, 3));
  expect_f(x.out[1], SHAPE(1), F(3));
  uint32_t before = x.b.failures;
  build_op(&x.b, OP_FUSED, NULL, 0, &r, 1, &a);
  build_op(&x.b, OP_FUSED, (value_id[]){i64(&x, SHAPE(1), I(1))}, 1, &r, 1, &a);
  assert_int_equal(x.b.failures, before + 2);
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_if),           cmocka_unit_test(test_if_refuses),
      cmocka_unit_test(test_loop_grows),   cmocka_unit_test(test_loop_output_of_changing_size),
      cmocka_unit_test(test_loop_refuses), cmocka_unit_test(test_loop_without_end),
      cmocka_unit_test(test_fused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
