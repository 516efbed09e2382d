/* SPDX-License-Identifier: Apache-2.0 */
/* Packing: no overlap in time and space, the bound, determinism, limits. */
#include "runtime/memory_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 200 };

static uint64_t seed = 1;

static uint32_t random_below(uint32_t n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((seed >> 33) % n);
}

static void check_packing(const struct memory_item *items, uint32_t n, uint64_t total) {
  for (uint32_t i = 0; i < n; i++) {
    assert_int_equal(items[i].offset % MEMORY_PLAN_ALIGNMENT, 0);
    assert_true(items[i].offset + items[i].bytes <= total);
    for (uint32_t k = 0; k < i; k++) {
      int together = items[i].first <= items[k].last && items[k].first <= items[i].last;
      int apart = items[i].offset + items[i].bytes <= items[k].offset ||
                  items[k].offset + items[k].bytes <= items[i].offset;
      assert_true(!together || apart);
    }
  }
}

static void check_overlaps(const struct memory_item *items, uint32_t n,
                           const struct memory_overlaps *overlaps) {
  uint32_t total = 0;
  for (uint32_t i = 0; i < n; i++) {
    for (uint32_t k = 0; k < n; k++)
      total += i != k && items[i].first <= items[k].last && items[k].first <= items[i].last;
    assert_int_equal(overlaps->start[i + 1], total);
    for (uint32_t k = overlaps->start[i]; k < overlaps->start[i + 1]; k++) {
      const struct memory_item *other = &items[overlaps->items[k]];
      assert_true(items[i].first <= other->last && other->first <= items[i].last);
      assert_true(overlaps->items[k] != i);
    }
  }
}

static void random_items(void **state) {
  (void)state;
  struct memory_item items[MOST], again[MOST];
  uint32_t scratch[3 * MOST], start[MOST + 1], list[MOST * MOST];
  for (int round = 0; round < 300; round++) {
    uint32_t n = random_below(MOST);
    uint64_t total, repeated, bound;
    for (uint32_t i = 0; i < n; i++) {
      uint32_t first = random_below(50);
      items[i] = (struct memory_item){random_below(5) ? random_below(5000) : 0, first,
                                      first + random_below(10), 7};
    }
    memcpy(again, items, sizeof items);
    assert_true(memory_plan_pack(items, n, NULL, scratch, &total));
    assert_true(memory_plan_bound(items, n, &bound));
    assert_true(total >= bound);
    check_packing(items, n, total);
    struct memory_overlaps overlaps = {start, list};
    assert_true(memory_overlaps_count(items, n, MOST * MOST, scratch, &overlaps));
    memory_overlaps_fill(items, n, scratch, &overlaps);
    check_overlaps(items, n, &overlaps);
    assert_true(memory_plan_pack(again, n, &overlaps, scratch, &repeated));
    assert_int_equal(total, repeated);
    for (uint32_t i = 0; i < n; i++)
      assert_int_equal(items[i].offset, again[i].offset);
  }
}

static void chain_reuses_two_places(void **state) {
  (void)state;
  struct memory_item items[20];
  uint32_t scratch[60];
  uint64_t total;
  for (uint32_t i = 0; i < 20; i++)
    items[i] = (struct memory_item){1000, i, i + 1, 0};
  assert_true(memory_plan_pack(items, 20, NULL, scratch, &total));
  assert_int_equal(total, 2 * 1024);
}

static void tightest_gap(void **state) {
  (void)state;
  /* Two gaps, of 128 and 64 B, below a value that lives throughout: the last item fits both. */
  struct memory_item items[] = {{640, 0, 9, 0}, {128, 0, 3, 0}, {192, 0, 9, 0},
                                {64, 0, 3, 0},  {320, 0, 9, 0}, {64, 5, 6, 0}};
  uint32_t scratch[18];
  uint64_t total;
  assert_true(memory_plan_pack(items, 6, NULL, scratch, &total));
  check_packing(items, 6, total);
  assert_int_equal(total, 640 + 320 + 192 + 128 + 64);
}

static void limits(void **state) {
  (void)state;
  struct memory_item items[] = {{(uint64_t)1 << 62, 0, 1, 0}, {1, 0, 1, 0}};
  uint32_t scratch[6], start[3];
  uint64_t total;
  struct memory_overlaps overlaps = {start, NULL};
  assert_false(memory_overlaps_count(items, 2, 1, scratch, &overlaps));
  assert_true(memory_overlaps_count(items, 2, 2, scratch, &overlaps));
  assert_true(memory_plan_pack(items, 0, NULL, scratch, &total));
  assert_int_equal(total, 0);
  assert_true(memory_plan_pack(items, 1, NULL, scratch, &total));
  assert_false(memory_plan_pack(items, 2, NULL, scratch, &total));
  items[0].bytes = UINT64_MAX;
  assert_false(memory_plan_pack(items, 1, NULL, scratch, &total));
  items[0] = (struct memory_item){1, 2, 1, 0};
  assert_false(memory_plan_pack(items, 1, NULL, scratch, &total));
  assert_false(memory_plan_bound(items, 1, &total));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_items),
      cmocka_unit_test(chain_reuses_two_places),
      cmocka_unit_test(tightest_gap),
      cmocka_unit_test(limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
