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

/* For each item the items that live at the same time: items[start[i]] up to items[start[i + 1]].
 * Lifetimes decide it, not sizes. */
struct memory_overlaps {
  uint32_t *start; /* n + 1 numbers */
  uint32_t *items;
};

/*
 * Making the table takes two steps. The first fills `start` and returns false if there are more
 * than `limit` entries; then start[n] is the number of entries that `items` needs room for, and the
 * second fills them. scratch: room for n numbers.
 */
bool memory_overlaps_count(const struct memory_item *items, uint32_t n, uint32_t limit,
                           uint32_t *scratch, struct memory_overlaps *overlaps);
void memory_overlaps_fill(const struct memory_item *items, uint32_t n, uint32_t *scratch,
                          struct memory_overlaps *overlaps);

/*
 * Sets offsets such that items which are alive together do not overlap. Greedy by size: the largest
 * first, each into the tightest gap between the items placed before, else after them (Sekiyama et
 * al., "Profile-guided memory optimization for deep neural networks", 2018, section 4). Equal sizes
 * go in order of first use, then of index; the result depends on nothing else. Items of 0 bytes get
 * offset 0. overlaps may be NULL: it makes no difference but in time, which is quadratic in n
 * without it. scratch: room for 3 n numbers. False, with offsets unspecified, if the sum passes
 * 2^62 bytes or a lifetime ends before it begins.
 */
bool memory_plan_pack(struct memory_item *items, uint32_t n, const struct memory_overlaps *overlaps,
                      uint32_t *scratch, uint64_t *out_bytes);

/* The least that any packing needs: the greatest sum of sizes alive at one step. For reports. Fails
 * likewise. */
bool memory_plan_bound(const struct memory_item *items, uint32_t n, uint64_t *out_bytes);

#endif
