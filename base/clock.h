/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, in ns and s. `clock_now` is the one that only goes forward (CLOCK_MONOTONIC). */
#ifndef SINTER_BASE_CLOCK_H
#define SINTER_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static inline double clock_now_s(void) { return (double)clock_now_ns() * 1e-9; }

#endif
