/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a word in memory to change: spinning briefly, then asleep (Linux futexes). */
#ifndef SINTER_RUNTIME_FUTEX_H
#define SINTER_RUNTIME_FUTEX_H

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define FUTEX_PAUSE() _mm_pause()
#else
#define FUTEX_PAUSE() ((void)0)
#endif

/* Rounds of FUTEX_PAUSE before sleeping, some 50 microseconds: longer than the gap between two
 * kernels, shorter than what a neighbour would notice. */
#define FUTEX_SPINS 1200

/* Sleeps while the word holds `value`, and at most ns nanoseconds unless that is 0. May return
 * early. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t ns) {
  struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns ? &t : NULL, NULL, 0);
}

/* Wakes at most n that sleep on the word. */
static inline void futex_wake(_Atomic uint32_t *word, int n) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* How long `threads` that wait for each other should spin: where they share processors, spinning
 * keeps those from work that are waited for. */
static inline uint32_t futex_spins(uint32_t threads) {
  cpu_set_t set;
  int cpus = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
  return cpus > 0 && threads <= (uint32_t)cpus ? FUTEX_SPINS : 0;
}

#endif
