/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions beside each other and against themselves; the caller's floating-point mode; a forked
 * child. */
#include "tests/support/engine_fixture.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { N = 20000, TILE = 64 };

/* y = x + x */
static void make_double(struct engine_maker *e) {
  engine_maker_init(e, 0);
  uint32_t n = engine_const(e, N), tile = engine_const(e, TILE);
  uint32_t entry = manifest_build_entry(&e->build, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_F32, n);
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_F32, n);
  uint32_t block = manifest_build_block(&e->build);
  manifest_build_variant(&e->build, entry, block);
  manifest_build_step_layout(&e->build, block);
  engine_launch(e, block, KERNEL_add_f32, (uint32_t[]){x, x, y}, (uint32_t[]){n, tile},
                engine_const(e, (N + TILE - 1) / TILE));
}

/* 0 if all is well: usable outside of the test's thread. */
static int run_double(sinter_session *session, float scale) {
  static _Thread_local float x[N];
  for (int i = 0; i < N; i++)
    x[i] = (float)i * scale;
  sinter_tensor input = engine_tensor(SINTER_F32, N, x, sizeof x), output = {0};
  if (sinter_session_run(session, "main", &input, 1, &output, 1))
    return 1;
  for (int i = 0; i < N; i++)
    if (((float *)output.data)[i] != 2 * x[i])
      return 2;
  return 0;
}

struct worker {
  sinter_engine *engine;
  int number, result;
};

static void *work(void *argument) {
  struct worker *w = argument;
  sinter_session_options options = {.struct_size = sizeof options, .threads = 3};
  for (int round = 0; round < 5 && !w->result; round++) {
    sinter_session *session;
    w->result = sinter_session_create(w->engine, &options, &session) != SINTER_OK;
    for (int i = 0; i < 30 && !w->result; i++)
      w->result = run_double(session, (float)(w->number * 100 + i));
    sinter_session_destroy(session);
  }
  return NULL;
}

static void sessions_in_threads(void **state) {
  (void)state;
  struct fixture f;
  struct worker workers[4];
  pthread_t threads[4];
  make_double(&f.maker);
  fixture_open(&f, 2);
  for (int i = 0; i < 4; i++) {
    workers[i] = (struct worker){f.engine, i, 0};
    assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(workers[i].result, 0);
  }
  fixture_close(&f);
}

static sinter_session *busy_session;
static sinter_status inner_status;
static char inner_code[8];

static void run_again(void *user, const sinter_profile_event *event) {
  (void)user, (void)event;
  sinter_tensor input = {0}, output = {0};
  inner_status = sinter_session_run(busy_session, "main", &input, 1, &output, 1);
  strncpy(inner_code, sinter_last_error_code(), sizeof inner_code - 1);
}

static void session_runs_once_at_a_time(void **state) {
  (void)state;
  struct fixture f;
  make_double(&f.maker);
  fixture_open(&f, 1);
  sinter_session_options options = {.struct_size = sizeof options, .profile = run_again};
  assert_ok(sinter_session_create(f.engine, &options, &busy_session));
  assert_int_equal(run_double(busy_session, 1), 0);
  assert_int_equal(inner_status, SINTER_USAGE);
  assert_string_equal(inner_code, "E0616");
  sinter_session_cancel(busy_session); /* not running: nothing to cancel */
  assert_int_equal(run_double(busy_session, 1), 0);
  sinter_session_destroy(busy_session);
  fixture_close(&f);
}

/* Options of an older caller: the fields it does not have are defaults. */
static void options_of_any_size(void **state) {
  (void)state;
  struct fixture f;
  make_double(&f.maker);
  fixture_open(&f, 1);
  sinter_session_options options = {.struct_size = offsetof(sinter_session_options, threads),
                                    .threads = 77};
  sinter_session *session;
  assert_ok(sinter_session_create(f.engine, &options, &session));
  sinter_session_stats stats = {.struct_size = sizeof stats};
  assert_ok(sinter_session_get_stats(session, &stats));
  assert_int_not_equal(stats.threads, 77);
  stats.struct_size = offsetof(sinter_session_stats, launches);
  stats.launches = 12345;
  assert_ok(sinter_session_get_stats(session, &stats));
  assert_int_equal(stats.launches, 12345);
  sinter_session_destroy(session);
  options.struct_size = 0;
  assert_error(sinter_session_create(f.engine, &options, &session), SINTER_USAGE, "E0618",
               "struct_size is 0");
  sinter_engine *engine;
  sinter_engine_options engine_options = {0};
  assert_error(sinter_engine_open("x", &engine_options, &engine), SINTER_USAGE, "E0618",
               "struct_size is 0");
  assert_error(sinter_engine_open(NULL, NULL, &engine), SINTER_USAGE, "E0618", "NULL");
  fixture_close(&f);
}

#if defined(__x86_64__)
/* A program with denormals flushed to zero gets the same results, and its mode back. */
static void callers_float_mode(void **state) {
  (void)state;
  struct fixture f;
  make_double(&f.maker);
  fixture_open(&f, 2);
  static float x[N];
  for (int i = 0; i < N; i++)
    x[i] = 0x1p-140f;
  sinter_tensor input = engine_tensor(SINTER_F32, N, x, sizeof x), output = {0};
  unsigned before = _mm_getcsr(), flushing = before | 0x8040;
  _mm_setcsr(flushing);
  sinter_status st = sinter_session_run(f.session, "main", &input, 1, &output, 1);
  unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  assert_ok(st);
  assert_int_equal(after, flushing);
  for (int i = 0; i < N; i++)
    assert_true(((float *)output.data)[i] == 0x1p-139f);
  fixture_close(&f);
}
#endif

#if !defined(__SANITIZE_THREAD__) /* which wants no threads around a fork */
static void session_in_a_forked_child(void **state) {
  (void)state;
  struct fixture f;
  make_double(&f.maker);
  fixture_open(&f, 3);
  assert_int_equal(run_double(f.session, 1), 0);
  pid_t child = fork();
  if (child == 0)
    _exit(run_double(f.session, 2));
  int result = -1;
  assert_int_equal(waitpid(child, &result, 0), child);
  assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
  assert_int_equal(run_double(f.session, 3), 0);
  fixture_close(&f);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sessions_in_threads),       cmocka_unit_test(session_runs_once_at_a_time),
      cmocka_unit_test(options_of_any_size),
#if defined(__x86_64__)
      cmocka_unit_test(callers_float_mode),
#endif
#if !defined(__SANITIZE_THREAD__)
      cmocka_unit_test(session_in_a_forked_child),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
