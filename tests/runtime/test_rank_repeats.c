/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many runs of one session: a plan with a step of every kind, a thousand times on cpu:4, at sizes
 * that come and go, and in the middle of it sessions that fail and go on. What this is for is
 * ThreadSanitizer (preset tsan), which is to have nothing to say. And more ranks than processors
 * get on.
 */
#include "tests/support/ranks_plan.h"

#include "base/clock.h"

#include <sched.h>

static sinter_session *create(struct fixture *f, const char *devices, const char *faults) {
  sinter_session_options options = {
      .struct_size = sizeof options, .devices = devices, .threads = 4, .faults = faults};
  sinter_session *session;
  assert_ok(sinter_session_create(f->engine, &options, &session));
  return session;
}

static void open_plan(struct fixture *f, uint32_t outer, uint32_t inner) {
  *f = (struct fixture){0};
  ranks_plan_make(&f->maker, outer, inner);
  f->bytes = engine_maker_bytes(&f->maker, &f->n);
  f->engine = engine_maker_open(f->bytes, f->n);
}

static void a_thousand_runs(void **state) {
  (void)state;
  struct fixture f;
  open_plan(&f, 2, 2);
  sinter_session *session = create(&f, "cpu:4", NULL);
  for (int i = 0; i < 1000; i++)
    assert_ok(ranks_plan_run(session, i % 10 ? 1 + i * 37 % 500 : 4096, 4));
  sinter_session_stats stats = {.struct_size = sizeof stats};
  assert_ok(sinter_session_get_stats(session, &stats));
  assert_int_equal(stats.runs, 1000);
  sinter_session_destroy(session);
  fixture_close(&f);
}

static void failures_among_runs(void **state) {
  (void)state;
  struct fixture f;
  open_plan(&f, 2, 2);
  for (int i = 0; i < 40; i++) {
    char faults[64];
    snprintf(faults, sizeof faults, "rank=%d step=%d %s", i % 4, 1 + i % 20,
             i % 2 ? "fail" : "corrupt");
    sinter_session *session = create(&f, "cpu:4", faults);
    assert_int_not_equal(ranks_plan_run(session, 100, 4), SINTER_OK);
    for (int k = 0; k < 5; k++)
      assert_ok(ranks_plan_run(session, 100 + k, 4));
    sinter_session_destroy(session);
  }
  fixture_close(&f);
}

/* Two processors of those that this program may run on. */
static void use_two_processors(void) {
  cpu_set_t all, two;
  int n = 0;
  CPU_ZERO(&two);
  assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
  for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
    if (CPU_ISSET(i, &all)) {
      CPU_SET(i, &two);
      n++;
    }
  assert_int_equal(sched_setaffinity(0, sizeof two, &two), 0);
}

/* The threads of the pool stay where they are; the ranks', which wait for each other, share two. */
static void more_ranks_than_processors(void **state) {
  (void)state;
  struct fixture f;
  use_two_processors();
  open_plan(&f, 4, 2);
  sinter_session *session = create(&f, "cpu:8", NULL);
  double start = clock_now_s(), slowest = 0;
  for (int i = 0; i < 300; i++) {
    double before = clock_now_s();
    assert_ok(ranks_plan_run(session, 1 + i * 37 % 500, 8));
    double took = clock_now_s() - before;
    slowest = took > slowest ? took : slowest;
  }
  printf("300 runs of cpu:8 on two processors in %.2f s; the slowest took %.3f s\n",
         clock_now_s() - start, slowest);
  sinter_session_destroy(session);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_thousand_runs),
      cmocka_unit_test(failures_among_runs),
      cmocka_unit_test(more_ranks_than_processors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
