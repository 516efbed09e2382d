/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: alignment, zeroing, large objects, reuse after reset. */
#include "base/arena.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void objects_are_aligned_zeroed_and_apart(void **state) {
  (void)state;
  struct arena a;
  unsigned char *objects[500];
  arena_init(&a);
  for (size_t i = 0; i < 500; i++) {
    objects[i] = arena_alloc(&a, i * 7);
    assert_int_equal((uintptr_t)objects[i] % 16, 0);
    for (size_t k = 0; k < i * 7; k++)
      assert_int_equal(objects[i][k], 0);
    memset(objects[i], (int)i, i * 7);
  }
  for (size_t i = 0; i < 500; i++)
    for (size_t k = 0; k < i * 7; k++)
      assert_int_equal(objects[i][k], (unsigned char)i);
  arena_deinit(&a);
}

static void a_large_object_leaves_the_room_of_the_chunk(void **state) {
  (void)state;
  struct arena a = {0};
  char *small = arena_alloc(&a, 16);
  char *large = arena_alloc(&a, 5 << 20);
  large[(5 << 20) - 1] = 1;
  assert_ptr_equal(arena_alloc(&a, 16), small + 16);
  arena_deinit(&a);
}

static void reset_keeps_memory_that_is_zeroed_again(void **state) {
  (void)state;
  struct arena a = {0};
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 200; i++) {
      unsigned char *p = arena_alloc(&a, 1000);
      assert_int_equal(p[0] | p[999], 0);
      memset(p, 0xee, 1000);
    }
    arena_reset(&a);
    assert_int_equal(a.total, 0);
  }
  arena_deinit(&a);
  arena_reset(&a);
}

static void strings_are_copied(void **state) {
  (void)state;
  struct arena a = {0};
  assert_string_equal(arena_strdup(&a, "abc"), "abc");
  assert_string_equal(arena_strndup(&a, "abcdef", 2), "ab");
  assert_string_equal(arena_strndup(&a, NULL, 0), "");
  assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
  assert_string_equal(arena_printf(&a, "%s", ""), "");
  int values[] = {1, 2, 3}, *copy = arena_memdup(&a, values, sizeof values);
  assert_int_equal(copy[2], 3);
  arena_deinit(&a);
}

static status overflow(void *context) {
  ARENA_ARRAY((struct arena *)context, int64_t, SIZE_MAX / 4);
  return STATUS_OK;
}

static void an_overflowing_array_is_exhaustion(void **state) {
  (void)state;
  struct arena a = {0};
  assert_int_equal(oom_guard_run(overflow, &a), STATUS_RESOURCES);
  arena_deinit(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(objects_are_aligned_zeroed_and_apart),
      cmocka_unit_test(a_large_object_leaves_the_room_of_the_chunk),
      cmocka_unit_test(reset_keeps_memory_that_is_zeroed_again),
      cmocka_unit_test(strings_are_copied),
      cmocka_unit_test(an_overflowing_array_is_exhaustion),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
