/* SPDX-License-Identifier: Apache-2.0 */
/* Memory guards, and everything in base/ with its n-th allocation failing. */
#include "base/arena.h"
#include "base/diag.h"
#include "base/intern.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void blocks_are_aligned_and_keep_their_bytes(void **state) {
  (void)state;
  for (size_t n = 0; n < 200; n++) {
    unsigned char *p = mem_alloc(n);
    assert_int_equal((uintptr_t)p % 16, 0);
    memset(p, 7, n);
    p = mem_realloc(p, n * 3 + 1);
    for (size_t i = 0; i < n; i++)
      assert_int_equal(p[i], 7);
    mem_free(p);
  }
  mem_free(NULL);
}

static void try_functions_refuse_impossible_sizes(void **state) {
  (void)state;
  assert_null(mem_try_alloc(SIZE_MAX));
  assert_null(mem_try_calloc(SIZE_MAX / 2, 3));
  char *p = mem_try_alloc(1);
  *p = 'x';
  assert_null(mem_try_realloc(p, SIZE_MAX));
  assert_int_equal(*p, 'x');
  mem_free(p);
}

static status ask_too_much(void *context) {
  (void)context;
  mem_alloc(100); /* lost on purpose: the guard frees it */
  mem_calloc(SIZE_MAX / 2, 4);
  return STATUS_OK;
}

static status ask_inside(void *context) {
  int *reached = context;
  mem_alloc(10);
  assert_int_equal(oom_guard_run(ask_too_much, NULL), STATUS_RESOURCES);
  *reached = 1;
  mem_alloc(SIZE_MAX);
  return STATUS_OK;
}

static void guards_nest(void **state) {
  (void)state;
  int reached = 0;
  assert_int_equal(oom_guard_run(ask_too_much, NULL), STATUS_RESOURCES);
  assert_int_equal(oom_guard_run(ask_inside, &reached), STATUS_RESOURCES);
  assert_int_equal(reached, 1);
}

static status keep_block(void *context) {
  *(void **)context = mem_alloc(64);
  return STATUS_OK;
}

static void blocks_outlive_a_guard_that_ends_well(void **state) {
  (void)state;
  void *p = NULL;
  assert_int_equal(oom_guard_run(keep_block, &p), STATUS_OK);
  memset(p, 1, 64);
  mem_free(p);
}

/* One object of each kind, grown a few times. */
static status use_everything(void *context) {
  struct diags *d = context;
  struct arena a = {0};
  struct intern names;
  struct map m = {0};
  struct strbuf text = {0};
  struct json j;
  VEC(int) v = {0};
  intern_init(&names);
  json_init_strbuf(&j, &text, true);
  json_array_begin(&j);
  for (int i = 0; i < 300; i++) {
    vec_push(&v, i);
    map_put(&m, (uint64_t)i * 977, (uint64_t)i);
    intern_c(&names, arena_printf(&a, "name%d", i));
    json_i64(&j, i);
  }
  json_array_end(&j);
  struct diag_where where = DIAG_NOWHERE;
  where.file = "model.onnx";
  diag_report(d, DIAG_E0902, &where, "hint", "message %d", 1);
  vec_deinit(&v);
  map_deinit(&m);
  intern_deinit(&names);
  strbuf_deinit(&text);
  arena_deinit(&a);
  return STATUS_OK;
}

static void any_allocation_may_fail(void **state) {
  (void)state;
  for (uint64_t n = 1;; n++) {
    struct diags d = {0};
    mem_fail_nth(n);
    status s = oom_guard_run(use_everything, &d);
    bool pending = mem_fail_pending();
    mem_fail_nth(0);
    if (s == STATUS_OK)
      assert_int_equal(diags_errors(&d), 1);
    else
      assert_int_equal(s, STATUS_RESOURCES);
    diags_deinit(&d);
    if (pending)
      break;
    assert_true(n < 10000);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_are_aligned_and_keep_their_bytes),
      cmocka_unit_test(try_functions_refuse_impossible_sizes),
      cmocka_unit_test(guards_nest),
      cmocka_unit_test(blocks_outlive_a_guard_that_ends_well),
      cmocka_unit_test(any_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
