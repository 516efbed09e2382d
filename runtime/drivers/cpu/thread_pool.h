/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pool of worker threads per process, shared by all cpu devices.
 *
 * A job is a range of tiles. Caller and workers take chunks of it from a shared counter until none
 * is left. The job ends when all who joined have left, so a worker that the system has not
 * scheduled yet is never waited for. Handing out a job takes no lock and no memory. Several callers
 * (sessions, or the ranks of one) have jobs at the same time, and workers help where there is work.
 * A caller that waits for something else has no job, so it holds no worker.
 *
 * Workers spin for some microseconds for the next job and then sleep on a futex. In a forked child
 * there are no workers: jobs run on their callers' threads.
 */
#ifndef SINTER_RUNTIME_THREAD_POOL_H
#define SINTER_RUNTIME_THREAD_POOL_H

#include "base/status.h"

#include <stdint.h>

#define THREAD_POOL_MOST 256u

/* Tiles [first, last), on the thread that holds `slot` (below the job's thread limit; the caller's
 * is 0) for the whole job. */
typedef void thread_pool_function(void *context, uint32_t first, uint32_t last, uint32_t slot);

/*
 * Sees to it that jobs of up to `threads` threads can run, the caller's included; threads is at
 * most THREAD_POOL_MOST. Each acquire is paired with a release; the last one ends the workers.
 * Thread safe. Errors, reported: E0702.
 */
status thread_pool_acquire(uint32_t threads);
void thread_pool_release(void);

/* Runs function over [0, tiles), in chunks of `grain` (at least 1), on at most `threads` threads.
 * Thread safe. */
void thread_pool_run(thread_pool_function *function, void *context, uint32_t tiles, uint32_t grain,
                     uint32_t threads);

#endif
