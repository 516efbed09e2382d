/* SPDX-License-Identifier: Apache-2.0 */
/* Indexed ops and those of data-dependent size: gather scatter topk nonzero unique nms. */
#include "tests/ir/eval_fixture.h"

static void test_gather(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(3, 2), I(0, 1, 10, 11, 20, 21));
  value_id rows = constant(&x, DTYPE_I32, SHAPE(2, 2), I(2, 0, 1, 1));
  value_id column = i64(&x, SHAPE(1, 1), I(1)), one = i64(&x, SCALAR_SHAPE, I(1));
  give(&x, build_gather(&x.b, v, &rows, I(0), 1, OUT_OF_RANGE_ERROR));
  give(&x, build_gather(&x.b, v, &rows, I(1), 1, OUT_OF_RANGE_CLAMP));
  give(&x, build_gather(&x.b, v, (value_id[]){rows, column}, I(0, 1), 2, OUT_OF_RANGE_ERROR));
  give(&x, build_gather(&x.b, v, (value_id[]){column, rows}, I(1, 0), 2, OUT_OF_RANGE_ERROR));
  give(&x, build_gather(&x.b, v, &one, I(1), 1, OUT_OF_RANGE_ERROR));
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 2, 2), I(20, 21, 0, 1, 10, 11, 10, 11));
  expect_i(x.out[1], SHAPE(2, 2, 3), I(1, 11, 21, 0, 10, 20, 1, 11, 21, 1, 11, 21));
  expect_i(x.out[2], SHAPE(2, 2), I(21, 1, 11, 11));
  expect_i(x.out[3], SHAPE(2, 2), I(21, 1, 11, 11));
  expect_i(x.out[4], SHAPE(3), I(1, 11, 21));
  value_id f = f32(&x, SHAPE(1), F(0));
  refused(&x, OP_GATHER, (value_id[]){v, f}, 2, &(struct gather_attrs){INTS(0), OUT_OF_RANGE_FILL});
  refused(&x, OP_GATHER, (value_id[]){v, rows}, 2,
          &(struct gather_attrs){INTS(2), OUT_OF_RANGE_FILL});
  refused(&x, OP_GATHER, (value_id[]){v, rows, rows}, 3,
          &(struct gather_attrs){INTS(0, 0), OUT_OF_RANGE_FILL});
  refused(&x, OP_GATHER, (value_id[]){v, rows}, 2,
          &(struct gather_attrs){INTS(0, 1), OUT_OF_RANGE_FILL});
  fixture_deinit(&x);
}

static void test_gather_out_of_range(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(3), F(1, 2, 3)), none = f32(&x, SHAPE(0), NULL);
  value_id at = i64(&x, SHAPE(3), I(-1, 3, 1));
  value_id huge = constant(&x, DTYPE_U64, SHAPE(1), I(-1));
  give(&x, build_gather(&x.b, v, &at, I(0), 1, OUT_OF_RANGE_CLAMP));
  give(&x, build_gather(&x.b, v, &at, I(0), 1, OUT_OF_RANGE_FILL));
  give(&x, build_gather(&x.b, v, &huge, I(0), 1, OUT_OF_RANGE_CLAMP));
  give(&x, build_gather(&x.b, none, &at, I(0), 1, OUT_OF_RANGE_FILL));
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(3), F(1, 3, 2));
  expect_f(x.out[1], SHAPE(3), F(0, 0, 2));
  expect_f(x.out[2], SHAPE(1), F(3));
  expect_f(x.out[3], SHAPE(3), F(0, 0, 0));
  give(&x, build_gather(&x.b, v, &at, I(0), 1, OUT_OF_RANGE_ERROR));
  run_fails(&x, NULL, DIAG_E0610);
  fixture_deinit(&x);
}

static void test_scatter(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(3, 2), I(1, 2, 3, 4, 5, 6)), rows = i64(&x, SHAPE(2), I(2, 2));
  value_id u = i64(&x, SHAPE(2, 2), I(10, 20, 30, 40));
  value_id p = i64(&x, SHAPE(2), I(0, 2)), q = i64(&x, SHAPE(2), I(1, 0)),
           w = i64(&x, SHAPE(2), I(7, 8));
  struct scatter_attrs a = {INTS(0), COMBINER_NONE};
  give_op(&x, OP_SCATTER, (value_id[]){v, u, rows}, 3, &a);
  a.kind = COMBINER_SUM;
  give_op(&x, OP_SCATTER, (value_id[]){v, u, rows}, 3, &a);
  a.kind = COMBINER_MIN;
  give_op(&x, OP_SCATTER, (value_id[]){v, u, rows}, 3, &a);
  a = (struct scatter_attrs){INTS(0, 1), COMBINER_NONE};
  give_op(&x, OP_SCATTER, (value_id[]){v, w, p, q}, 4, &a);
  a = (struct scatter_attrs){INTS(1), COMBINER_PROD};
  give_op(&x, OP_SCATTER,
          (value_id[]){v, i64(&x, SHAPE(1, 3), I(2, 3, 4)), i64(&x, SHAPE(1), I(1))}, 3, &a);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(3, 2), I(1, 2, 3, 4, 30, 40));
  expect_i(x.out[1], SHAPE(3, 2), I(1, 2, 3, 4, 45, 66));
  expect_i(x.out[2], SHAPE(3, 2), I(1, 2, 3, 4, 5, 6));
  expect_i(x.out[3], SHAPE(3, 2), I(1, 7, 3, 4, 8, 6));
  expect_i(x.out[4], SHAPE(3, 2), I(1, 4, 3, 12, 5, 24));
  a = (struct scatter_attrs){INTS(0), COMBINER_ARGMAX};
  refused(&x, OP_SCATTER, (value_id[]){v, u, rows}, 3, &a);
  a.kind = COMBINER_NONE;
  refused(&x, OP_SCATTER, (value_id[]){v, w, rows}, 3, &a);
  give_op(&x, OP_SCATTER, (value_id[]){v, u, i64(&x, SHAPE(2), I(0, 3))}, 3, &a);
  run_fails(&x, NULL, DIAG_E0610);
  fixture_deinit(&x);
}

static void test_update(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(2, 4, 2), I(1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18));
  value_id rows = i64(&x, SHAPE(2, 2, 2), I(20, 21, 22, 23, 30, 31, 32, 33));
  value_id start = i64(&x, SHAPE(2), I(0, 3)), count = i64(&x, SHAPE(2), I(5, 1));
  value_id none = i64(&x, SHAPE(2, 0, 2), NULL),
           flat = i64(&x, SHAPE(2, 4), I(1, 2, 3, 4, 5, 6, 7, 8));
  value_id pair = i64(&x, SHAPE(2, 2), I(20, 21, 30, 31)), no_rows = i64(&x, SHAPE(2), I(-1, 0));
  struct update_attrs a = {.axis = 1};
  give_op(&x, OP_UPDATE, (value_id[]){v, rows, start, count}, 4, &a);
  give_op(&x, OP_UPDATE, (value_id[]){v, none, start}, 3, &a);
  give_op(&x, OP_UPDATE, (value_id[]){flat, pair, i64(&x, SHAPE(2), I(1, 2))}, 3, &a);
  give_op(&x, OP_UPDATE, (value_id[]){flat, pair, i64(&x, SHAPE(2), I(-9, 9)), no_rows}, 4, &a);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 4, 2), I(20, 21, 22, 23, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 30, 31));
  expect_i(x.out[1], SHAPE(2, 4, 2), I(1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18));
  expect_i(x.out[2], SHAPE(2, 4), I(1, 20, 21, 4, 5, 6, 30, 31));
  expect_i(x.out[3], SHAPE(2, 4), I(1, 2, 3, 4, 5, 6, 7, 8));
  refused(&x, OP_UPDATE, (value_id[]){v, rows, start}, 3, &(struct update_attrs){.axis = 0});
  refused(&x, OP_UPDATE, (value_id[]){v, rows, start}, 3, &(struct update_attrs){.axis = 2});
  refused(&x, OP_UPDATE, (value_id[]){v, flat, start}, 3, &a);
  refused(&x, OP_UPDATE, (value_id[]){v, rows, f32(&x, SHAPE(2), F(0, 0))}, 3, &a);
  refused(&x, OP_UPDATE, (value_id[]){v, rows, i64(&x, SHAPE(3), I(0, 0, 0))}, 3, &a);
  give_op(&x, OP_UPDATE, (value_id[]){v, rows, start}, 3, &a);
  run_fails(&x, NULL, DIAG_E0610); /* the second row 3 + 1 */
  fixture_deinit(&x);
}

static void test_topk(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 4), F(3, 1, 3, 2, NAN, -0.0, 0, -1));
  value_id u = constant(&x, DTYPE_U64, SHAPE(3), I(1, -1, 2));
  give_op(&x, OP_TOPK, &v, 1, &(struct topk_attrs){1, k(&x, 3), true});
  give_op(&x, OP_TOPK, &v, 1, &(struct topk_attrs){1, k(&x, 4), false});
  give_op(&x, OP_TOPK, &v, 1, &(struct topk_attrs){0, k(&x, 1), true});
  give_op(&x, OP_TOPK, &u, 1, &(struct topk_attrs){0, k(&x, 2), true});
  refused(&x, OP_TOPK, &v, 1, &(struct topk_attrs){1, k(&x, 5), true});
  refused(&x, OP_TOPK, &v, 1, &(struct topk_attrs){2, k(&x, 1), true});
  refused(&x, OP_TOPK, &v, 1, &(struct topk_attrs){1, DIM_NONE, true});
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(2, 3), F(3, 3, 2, NAN, 0, 0));
  expect_i(x.out[1], SHAPE(2, 3), I(0, 2, 3, 0, 1, 2));
  expect_f(x.out[2], SHAPE(2, 4), F(1, 2, 3, 3, -1, 0, 0, NAN));
  expect_i(x.out[3], SHAPE(2, 4), I(1, 3, 0, 2, 3, 1, 2, 0));
  expect_f(x.out[4], SHAPE(1, 4), F(NAN, 1, 3, 2));
  expect_i(x.out[5], SHAPE(1, 4), I(1, 0, 0, 0));
  expect_i(x.out[6], SHAPE(2), I(-1, 2));
  fixture_deinit(&x);
}

static void test_nonzero(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(2, 2), F(0, NAN, -0.0, 2)), s = i64(&x, SCALAR_SHAPE, I(5));
  value_id none = i64(&x, SHAPE(0, 3), NULL);
  give_op(&x, OP_NONZERO, &v, 1, &(struct nonzero_attrs){});
  give_op(&x, OP_NONZERO, &s, 1, &(struct nonzero_attrs){});
  give_op(&x, OP_NONZERO, &none, 1, &(struct nonzero_attrs){});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 4), I(0, 1, 0, 0, 1, 1, 0, 0));
  expect_i(x.out[1], SCALAR_SHAPE, I(2));
  expect_i(x.out[2], SHAPE(0, 1), NULL);
  expect_i(x.out[3], SCALAR_SHAPE, I(1));
  expect_i(x.out[4], SHAPE(2, 0), NULL);
  expect_i(x.out[5], SCALAR_SHAPE, I(0));
  fixture_deinit(&x);
}

static void test_unique(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = i64(&x, SHAPE(5, 2), I(2, 1, 1, 9, 2, 1, 1, 2, 1, 9));
  value_id n = f32(&x, SHAPE(4, 1), F(NAN, 0, NAN, -0.0));
  give_op(&x, OP_UNIQUE, &v, 1, &(struct unique_attrs){false});
  give_op(&x, OP_UNIQUE, &v, 1, &(struct unique_attrs){true});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(5), I(0, 1, 3, 0, 0));
  expect_i(x.out[1], SHAPE(5), I(0, 1, 0, 2, 1));
  expect_i(x.out[2], SHAPE(5), I(2, 2, 1, 0, 0));
  expect_i(x.out[3], SCALAR_SHAPE, I(3));
  expect_i(x.out[4], SHAPE(5), I(3, 1, 0, 0, 0));
  expect_i(x.out[5], SHAPE(5), I(2, 1, 2, 0, 1));
  expect_i(x.out[6], SHAPE(5), I(1, 2, 2, 0, 0));
  fixture_deinit(&x);
  fixture_init(&x);
  n = f32(&x, SHAPE(4, 1), F(NAN, 0, NAN, -0.0));
  give_op(&x, OP_UNIQUE, &n, 1, &(struct unique_attrs){true});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(4), I(1, 0, 0, 0));
  expect_i(x.out[1], SHAPE(4), I(1, 0, 1, 0));
  expect_i(x.out[3], SCALAR_SHAPE, I(2));
  fixture_deinit(&x);
}

static void test_nms(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  /* Boxes 0 and 1 overlap by 1/3, 2 is apart (with its corners swapped), 3 has no area. */
  value_id boxes = f32(&x, SHAPE(1, 4, 4), F(0, 0, 2, 2, 0, 1, 2, 3, 12, 12, 10, 10, 5, 5, 5, 5));
  value_id scores = f32(&x, SHAPE(1, 2, 4), F(0.5, 0.9, 0.5, 0.1, 0.5, 0.5, 0.4, 0.3));
  value_id most = i64(&x, SCALAR_SHAPE, I(2)), least = f32(&x, SCALAR_SHAPE, F(0.1));
  value_id low = f32(&x, SCALAR_SHAPE, F(0.3)), high = f32(&x, SCALAR_SHAPE, F(0.5));
  give_op(&x, OP_NMS, (value_id[]){boxes, scores, most, low, least}, 5, &(struct nms_attrs){false});
  give_op(&x, OP_NMS, (value_id[]){boxes, scores, most, high, least}, 5,
          &(struct nms_attrs){false});
  run(&x, INTERP_TYPED);
  expect_i(x.out[1], SCALAR_SHAPE, I(4));
  expect_i(x.out[0], SHAPE(8, 3),
           I(0, 0, 1, 0, 0, 2, 0, 1, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  expect_i(x.out[2], SHAPE(8, 3),
           I(0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  refused(&x, OP_NMS, (value_id[]){scores, scores, most, low, least}, 5,
          &(struct nms_attrs){false});
  refused(&x, OP_NMS, (value_id[]){boxes, scores, low, low, least}, 5, &(struct nms_attrs){false});
  fixture_deinit(&x);
}

static void test_nms_center(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  /* x, y, width, height: the second lies in the first's right half. */
  value_id boxes = f32(&x, SHAPE(1, 2, 4), F(2, 1, 4, 2, 3, 1, 2, 2));
  value_id scores = f32(&x, SHAPE(1, 1, 2), F(1, 2)), most = i64(&x, SCALAR_SHAPE, I(9));
  value_id iou = f32(&x, SCALAR_SHAPE, F(0.49)), least = f32(&x, SCALAR_SHAPE, F(-INFINITY));
  give_op(&x, OP_NMS, (value_id[]){boxes, scores, most, iou, least}, 5, &(struct nms_attrs){true});
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 3), I(0, 0, 1, 0, 0, 0));
  expect_i(x.out[1], SCALAR_SHAPE, I(1));
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gather),     cmocka_unit_test(test_gather_out_of_range),
      cmocka_unit_test(test_scatter),    cmocka_unit_test(test_topk),
      cmocka_unit_test(test_update),     cmocka_unit_test(test_nonzero),
      cmocka_unit_test(test_unique),     cmocka_unit_test(test_nms),
      cmocka_unit_test(test_nms_center),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
