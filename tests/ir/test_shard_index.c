/* SPDX-License-Identifier: Apache-2.0 */
/* Every order of splitting deals each element to exactly one part, and both directions of its index
 * function agree; groups of ranks along axes and parts of axes; shards put back give the whole. */
#include "tests/ir/eval_fixture.h"

#include "ir/shard_index.h"

static void check_order(enum split_order order, int64_t n, int64_t parts, int64_t granule,
                        int64_t block) {
  int64_t seen[80] = {0}, total = 0;
  for (int64_t r = 0; r < parts; r++) {
    struct shard_part p = {n, order, granule, block, parts, r};
    int64_t count = shard_part_count(&p), before = -1, local;
    for (int64_t i = 0; i < count; i++) {
      int64_t g = shard_part_global(&p, i);
      assert_true(g > before && g < n);
      before = g;
      assert_true(shard_part_local(&p, g, &local) && local == i);
      seen[g]++;
    }
    for (int64_t g = 0; g < n; g++) {
      bool here = shard_part_local(&p, g, &local);
      assert_true(!here || shard_part_global(&p, local) == g);
      /* A granule stays in one piece. */
      if (here && order != SPLIT_INTERLEAVED)
        assert_true(shard_part_local(&p, g / granule * granule, &local));
    }
    total += count;
  }
  assert_int_equal(total, n);
  for (int64_t g = 0; g < n; g++)
    assert_int_equal(seen[g], 1);
}

static void test_orders_are_bijections(void **state) {
  (void)state;
  for (int64_t n = 0; n < 40; n++)
    for (int64_t parts = 1; parts < 9; parts++)
      for (int64_t granule = 1; granule < 4; granule++) {
        check_order(SPLIT_BLOCK, n, parts, granule, 0);
        check_order(SPLIT_ZIGZAG, n, parts, granule, 0);
        check_order(SPLIT_INTERLEAVED, n, parts, 1, granule);
      }
}

static void test_known_places(void **state) {
  (void)state;
  struct shard_part zigzag = {16, SPLIT_ZIGZAG, 1, 0, 4, 1};
  const int64_t places[] = {2, 3, 12, 13};
  for (int64_t i = 0; i < 4; i++)
    assert_int_equal(shard_part_global(&zigzag, i), places[i]);
  /* 7 over 3: the first takes one more. */
  for (int64_t r = 0; r < 3; r++)
    assert_int_equal(shard_part_count(&(struct shard_part){7, SPLIT_BLOCK, 1, 0, 3, r}), r ? 2 : 3);
  /* vLLM's local length of an interleaved cache: blocks of 4, 3 ranks, 18 tokens. */
  for (int64_t r = 0; r < 3; r++)
    assert_int_equal(shard_part_count(&(struct shard_part){18, SPLIT_INTERLEAVED, 1, 4, 3, r}),
                     r == 0   ? 8
                     : r == 1 ? 6
                              : 4);
}

static void test_groups(void **state) {
  (void)state;
  struct mesh mesh = {.n_axes = 2, .axes = {{"cp", 2}, {"tp", 4}}};
  struct axis_ref outer = {1, 2, 2}, inner = {1, 2, 1}, cp = {0, 0, 0};
  int64_t coords[2];
  assert_int_equal(mesh_ranks(&mesh), 8);
  mesh_coords(&mesh, 6, coords);
  assert_int_equal(coords[0], 1);
  assert_int_equal(coords[1], 2);
  assert_int_equal(axis_ref_coord(&mesh, &outer, coords), 1);
  assert_int_equal(axis_ref_coord(&mesh, &inner, coords), 0);
  assert_int_equal(axis_refs_rank(&mesh, &inner, 1, coords, 1), 7);
  assert_int_equal(axis_refs_rank(&mesh, &outer, 1, coords, 0), 4);
  assert_int_equal(axis_refs_rank(&mesh, (struct axis_ref[]){cp, inner}, 2, coords, 1), 3);
}

static void test_take_and_put(void **state) {
  (void)state;
  struct arena arena = {0};
  struct mesh mesh = {.n_axes = 2, .axes = {{"a", 2}, {"b", 3}}};
  struct sharding s = {.rank = 2};
  s.dims[0] =
      (struct dim_split){.n_axes = 1, .axes = {{1, 0, 0}}, .granule = 1, .order = SPLIT_ZIGZAG};
  s.dims[1] = (struct dim_split){.n_axes = 1, .axes = {{0, 0, 0}}, .granule = 2};
  struct tensor *whole = tensor_create(&arena, DTYPE_I64, (int64_t[]){11, 5}, 2);
  struct tensor *again = tensor_create(&arena, DTYPE_I64, (int64_t[]){11, 5}, 2);
  for (int64_t i = 0; i < whole->count; i++)
    whole->i64[i] = 1 + i;
  for (int64_t r = 0; r < 6; r++) {
    int64_t coords[2];
    mesh_coords(&mesh, r, coords);
    struct tensor *shard = shard_take(&arena, &mesh, &s, coords, whole);
    assert_true(shard_put(&mesh, &s, coords, shard, again));
  }
  assert_memory_equal(whole->data, again->data, (size_t)whole->count * 8);
  assert_false(shard_put(&mesh, &s, (int64_t[]){0, 0}, whole, again));
  arena_deinit(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_orders_are_bijections), cmocka_unit_test(test_known_places),
      cmocka_unit_test(test_groups), cmocka_unit_test(test_take_and_put)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
