/* SPDX-License-Identifier: Apache-2.0 */
/* One form for shardings that say the same, checked against the elements that they say. */
#include "tests/ir/eval_fixture.h"

#include "ir/shard_index.h"
#include "ir/sharding_form.h"

static const struct mesh mesh = {2, {{"a", 2}, {"b", 12}}};
#define A {0, 0, 0}
#define B {1, 0, 0}
#define B_OUT {1, 3, 4} /* b:3 */
#define B_MID {1, 2, 2}
#define B_IN {1, 2, 1}
#define REFS(...)                                                                                  \
  ((struct axis_ref[]){__VA_ARGS__}),                                                              \
      sizeof((struct axis_ref[]){__VA_ARGS__}) / sizeof(struct axis_ref)

static bool same(const struct axis_ref *a, uint32_t n, const struct axis_ref *b, uint32_t k) {
  for (uint32_t i = 0; n == k && i < n; i++)
    if (a[i].axis != b[i].axis || a[i].sub_size != b[i].sub_size ||
        a[i].sub_stride != b[i].sub_stride)
      return false;
  return n == k;
}

static void test_refs(void **state) {
  (void)state;
  struct axis_ref refs[] = {A, B_OUT, B_MID, {0, 1, 1}, B_IN}, rest[AXIS_REFS_ROOM];
  uint32_t n = axis_refs_canonical(&mesh, refs, 5);
  assert_true(same(refs, n, REFS(A, B)));
  assert_true(axis_refs_after(&mesh, REFS(A, B), REFS(A, B_OUT), rest, &n));
  assert_true(same(rest, n, REFS({1, 4, 1})));
  assert_true(axis_refs_after(&mesh, REFS(B_OUT, B_MID, A), REFS({1, 6, 2}), rest, &n));
  assert_true(same(rest, n, REFS(A)));
  assert_false(axis_refs_after(&mesh, REFS(A, B), REFS(B), rest, &n));
  assert_false(axis_refs_after(&mesh, REFS(B_OUT), REFS(B), rest, &n));
  n = axis_refs_minus(&mesh, REFS(A, B), REFS(B_MID), rest);
  assert_true(same(rest, n, REFS(A, B_OUT, B_IN)));
  assert_true(axis_refs_contain(&mesh, REFS(B, A), REFS(B_MID, A)));
  assert_false(axis_refs_contain(&mesh, REFS(B_OUT, B_IN), REFS(B)));
  assert_true(axis_refs_disjoint(&mesh, REFS(B_OUT, B_IN), REFS(B_MID, A)));
  assert_false(axis_refs_disjoint(&mesh, REFS(B), REFS(B_MID)));
}

static bool part_within(int64_t n, const struct dim_split *fine, const struct dim_split *coarse) {
  for (int64_t r = 0; r < 24; r++) {
    int64_t coords[2], local;
    mesh_coords(&mesh, r, coords);
    struct shard_part x = shard_part_of(&mesh, coords, fine, n);
    struct shard_part y = shard_part_of(&mesh, coords, coarse, n);
    for (int64_t i = 0; i < shard_part_count(&x); i++)
      if (!shard_part_local(&y, shard_part_global(&x, i), &local))
        return false;
  }
  return true;
}

/* Every pair of splits of several sizes: the canonical form says the same elements, equal forms the
 * same, and what refines does. */
static void test_splits(void **state) {
  (void)state;
  static const struct dim_split splits[] = {
      {0},
      {1, {A}, 1, SPLIT_BLOCK, 0},
      {1, {A}, 4, SPLIT_BLOCK, 0},
      {1, {A}, 1, SPLIT_ZIGZAG, 0},
      {1, {A}, 3, SPLIT_INTERLEAVED, 6},
      {1, {B}, 1, SPLIT_BLOCK, 0},
      {2, {A, B_OUT}, 1, SPLIT_BLOCK, 0},
      {2, {A, B_OUT}, 2, SPLIT_BLOCK, 0},
      {3, {A, B_OUT, B_MID}, 1, SPLIT_BLOCK, 0},
      {2, {B_OUT, B_MID}, 2, SPLIT_BLOCK, 0},
      {1, {B_OUT}, 2, SPLIT_ZIGZAG, 0},
      {2, {B_MID, B_OUT}, 1, SPLIT_INTERLEAVED, 1},
  };
  static const int64_t sizes[] = {1, 5, 6, 12, 24, 36, 48, 100};
  enum { N = sizeof splits / sizeof *splits };
  struct fixture x;
  fixture_init(&x);
  uint32_t refined = 0, equal = 0, n;
  for (uint32_t k = 0; k < 8; k++)
    for (uint32_t i = 0; i < N; i++)
      for (uint32_t j = 0; j < N; j++) {
        struct dim_split a = splits[i], b = splits[j];
        struct axis_ref rest[AXIS_REFS_ROOM];
        dim size = dim_const(x.t, sizes[k]);
        dim_split_canonical(x.t, &mesh, size, &a);
        dim_split_canonical(x.t, &mesh, size, &b);
        assert_true(part_within(sizes[k], &splits[i], &a));
        assert_true(part_within(sizes[k], &a, &splits[i]));
        if (dim_split_equal(&a, &b)) {
          assert_true(part_within(sizes[k], &splits[i], &splits[j]));
          equal += i != j;
        }
        if (dim_split_refines(x.t, &mesh, size, &a, &b, rest, &n)) {
          assert_true(part_within(sizes[k], &splits[i], &splits[j]));
          refined += i != j && j != 0;
        }
      }
  assert_true(equal > 5 && refined > 20);
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_refs), cmocka_unit_test(test_splits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
