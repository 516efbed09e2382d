/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: every tile once, from several callers at once, in a forked child, at any size. */
#include "runtime/drivers/cpu/thread_pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_TILES = 5000 };

struct job {
  uint8_t seen[MOST_TILES]; /* written by one thread each */
  _Atomic uint32_t most_slot;
  _Atomic uint32_t in_slot[8];
  _Atomic uint32_t clashes;
};

static void note_tiles(void *context, uint32_t first, uint32_t last, uint32_t slot) {
  struct job *job = context;
  if (atomic_exchange(&job->in_slot[slot], 1))
    atomic_fetch_add(&job->clashes, 1);
  for (uint32_t i = first; i < last; i++)
    job->seen[i]++;
  uint32_t most = atomic_load(&job->most_slot);
  while (slot > most && !atomic_compare_exchange_weak(&job->most_slot, &most, slot))
    ;
  atomic_store(&job->in_slot[slot], 0);
}

/* 0 if all is well: usable outside of the test's thread. */
static int run_and_check(struct job *job, uint32_t tiles, uint32_t grain, uint32_t threads) {
  memset(job, 0, sizeof *job);
  thread_pool_run(note_tiles, job, tiles, grain, threads);
  for (uint32_t i = 0; i < MOST_TILES; i++)
    if (job->seen[i] != (i < tiles))
      return 1;
  return job->clashes || job->most_slot >= threads ? 2 : 0;
}

static void every_tile_once(void **state) {
  (void)state;
  static struct job job;
  for (uint32_t threads = 1; threads <= 8; threads++) {
    assert_int_equal(thread_pool_acquire(threads), STATUS_OK);
    for (uint32_t tiles = 0; tiles < MOST_TILES; tiles = tiles * 3 + 1)
      for (uint32_t grain = 1; grain < 200; grain *= 5)
        assert_int_equal(run_and_check(&job, tiles, grain, threads), 0);
    thread_pool_release();
  }
}

static void many_small_jobs(void **state) {
  (void)state;
  static struct job job;
  assert_int_equal(thread_pool_acquire(4), STATUS_OK);
  for (int i = 0; i < 3000; i++)
    assert_int_equal(run_and_check(&job, 40, 1, 4), 0);
  thread_pool_release();
}

static void *caller(void *result) {
  struct job *job = calloc(1, sizeof *job);
  int bad = job ? 0 : 3;
  for (int i = 0; i < 300 && !bad; i++)
    bad = run_and_check(job, 500, 7, 3);
  free(job);
  *(int *)result = bad;
  return NULL;
}

static void several_callers(void **state) {
  (void)state;
  pthread_t threads[4];
  int results[4];
  assert_int_equal(thread_pool_acquire(3), STATUS_OK);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, caller, &results[i]), 0);
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(results[i], 0);
  }
  thread_pool_release();
}

#if !defined(__SANITIZE_THREAD__) /* which wants no threads around a fork */
static void forked_child_works_alone(void **state) {
  (void)state;
  static struct job job;
  assert_int_equal(thread_pool_acquire(4), STATUS_OK);
  assert_int_equal(run_and_check(&job, 1000, 3, 4), 0);
  pid_t child = fork();
  if (child == 0)
    _exit(run_and_check(&job, 1000, 3, 4));
  int result = -1;
  assert_int_equal(waitpid(child, &result, 0), child);
  assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
  thread_pool_release();
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_tile_once),
      cmocka_unit_test(many_small_jobs),
      cmocka_unit_test(several_callers),
#if !defined(__SANITIZE_THREAD__)
      cmocka_unit_test(forked_child_works_alone),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
