/* SPDX-License-Identifier: Apache-2.0 */
/* Types of the collectives, what is refused, and that none is evaluated by one rank. */
#include "tests/ir/eval_fixture.h"

static void test_types(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(4, 6), NULL), i = i64(&x, SHAPE(4, 6), NULL);
  op_id ops[] = {
      give_op(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){INTS(0)}),
      give_op(&x, OP_REDUCE_SCATTER, &v, 1, &(struct reduce_scatter_attrs){INTS(0), 1}),
      give_op(&x, OP_ALL_GATHER, &v, 1, &(struct all_gather_attrs){INTS(1, 0), 1}),
      give_op(&x, OP_ALL_TO_ALL, &v, 1, &(struct all_to_all_attrs){INTS(0), 0, 1}),
      give_op(&x, OP_PERMUTE, &v, 1, &(struct permute_attrs){INTS(0), INTS(1, 0)}),
      give_op(&x, OP_MERGE, (value_id[]){v, i}, 2, &(struct merge_attrs){INTS(0), 0}),
  };
  for (uint32_t k = 0; k < 6; k++)
    assert_true(type_equal(value_type(x.f, op_result(x.f, ops[k], 0)), value_type(x.f, v)));
  assert_true(type_equal(value_type(x.f, op_result(x.f, ops[5], 1)), value_type(x.f, i)));
  run_fails(&x, NULL, DIAG_E0622);
  fixture_deinit(&x);
}

static void test_refusals(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(4, 6), NULL);
  refused(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){NO_INTS});
  refused(&x, OP_ALL_REDUCE, &v, 1, &(struct all_reduce_attrs){INTS(0, 0)});
  refused(&x, OP_ALL_GATHER, &v, 1, &(struct all_gather_attrs){INTS(0), 2});
  refused(&x, OP_REDUCE_SCATTER, &v, 1, &(struct reduce_scatter_attrs){INTS(-1), 0});
  refused(&x, OP_ALL_TO_ALL, &v, 1, &(struct all_to_all_attrs){INTS(0), 0, 5});
  refused(&x, OP_PERMUTE, &v, 1, &(struct permute_attrs){INTS(0), INTS(-1, 0)});
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_types), cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
