/* SPDX-License-Identifier: Apache-2.0 */
/* What this host can do at most, measured: the roof that kernels are held against.
 * Source: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009. */
#ifndef SINTER_CLI_ROOFLINE_H
#define SINTER_CLI_ROOFLINE_H

#include <stdint.h>

struct roofline {
  uint32_t threads;
  double flops_per_s;        /* f32 multiply-adds, two each, in the widest vectors, all threads */
  double cache_bytes_per_s;  /* reading what fits the second-level cache, all threads */
  double memory_bytes_per_s; /* reading what fits none */
  uint64_t cache_bytes;      /* second-level caches of all threads */
};

/* Takes about a second. Threads that cannot be started are left out (->threads says how many ran).
 */
void roofline_measure(uint32_t threads, struct roofline *out);

/* The least seconds that such work can take here. */
double roofline_seconds(const struct roofline *r, double flops, double bytes);

#endif
