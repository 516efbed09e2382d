/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of thread_pool.h. */
#include "runtime/drivers/cpu/thread_pool.h"

#include "runtime/fault.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() ((void)0)
#endif

/* Some 50 microseconds: longer than the gap between two kernels, shorter than what a neighbour
 * would notice. */
#define SPINS 1200

/*
 * The state word: generation (16 bits), whether the job is open to joining (1), how many workers
 * are in it (15). A worker joins by one compare-and-swap on an open state and reads the job after;
 * the caller changes the job only while the state is closed and empty. So nobody sees half of a
 * job.
 */
#define STATE_OPEN 0x8000u
#define STATE_ACTIVE 0x7fffu
#define STATE_GENERATION(state) ((state) >> 16)

static struct {
  _Atomic uint32_t state;
  _Atomic uint32_t sleepers; /* workers asleep on state */
  _Atomic uint32_t
      finished; /* changes when the last worker leaves a closed job; the caller sleeps on it */
  _Atomic uint32_t busy; /* a caller owns the job */
  _Atomic uint32_t stop;

  thread_pool_function *function;
  void *context;
  uint32_t tiles, grain, threads;
  _Atomic uint64_t next_chunk; /* wide enough never to wrap */
  _Atomic uint32_t next_slot;

  pthread_mutex_t mutex; /* of what follows */
  pthread_t workers[THREAD_POOL_MOST];
  uint32_t worker_count;
  uint32_t users;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void take_chunks(uint32_t slot) {
  uint32_t tiles = pool.tiles, grain = pool.grain;
  uint32_t chunks = tiles / grain + (tiles % grain != 0);
  for (;;) {
    uint64_t chunk = atomic_fetch_add_explicit(&pool.next_chunk, 1, memory_order_relaxed);
    if (chunk >= chunks)
      return;
    uint32_t first = (uint32_t)(chunk * grain);
    pool.function(pool.context, first, tiles - first < grain ? tiles : first + grain, slot);
  }
}

/* An open job of another generation than the one last worked on, or 0 when the pool ends. */
static uint32_t wait_for_job(uint32_t seen) {
  for (;;) {
    uint32_t state = 0;
    for (int i = 0; i < SPINS; i++) {
      if (atomic_load(&pool.stop))
        return 0;
      state = atomic_load(&pool.state);
      if (state & STATE_OPEN && STATE_GENERATION(state) != seen)
        return state;
      PAUSE();
    }
    atomic_fetch_add(&pool.sleepers, 1);
    state = atomic_load(&pool.state);
    if (!atomic_load(&pool.stop) && !(state & STATE_OPEN && STATE_GENERATION(state) != seen))
      futex_wait(&pool.state, state);
    atomic_fetch_sub(&pool.sleepers, 1);
  }
}

static void leave_job(void) {
  uint32_t before = atomic_fetch_sub(&pool.state, 1);
  if (!(before & STATE_OPEN) && (before & STATE_ACTIVE) == 1) {
    atomic_fetch_add(&pool.finished, 1);
    futex_wake(&pool.finished, 1);
  }
}

static void *worker_main(void *argument) {
  uint32_t seen = STATE_GENERATION((uint32_t)(uintptr_t)argument);
#if defined(__x86_64__)
  _mm_setcsr(0x1f80); /* the creator's rounding and flush-to-zero are not ours */
#endif
  for (;;) {
    uint32_t state = wait_for_job(seen);
    if (!state)
      return NULL;
    if (!atomic_compare_exchange_weak(&pool.state, &state, state + 1))
      continue;
    seen = STATE_GENERATION(state);
    uint32_t slot = atomic_fetch_add_explicit(&pool.next_slot, 1, memory_order_relaxed);
    if (slot < pool.threads)
      take_chunks(slot);
    leave_job();
  }
}

/* --- Callers --- */

static void open_job(void) {
  uint32_t state = atomic_load_explicit(&pool.state, memory_order_relaxed);
  uint32_t generation = (STATE_GENERATION(state) + 1) & 0xffff;
  atomic_store(&pool.state, generation << 16 | STATE_OPEN);
  uint32_t sleepers = atomic_load(&pool.sleepers);
  if (sleepers)
    futex_wake(&pool.state, (int)(pool.threads - 1));
}

static void close_job(void) {
  uint32_t state = atomic_fetch_and(&pool.state, ~STATE_OPEN);
  for (int i = 0; i < SPINS && state & STATE_ACTIVE; i++) {
    PAUSE();
    state = atomic_load(&pool.state);
  }
  while (atomic_load(&pool.state) & STATE_ACTIVE) {
    uint32_t finished = atomic_load(&pool.finished);
    if (atomic_load(&pool.state) & STATE_ACTIVE)
      futex_wait(&pool.finished, finished);
  }
}

void thread_pool_run(thread_pool_function *function, void *context, uint32_t tiles, uint32_t grain,
                     uint32_t threads) {
  if (threads <= 1 || tiles <= grain || atomic_exchange(&pool.busy, 1)) {
    function(context, 0, tiles, 0);
    return;
  }
  pool.function = function;
  pool.context = context;
  pool.tiles = tiles;
  pool.grain = grain;
  pool.threads = threads;
  atomic_store_explicit(&pool.next_chunk, 0, memory_order_relaxed);
  atomic_store_explicit(&pool.next_slot, 1, memory_order_relaxed);
  open_job();
  take_chunks(0);
  close_job();
  atomic_store(&pool.busy, 0);
}

/* --- Lifetime --- */

static void forked_child(void) {
  atomic_store(&pool.state, 0);
  atomic_store(&pool.sleepers, 0);
  atomic_store(&pool.busy, 0);
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
  void *state = (void *)(uintptr_t)atomic_load(&pool.state);
  int error = pthread_create(&pool.workers[pool.worker_count], NULL, worker_main, state);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return error;
  pthread_setname_np(pool.workers[pool.worker_count], "sinter-worker");
  pool.worker_count++;
  return 0;
}

static void stop_workers(void) {
  atomic_store(&pool.stop, 1);
  /* Another generation, so that a worker about to sleep does not. */
  atomic_fetch_add(&pool.state, 1u << 16);
  futex_wake(&pool.state, INT_MAX);
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
