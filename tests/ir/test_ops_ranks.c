/* SPDX-License-Identifier: Apache-2.0 */
/* Types of the collectives, what is refused, and that none is evaluated by one rank. */
#include "tests/ir/eval_fixture.h"

static void test_types(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(4, 6), NULL), i = i64(&x, SHAPE(4, 6), NULL);
  op_id ops[] = {
      give_op(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){INTS(0), NO_INTS}),
      give_op(&x, OP_REDUCE_SCATTER, &v, 1, &(struct reduce_scatter_attrs){INTS(0), NO_INTS, 1}),
      give_op(&x, OP_ALL_GATHER, &v, 1, &(struct all_gather_attrs){INTS(1, 0), NO_INTS, 1}),
      give_op(&x, OP_ALL_TO_ALL, &v, 1, &(struct all_to_all_attrs){INTS(0), NO_INTS, 0, 1}),
      give_op(&x, OP_PERMUTE, &v, 1, &(struct permute_attrs){INTS(0), NO_INTS, INTS(1, 0)}),
      give_op(&x, OP_MERGE, (value_id[]){v, i}, 2, &(struct merge_attrs){INTS(0), NO_INTS, 0}),
  };
  for (uint32_t k = 0; k < 6; k++)
    assert_true(type_equal(value_type(x.f, op_result(x.f, ops[k], 0)), value_type(x.f, v)));
  assert_true(type_equal(value_type(x.f, op_result(x.f, ops[5], 1)), value_type(x.f, i)));
  run_fails(&x, NULL, DIAG_E0622);
  fixture_deinit(&x);
}

/* Without ranks a part is the whole. */
static void test_shard(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 3), (double[]){1, 2, 3, 4, 5, 6});
  op_id op = give_op(&x, OP_SHARD, &v, 1, NULL);
  vec_push(&x.f->regions.data[0].results, op_result(x.f, op, 0));
  assert_true(type_equal(value_type(x.f, op_result(x.f, op, 0)), value_type(x.f, v)));
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(2, 3), (double[]){1, 2, 3, 4, 5, 6});
  fixture_deinit(&x);
}

static void test_refusals(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(4, 6), NULL);
  refused(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){NO_INTS, NO_INTS});
  refused(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){INTS(0, 0), NO_INTS});
  refused(&x, OP_ALL_GATHER, &v, 1, &(struct all_gather_attrs){INTS(0), NO_INTS, 2});
  refused(&x, OP_REDUCE_SCATTER, &v, 1, &(struct reduce_scatter_attrs){INTS(-1), NO_INTS, 0});
  refused(&x, OP_ALL_TO_ALL, &v, 1, &(struct all_to_all_attrs){INTS(0), NO_INTS, 0, 5});
  refused(&x, OP_PERMUTE, &v, 1, &(struct permute_attrs){INTS(0), NO_INTS, INTS(-1, 0)});
  refused(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){INTS(0), INTS(2)});
  refused(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){INTS(0), INTS(2, 0)});
  refused(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){INTS(9), INTS(2, 1)});
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_types), cmocka_unit_test(test_shard),
                                     cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
