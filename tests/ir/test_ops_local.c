/* SPDX-License-Identifier: Apache-2.0 */
/* Types of the ops of localised functions, what is refused, and what combine gives. */
#include "tests/ir/eval_fixture.h"

#include "ir/sharding.h"

static void init_with_mesh(struct fixture *x) {
  fixture_init(x);
  struct mesh mesh = {.n_axes = 2, .axes = {{"dp", 2}, {"tp", 4}}};
  module_add_mesh(x->m, &mesh);
}

static void test_exchange(void **state) {
  (void)state;
  struct fixture x;
  init_with_mesh(&x);
  value_id v = f32(&x, SHAPE(4, 6), NULL);
  const struct ints turn = INTS(1, 2, 3, 0);
  static const uint32_t ranks[] = {2, 3, 1, 2, 2};
  for (int kind = 0; kind <= EXCHANGE_PERMUTE; kind++) {
    struct exchange_attrs a = {.kind = (enum exchange_kind)kind, .group = INTS(1, 4, 1)};
    if (kind == EXCHANGE_ALL_REDUCE || kind == EXCHANGE_REDUCE_SCATTER)
      a.reduce = PARTIAL_SUM;
    if (kind == EXCHANGE_PERMUTE)
      a.from = turn;
    op_id op = give_op(&x, OP_EXCHANGE, &v, 1, &a);
    const struct type *type = value_type(x.f, op_result(x.f, op, 0));
    assert_int_equal(type->rank, ranks[kind]);
    if (kind == EXCHANGE_ALL_GATHER)
      assert_true(type->dims[0] == k(&x, 4) && type->dims[1] == k(&x, 4));
  }
  /* Two at once. */
  struct exchange_attrs gather = {.kind = EXCHANGE_ALL_GATHER, .group = INTS(0, 2, 1)};
  op_id two = give_op(&x, OP_EXCHANGE, (value_id[]){v, i64(&x, SHAPE(3), NULL)}, 2, &gather);
  const struct type *second = value_type(x.f, op_result(x.f, two, 1));
  assert_true(second->dtype == DTYPE_I64 && second->rank == 2 && second->dims[0] == k(&x, 2));
  run_fails(&x, NULL, DIAG_E0622);
  fixture_deinit(&x);
}

static void test_exchange_refusals(void **state) {
  (void)state;
  struct fixture x;
  init_with_mesh(&x);
  value_id v = f32(&x, SHAPE(4, 6), NULL);
  struct exchange_attrs bad[] = {
      {.kind = EXCHANGE_ALL_GATHER, .group = INTS(2, 4, 1)},
      {.kind = EXCHANGE_ALL_GATHER, .group = INTS(1, 3, 1)},
      {.kind = EXCHANGE_ALL_GATHER, .group = INTS(1, 4)},
      {.kind = EXCHANGE_ALL_GATHER, .group = INTS(1, 4, 1), .mesh = 1},
      {.kind = EXCHANGE_ALL_GATHER, .group = INTS(1, 4, 1), .reduce = PARTIAL_SUM},
      {.kind = EXCHANGE_ALL_REDUCE, .group = INTS(1, 4, 1)},
      {.kind = EXCHANGE_ALL_REDUCE, .group = INTS(1, 4, 1), .reduce = PARTIAL_SOFTMAX},
      {.kind = EXCHANGE_ALL_TO_ALL, .group = INTS(0, 2, 1)},
      {.kind = EXCHANGE_PERMUTE, .group = INTS(0, 2, 1), .from = INTS(1, 2)},
      {.kind = EXCHANGE_PERMUTE, .group = INTS(0, 2, 1), .from = INTS(1)},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    refused(&x, OP_EXCHANGE, &v, 1, &bad[i]);
  fixture_deinit(&x);
}

static void test_part(void **state) {
  (void)state;
  struct fixture x;
  init_with_mesh(&x);
  value_id v = f32(&x, SHAPE(6, 5), NULL);
  constant_id c = OP_ATTRS(const, value_def(x.f, v))->value;
  struct sharding s = {.rank = 2};
  s.dims[0] = (struct dim_split){.n_axes = 1, .axes = {{.axis = 0}}, .granule = 1};
  s.dims[1] = (struct dim_split){.n_axes = 1, .axes = {{.axis = 1}}, .granule = 1};
  struct type whole = *value_type(x.f, v);
  refused(&x, OP_PART, NULL, 0, &(struct part_attrs){c, &whole});
  whole.sharding = module_add_sharding(x.m, &s);
  value_id part = op_result(x.f, give_op(&x, OP_PART, NULL, 0, &(struct part_attrs){c, &whole}), 0);
  const struct type *type = value_type(x.f, part);
  assert_true(type->dims[0] == k(&x, 3) && !type->sharding);
  int64_t lo, hi;
  dim_bounds(x.t, type->dims[1], &lo, &hi);
  assert_true(lo == 1 && hi == 2);
  refused(&x, OP_PART, NULL, 0, &(struct part_attrs){c + 7, &whole});
  whole.dims[0] = k(&x, 7);
  refused(&x, OP_PART, NULL, 0, &(struct part_attrs){c, &whole});
  run_fails(&x, NULL, DIAG_E0622);
  fixture_deinit(&x);
}

static void test_combine(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  /* Two ranks, two rows of one number each. */
  value_id o = f32(&x, SHAPE(2, 2, 1), F(1, 5, 3, 7));
  value_id lse = f32(&x, SHAPE(2, 2), F(0, -INFINITY, 0, 2));

  give_op(&x, OP_COMBINE, (value_id[]){o, lse}, 2, &(struct combine_attrs){PARTIAL_SOFTMAX, 0});
  value_id v = i64(&x, SHAPE(2, 3), I(4, 9, 1, 4, 8, 7));
  value_id at = i64(&x, SHAPE(2, 3), I(6, 1, 2, 3, 8, INT64_MAX));

  give_op(&x, OP_COMBINE, (value_id[]){v, at}, 2, &(struct combine_attrs){PARTIAL_ARGMAX, 0});
  run(&x, INTERP_EXACT);
  expect_f(x.out[0], SHAPE(2, 1), F(2, 7));
  expect_f(x.out[1], SHAPE(2), F(log(2), 2));
  expect_i(x.out[2], SHAPE(3), I(4, 9, 1));
  expect_i(x.out[3], SHAPE(3), I(3, 1, 2));
  refused(&x, OP_COMBINE, (value_id[]){v, at}, 2, &(struct combine_attrs){PARTIAL_SUM, 0});
  refused(&x, OP_COMBINE, (value_id[]){v, at}, 2, &(struct combine_attrs){PARTIAL_SOFTMAX, 0});
  refused(&x, OP_COMBINE, (value_id[]){o, at}, 2, &(struct combine_attrs){PARTIAL_ARGMAX, 0});
  refused(&x, OP_COMBINE, (value_id[]){v, at}, 2, &(struct combine_attrs){PARTIAL_TOPK, 1});
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_exchange),
                                     cmocka_unit_test(test_exchange_refusals),
                                     cmocka_unit_test(test_part), cmocka_unit_test(test_combine)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
