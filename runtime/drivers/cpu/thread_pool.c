/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of thread_pool.h. */
#include "runtime/drivers/cpu/thread_pool.h"

#include "runtime/fault.h"
#include "runtime/futex.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

/* Jobs that are handed out at once; a caller beyond them works alone. */
#define JOBS 16u

/*
 * A job's state word: generation (16 bits), whether the job is open to joining (1), how many
 * workers are in it (15). A worker joins by one compare-and-swap on an open state and reads the job
 * after; the caller changes the job only while the state is closed and empty. So nobody sees half
 * of a job.
 */
#define STATE_OPEN 0x8000u
#define STATE_ACTIVE 0x7fffu
#define STATE_GENERATION(state) ((state) >> 16)

struct job {
  _Alignas(64) _Atomic uint32_t state;
  /* Changes when the last worker leaves a closed job; the caller sleeps on it. */
  _Atomic uint32_t finished;
  _Atomic uint32_t busy; /* a caller owns the job */

  thread_pool_function *function;
  void *context;
  uint32_t tiles, grain, threads;
  _Atomic uint64_t next_chunk; /* wide enough never to wrap */
  _Atomic uint32_t next_slot;
};

static struct {
  struct job jobs[JOBS];
  _Alignas(64) _Atomic uint32_t opened; /* counts the jobs opened; workers sleep on it */
  _Atomic uint32_t sleepers;            /* workers asleep */
  _Atomic uint32_t used;                /* jobs [0, used) have been handed out at some time */
  _Atomic uint32_t stop;

  pthread_mutex_t mutex; /* of what follows */
  pthread_t workers[THREAD_POOL_MOST];
  uint32_t worker_count;
  uint32_t users;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void take_chunks(struct job *job, uint32_t slot) {
  uint32_t tiles = job->tiles, grain = job->grain;
  uint32_t chunks = tiles / grain + (tiles % grain != 0);
  for (;;) {
    uint64_t chunk = atomic_fetch_add_explicit(&job->next_chunk, 1, memory_order_relaxed);
    if (chunk >= chunks)
      return;
    uint32_t first = (uint32_t)(chunk * grain);
    job->function(job->context, first, tiles - first < grain ? tiles : first + grain, slot);
  }
}

/* An open job of another generation than the one last worked on; seen: per job, that generation.
 * Workers begin to look at different jobs. */
static struct job *find_job(const uint32_t *seen, uint32_t worker, uint32_t *out_state) {
  uint32_t used = atomic_load(&pool.used);
  for (uint32_t i = 0; i < used; i++) {
    struct job *job = &pool.jobs[(worker + i) % used];
    *out_state = atomic_load(&job->state);
    if (*out_state & STATE_OPEN && STATE_GENERATION(*out_state) != seen[job - pool.jobs])
      return job;
  }
  return NULL;
}

/* NULL when the pool ends. */
static struct job *wait_for_job(const uint32_t *seen, uint32_t worker, uint32_t *out_state) {
  for (;;) {
    uint32_t opened = atomic_load(&pool.opened);
    if (atomic_load(&pool.stop))
      return NULL;
    struct job *job = find_job(seen, worker, out_state);
    if (job)
      return job;
    for (int i = 0; i < FUTEX_SPINS && atomic_load(&pool.opened) == opened; i++)
      FUTEX_PAUSE();
    if (atomic_load(&pool.opened) != opened)
      continue;
    atomic_fetch_add(&pool.sleepers, 1);
    if (!atomic_load(&pool.stop))
      futex_wait(&pool.opened, opened, 0);
    atomic_fetch_sub(&pool.sleepers, 1);
  }
}

static void leave_job(struct job *job) {
  uint32_t before = atomic_fetch_sub(&job->state, 1);
  if (!(before & STATE_OPEN) && (before & STATE_ACTIVE) == 1) {
    atomic_fetch_add(&job->finished, 1);
    futex_wake(&job->finished, 1);
  }
}

static void *worker_main(void *argument) {
  uint32_t worker = (uint32_t)(uintptr_t)argument, seen[JOBS], state;
  struct job *job;
  memset(seen, 0xff, sizeof seen); /* no job's generation */
#if defined(__x86_64__)
  _mm_setcsr(0x1f80); /* the creator's rounding and flush-to-zero are not ours */
#endif
  while ((job = wait_for_job(seen, worker, &state)) != NULL) {
    if (!atomic_compare_exchange_weak(&job->state, &state, state + 1))
      continue;
    seen[job - pool.jobs] = STATE_GENERATION(state);
    uint32_t slot = atomic_fetch_add_explicit(&job->next_slot, 1, memory_order_relaxed);
    if (slot < job->threads)
      take_chunks(job, slot);
    leave_job(job);
  }
  return NULL;
}

/* --- Callers --- */

static void open_job(struct job *job) {
  uint32_t state = atomic_load_explicit(&job->state, memory_order_relaxed);
  uint32_t generation = (STATE_GENERATION(state) + 1) & 0xffff;
  atomic_store(&job->state, generation << 16 | STATE_OPEN);
  atomic_fetch_add(&pool.opened, 1);
  if (atomic_load(&pool.sleepers))
    futex_wake(&pool.opened, (int)(job->threads - 1));
}

static void close_job(struct job *job) {
  uint32_t state = atomic_fetch_and(&job->state, ~STATE_OPEN);
  for (int i = 0; i < FUTEX_SPINS && state & STATE_ACTIVE; i++) {
    FUTEX_PAUSE();
    state = atomic_load(&job->state);
  }
  while (atomic_load(&job->state) & STATE_ACTIVE) {
    uint32_t finished = atomic_load(&job->finished);
    if (atomic_load(&job->state) & STATE_ACTIVE)
      futex_wait(&job->finished, finished, 0);
  }
}

/* A job of one's own, or NULL. */
static struct job *claim_job(void) {
  for (uint32_t i = 0; i < JOBS; i++) {
    if (atomic_load_explicit(&pool.jobs[i].busy, memory_order_relaxed) ||
        atomic_exchange(&pool.jobs[i].busy, 1))
      continue;
    uint32_t used = atomic_load(&pool.used);
    while (used <= i && !atomic_compare_exchange_weak(&pool.used, &used, i + 1))
      ;
    return &pool.jobs[i];
  }
  return NULL;
}

void thread_pool_run(thread_pool_function *function, void *context, uint32_t tiles, uint32_t grain,
                     uint32_t threads) {
  struct job *job = threads <= 1 || tiles <= grain ? NULL : claim_job();
  if (!job) {
    function(context, 0, tiles, 0);
    return;
  }
  job->function = function;
  job->context = context;
  job->tiles = tiles;
  job->grain = grain;
  job->threads = threads;
  atomic_store_explicit(&job->next_chunk, 0, memory_order_relaxed);
  atomic_store_explicit(&job->next_slot, 1, memory_order_relaxed);
  open_job(job);
  take_chunks(job, 0);
  close_job(job);
  atomic_store(&job->busy, 0);
}

/* --- Lifetime --- */

static void forked_child(void) {
  for (uint32_t i = 0; i < JOBS; i++) {
    atomic_store(&pool.jobs[i].state, 0);
    atomic_store(&pool.jobs[i].busy, 0);
  }
  atomic_store(&pool.sleepers, 0);
  pool.worker_count = 0;
  pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  pool.mutex = fresh;
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, forked_child); }

/* Workers take no signals: the program's handlers run on the program's threads. */
static int start_worker(void) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  void *number = (void *)(uintptr_t)pool.worker_count;
  int error = pthread_create(&pool.workers[pool.worker_count], NULL, worker_main, number);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return error;
  pthread_setname_np(pool.workers[pool.worker_count], "sinter-worker");
  pool.worker_count++;
  return 0;
}

static void stop_workers(void) {
  atomic_store(&pool.stop, 1);
  atomic_fetch_add(&pool.opened, 1); /* so that a worker about to sleep does not */
  futex_wake(&pool.opened, INT_MAX);
  while (pool.worker_count)
    pthread_join(pool.workers[--pool.worker_count], NULL);
  atomic_store(&pool.stop, 0);
}

status thread_pool_acquire(uint32_t threads) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  int error = 0;
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&pool.mutex);
  while (!error && pool.worker_count + 1 < threads)
    error = start_worker();
  if (!error)
    pool.users++;
  else if (!pool.users)
    stop_workers();
  pthread_mutex_unlock(&pool.mutex);
  if (error)
    return fault_report(DIAG_E0702, NULL, "ask for fewer threads",
                        "%u threads cannot be started: %s", threads, strerror(error));
  return STATUS_OK;
}

void thread_pool_release(void) {
  pthread_mutex_lock(&pool.mutex);
  if (--pool.users == 0)
    stop_workers();
  pthread_mutex_unlock(&pool.mutex);
}
