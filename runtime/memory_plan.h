/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing values with lifetimes into one arena. Compiler and runtime call the same function, so
 * that what the compiler predicts is what the runtime does.
 */
#ifndef SINTER_RUNTIME_MEMORY_PLAN_H
#define SINTER_RUNTIME_MEMORY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define MEMORY_PLAN_ALIGNMENT 64u

struct memory_item {
  uint64_t bytes;       /* in */
  uint32_t first, last; /* in: steps between which it is alive, both inclusive */
  uint64_t offset;      /* out: a multiple of MEMORY_PLAN_ALIGNMENT */
};

/*
 * Sets offsets such that items which are alive together do not overlap. Greedy by size: the largest
 * first, each into the tightest gap between the items placed before, else after them (Sekiyama et
 * al., "Profile-guided memory optimization for deep neural networks", 2018, section 4). Equal sizes
 * go in order of first use, then of index; the result depends on nothing else. Items of 0 bytes get
 * offset 0. scratch: room for 2 n numbers. Time is quadratic in n. False, with offsets unspecified,
 * if the sum passes 2^62 bytes or a lifetime ends before it begins.
 */
bool memory_plan_pack(struct memory_item *items, uint32_t n, uint32_t *scratch,
                      uint64_t *out_bytes);

/* The least that any packing needs: the greatest sum of sizes alive at one step. For reports. Fails
 * likewise. */
bool memory_plan_bound(const struct memory_item *items, uint32_t n, uint64_t *out_bytes);

#endif
