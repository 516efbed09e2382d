/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong on one of several ranks: an error, no memory, no answer, in every step; ranks
 * that part ways; wrong devices. The caller gets the first cause in time, and the session goes on.
 */
#include "tests/support/ranks_plan.h"

#include "base/clock.h"

#include "runtime/session.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 150 };

static sinter_session *create(struct fixture *f, const char *devices, const char *faults,
                              bool check) {
  sinter_session_options options = {.struct_size = sizeof options,
                                    .devices = devices,
                                    .threads = 2,
                                    .deadline_ms = DEADLINE_MS,
                                    .faults = faults,
                                    .check_collectives = check};
  sinter_session *session;
  assert_ok(sinter_session_create(f->engine, &options, &session));
  return session;
}

static void every_step_may_fail(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 2, 2);
  fixture_open(&f, 2);
  assert_ok(ranks_plan_run(f.session, 40, 4));
  uint64_t steps = f.session->ranks[2].steps;
  struct slowest_fault slowest = {0};
  assert_true(steps > 20);
  for (uint64_t step = 1; step <= steps; step++)
    for (int kind = 0; kind < RANKS_PLAN_FAULTS; kind++) {
      const struct ranks_plan_fault *fault = &ranks_plan_faults[kind];
      if (fault->check && step > steps - RANKS_PLAN_LAST_STEPS)
        continue; /* no elements are given behind it */
      char faults[64];
      snprintf(faults, sizeof faults, "rank=%d step=%d %s", (int)(step + (uint64_t)kind) % 4,
               (int)step, fault->word);
      sinter_session *session = create(&f, "cpu:4", faults, fault->check);
      double start = clock_now_s();
      sinter_status st = ranks_plan_run(session, 40, 4);
      slowest_fault_note(&slowest, faults, clock_now_s() - start, DEADLINE_MS);
      if (st != fault->status)
        fail_msg("'%s': %d %s", faults, st, sinter_last_error());
      assert_error(st, fault->status, fault->code, fault->text);
      for (int i = 0; i < 3; i++)
        assert_ok(ranks_plan_run(session, 40 + i, 4));
      sinter_session_destroy(session);
    }
  slowest_fault_print(&slowest, "threads on cpu:4");
  fixture_close(&f);
}

static void malformed_scripts(void **state) {
  (void)state;
  static const char *const scripts[] = {"rank=1",
                                        "rank=1 step=2",
                                        "rank=1 step=2 die",
                                        "rank=1 step=2 fail rank=2 step=3 oom",
                                        "rank=x step=1 fail",
                                        "rank=1 step=2 fail;;"};
  struct fixture f;
  ranks_plan_make(&f.maker, 1, 2);
  fixture_open(&f, 2);
  for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
    sinter_session_options options = {
        .struct_size = sizeof options, .devices = "cpu:2", .faults = scripts[i]};
    sinter_session *session;
    assert_error(sinter_session_create(f.engine, &options, &session), SINTER_USAGE, "E0618",
                 "fault script");
  }
  sinter_session *session = create(&f, "cpu:2", " rank=0 step=20 oom ; rank=1 step=1 fail ", false);
  assert_error(ranks_plan_run(session, 4, 2), SINTER_DEVICE, "E0705", "rank 1 failed in step 1");
  sinter_session_destroy(session);
  fixture_close(&f);
}

static void wrong_devices(void **state) {
  (void)state;
  struct fixture f;
  sinter_session *session;
  ranks_plan_make(&f.maker, 2, 2);
  fixture_open(&f, 2);
  static const struct {
    const char *devices, *code, *text;
  } cases[] = {
      {"cpu", "E0512", "for 4 ranks, \"cpu\" names 1 device"},
      {"cpu:2", "E0512", "for 4 ranks, \"cpu:2\" names 2 devices"},
      {"cpu:0-7", "E0512", "names 8 devices"},
      {"cpu:0", "E0701", "unknown"},
      {"cpu:3-2", "E0701", "unknown"},
      {"cpu:-4", "E0701", "unknown"},
      {"cpu:4x", "E0701", "unknown"},
      {"cpu:99999", "E0701", "unknown"},
      {"cpux:4", "E0701", "unknown"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    sinter_session_options options = {.struct_size = sizeof options, .devices = cases[i].devices};
    sinter_status st = sinter_session_create(f.engine, &options, &session);
    assert_error(st, cases[i].code[2] == '5' ? SINTER_UNSUPPORTED : SINTER_USAGE, cases[i].code,
                 cases[i].text);
  }
  for (int i = 0; i < 2; i++) { /* without a word, as many as it takes */
    session = create(&f, i ? NULL : "cpu:0-3", NULL, false);
    assert_ok(ranks_plan_run(session, 4, 4));
    sinter_session_destroy(session);
  }
  fixture_close(&f);

  engine_maker_init(&f.maker, 1); /* of one rank */
  manifest_build_entry(&f.maker.build, "main");
  fixture_open(&f, 1);
  sinter_session_options options = {.struct_size = sizeof options, .devices = "cpu:4"};
  assert_error(sinter_session_create(f.engine, &options, &session), SINTER_UNSUPPORTED, "E0512",
               "for 1 rank, \"cpu:4\" names 4 devices");
  fixture_close(&f);
}

/* --- Ranks that part --- */

enum parting {
  BY_BRANCH, /* one exchanges, the other is done */
  BY_TRIPS,  /* one exchanges more often */
  BY_SYMBOL, /* a size from data */
  BY_SIZE,   /* blocks of different size */
  BY_NUMBER, /* different exchanges of one group */
  BY_GROUP,  /* exchanges of different groups */
  PARTINGS
};

/* own: a constant that is 0 on ranks of coordinate 0 and 1 elsewhere. */
static void make_parting(struct engine_maker *e, enum parting how) {
  static int64_t own[2][8];
  own[1][0] = 1;
  engine_maker_init(e, 1);
  struct manifest_build *b = &e->build;
  uint32_t outer = manifest_build_axis(b, "a", 2), inner = manifest_build_axis(b, "b", 2);
  uint32_t s = manifest_build_symbol(b, "s", 0, 10);
  uint32_t coord = manifest_build_expr(b, EXPR_COORD, outer, 0, 2);
  uint32_t c = engine_constant(e, "own", DTYPE_I64, own, 16);
  b->manifest.constants[0]->parts = 2;
  b->manifest.values[c]->bytes = engine_const(e, 64);
  b->manifest.values[c]->part = coord;
  uint32_t entry = manifest_build_entry(b, "main"), one = engine_const(e, 1);
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_I64, engine_const(e, 8));
  uint32_t block = manifest_build_block(b), body = block;
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  Engine__Exchange *ex;
  if (how == BY_SYMBOL) {
    Engine__BindSymbol *bind = manifest_build_step_bind_symbol(b, block);
    bind->symbol = s, bind->value = c;
  } else if (how == BY_TRIPS) {
    Engine__Loop *loop = manifest_build_step_loop(b, block);
    loop->trip = ENGINE__TRIP__FROM_VALUE, loop->trip_value = c;
    body = loop->body = manifest_build_block(b);
  } else if (how == BY_BRANCH || how == BY_NUMBER || how == BY_GROUP) {
    Engine__If *branch = manifest_build_step_if_(b, block);
    branch->condition = c;
    body = branch->then_block = manifest_build_block(b);
    if (how != BY_BRANCH) {
      branch->else_block = manifest_build_block(b);
      ex = manifest_build_step_exchange(b, branch->else_block);
      manifest_build_exchange_axis(b, ex, outer, 0, 0);
      if (how == BY_GROUP)
        manifest_build_exchange_axis(b, ex, inner, 0, 0);
      manifest_build_exchange_part(b, ex, c, y, one);
    }
  }
  ex = manifest_build_step_exchange(b, body);
  manifest_build_exchange_axis(b, ex, outer, 0, 0);
  manifest_build_exchange_part(b, ex, c, y, how == BY_SIZE ? engine_plus(e, coord, 1) : one);
}

static void parting_ranks_are_told(void **state) {
  (void)state;
  for (int how = 0; how < PARTINGS; how++) {
    struct fixture f;
    make_parting(&f.maker, (enum parting)how);
    fixture_open(&f, 2);
    for (int i = 0; i < 20; i++) { /* whoever sees it first */
      sinter_tensor output = {0};
      double start = clock_now_s();
      assert_error(sinter_session_run(f.session, "main", NULL, 0, &output, 1), SINTER_DEVICE,
                   "E0704", how == BY_SIZE ? "numbers of elements" : "rank");
      assert_null(output.data);
      assert_true(clock_now_s() - start < 9); /* seen, not timed out after ten */
    }
    fixture_close(&f);
  }
}

/* --- Others --- */

static void errors_of_inputs(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 2, 2);
  fixture_open(&f, 2);
  sinter_tensor outputs[2] = {0};
  assert_error(sinter_session_run(f.session, "main", NULL, 0, outputs, 2), SINTER_USAGE, "E0602",
               "2 inputs, 0");
  assert_error(sinter_session_run(f.session, "other", NULL, 0, outputs, 2), SINTER_USAGE, "E0601",
               "'other'");
  assert_ok(ranks_plan_run(f.session, 5, 4));
  sinter_session_stats stats = {.struct_size = sizeof stats};
  assert_ok(sinter_session_get_stats(f.session, &stats));
  assert_int_equal(stats.runs, 1);
  assert_int_equal(stats.launches, 4 * 4);
  fixture_close(&f);
}

static _Atomic int cancel_no_more;

/* Again and again: a session that does not run yet ignores it. */
static void *cancel_soon(void *session) {
  while (!cancel_no_more) {
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    sinter_session_cancel(session);
  }
  return NULL;
}

static void cancelled_while_a_rank_stalls(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 2, 2);
  fixture_open(&f, 2);
  sinter_session_options options = {.struct_size = sizeof options,
                                    .devices = "cpu:4",
                                    .deadline_ms = 60000,
                                    .faults = "rank=3 step=14 stall"};
  sinter_session *session;
  assert_ok(sinter_session_create(f.engine, &options, &session));
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, cancel_soon, session), 0);
  assert_error(ranks_plan_run(session, 30, 4), SINTER_CANCELLED, "E0617", "cancelled");
  cancel_no_more = 1;
  pthread_join(thread, NULL);
  assert_ok(ranks_plan_run(session, 30, 4));
  sinter_session_destroy(session);
  fixture_close(&f);
}

static void many_runs(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 2, 2);
  fixture_open(&f, 4);
  for (int i = 0; i < 1000; i++)
    assert_ok(ranks_plan_run(f.session, i % 7 ? i % 300 : 3000, 4));
  fixture_close(&f);
}

/* More ranks than processors, each with workers beside it. */
static void eight_ranks_make_progress(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 2, 4);
  fixture_open(&f, 24);
  for (int i = 0; i < 60; i++)
    assert_ok(ranks_plan_run(f.session, 4000, 8));
  fixture_close(&f);
}

static void *run_sessions(void *argument) {
  struct fixture *f = argument;
  intptr_t bad = 0;
  sinter_session_options options = {
      .struct_size = sizeof options, .devices = "cpu:4", .threads = 8};
  sinter_session *session;
  for (int i = 0; i < 5 && !bad; i++) {
    bad = sinter_session_create(f->engine, &options, &session);
    for (int k = 0; k < 40 && !bad; k++) { /* small: the test's inputs are shared */
      sinter_tensor outputs[2] = {0};
      static int64_t x[64];
      static uint8_t p[32];
      sinter_tensor inputs[] = {engine_tensor(SINTER_I64, 64, x, sizeof x),
                                engine_tensor(SINTER_U4, 64, p, sizeof p)};
      bad = sinter_session_run(session, "main", inputs, 2, outputs, 2);
    }
    if (!bad)
      sinter_session_destroy(session);
  }
  return (void *)bad;
}

static void several_sessions_at_once(void **state) {
  (void)state;
  struct fixture f;
  pthread_t threads[3];
  ranks_plan_make(&f.maker, 2, 2);
  fixture_open(&f, 2);
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run_sessions, &f), 0);
  for (int i = 0; i < 3; i++) {
    void *bad;
    pthread_join(threads[i], &bad);
    assert_null(bad);
  }
  fixture_close(&f);
}

#if !defined(__SANITIZE_THREAD__) /* which wants no threads around a fork */
static void forked_child_is_told(void **state) {
  (void)state;
  struct fixture f;
  ranks_plan_make(&f.maker, 1, 2);
  fixture_open(&f, 2);
  assert_ok(ranks_plan_run(f.session, 10, 2));
  pid_t child = fork();
  if (child == 0) {
    bool told = ranks_plan_run(f.session, 10, 2) == SINTER_RESOURCES &&
                strcmp(sinter_last_error_code(), "E0702") == 0;
    sinter_session_destroy(f.session);
    _exit(told ? 0 : 1);
  }
  int result = -1;
  assert_int_equal(waitpid(child, &result, 0), child);
  assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
  assert_ok(ranks_plan_run(f.session, 10, 2));
  fixture_close(&f);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_step_may_fail),
      cmocka_unit_test(malformed_scripts),
      cmocka_unit_test(wrong_devices),
      cmocka_unit_test(parting_ranks_are_told),
      cmocka_unit_test(errors_of_inputs),
      cmocka_unit_test(cancelled_while_a_rank_stalls),
      cmocka_unit_test(many_runs),
      cmocka_unit_test(eight_ranks_make_progress),
      cmocka_unit_test(several_sessions_at_once),
#if !defined(__SANITIZE_THREAD__)
      cmocka_unit_test(forked_child_is_told),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
