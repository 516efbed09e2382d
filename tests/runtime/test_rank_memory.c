/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of sessions with several ranks: whichever allocation fails, creation and runs say so and
 * can be repeated; after the first run at a shape, no rank allocates or locks. */
#include "tests/support/ranks_plan.h"

#include "base/mem.h"

#include "tests/support/count_calls.h"

static void any_allocation_may_fail(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 1, 2);
  fixture_open(&f, 2);
  uint64_t n = 1;
  for (;; n++) {
    sinter_session_options options = {
        .struct_size = sizeof options, .devices = "cpu:2", .threads = 2};
    sinter_session *session = NULL;
    mem_fail_nth(n);
    sinter_status st = sinter_session_create(f.engine, &options, &session);
    bool created = !st;
    if (created)
      st = ranks_plan_run(session, 100, 2);
    int pending = mem_fail_pending();
    mem_fail_nth(0);
    if (st != (pending ? SINTER_OK : SINTER_RESOURCES))
      fail_msg("allocation %d: %d %s", (int)n, st, sinter_last_error());
    if (created)
      assert_ok(ranks_plan_run(session, 100, 2));
    sinter_session_destroy(session);
    if (pending)
      break;
  }
  assert_true(n > 20);
  fixture_close(&f);
}

static void known_shapes_take_no_memory(void **state) {
  (void)state;
  static const int64_t shapes[] = {5, 1000, 70, 3000};
  struct fixture f;
  ranks_plan_make(&f.maker, 2, 2);
  fixture_open(&f, 2);
  for (int i = 0; i < 8; i++)
    assert_ok(ranks_plan_run(f.session, shapes[i % 4], 4));
  for (int i = 0; i < 100; i++) {
    calls = 0;
    counting = 1;
    sinter_status st = ranks_plan_run(f.session, shapes[i % 4], 4);
    counting = 0;
    assert_ok(st);
    assert_int_equal(calls, 0);
  }
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_allocation_may_fail),
      cmocka_unit_test(known_shapes_take_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
