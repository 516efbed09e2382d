/* SPDX-License-Identifier: Apache-2.0 */
/* Transfer tables: a block reduced to what its ends see of it. For every class of the input and of
 * the output the Pareto front of (time, bytes) over all choices within, and which choices those
 * are. */
#ifndef SINTER_PASSES_SEARCH_TABLE_H
#define SINTER_PASSES_SEARCH_TABLE_H

#include "passes/partition/search_problem.h"

/* A weight's layout while ties are branched on. */
#define SEARCH_ANY_LAYOUT UINT16_MAX

struct search_entry {
  uint32_t in, out;
  double time, bytes;
  const uint32_t *choices; /* by variable */
};

struct search_table {
  uint32_t n_in, n_out; /* classes; 1 where there is no such end */
  uint32_t n;           /* entries, by (in, out, time) ascending */
  bool truncated;       /* choices were left out for want of time or room */
  double bound;         /* no choices cost less, time + price * bytes, for any ends */
  struct search_entry *entries;
};

/* What is sought: fronts of (time, bytes); or, where these are too long to make, for each pair of
 * ends the least time + price * bytes. At price 0 bytes only decide between equals. Of fronts those
 * entries may be left out that cost more than the least of any ends by more than `slack`: what a
 * way that is better than one known cannot have. */
struct search_aim {
  bool fronts;
  double price;
  double slack; /* of fronts; INFINITY: all entries */
};

/* What all tables of one block need, made once. */
struct search_memo;
struct search_memo *search_memo_create(const struct search_block *block, struct arena *arena);

/* Reduces a block by elimination: variables become relations over the classes of their values,
 * dominated choices go (dead-end elimination, Goldstein 1994), and relations are joined, the
 * smallest result first, until one is left. fixed: a layout per weight, or SEARCH_ANY_LAYOUT; NULL:
 * any. Once it is late, or where relations outgrow their room, only the best rows are kept:
 * entries are then not the least, and some may be missing; with a slack there are none at all. */
void search_table_build(struct search_memo *memo, const uint16_t *fixed, struct search_aim aim,
                        struct search_clock clock, struct arena *arena, struct search_table *out);

/* The time of choices by variable, given the class of the input; their bytes are added to *bytes.
 */
double search_block_time(const struct search_block *b, const uint32_t *choices, uint32_t input,
                         double *bytes);

/* The entries of two tables of one block. */
struct search_table *search_table_join(const struct search_table *a, const struct search_table *b,
                                       struct arena *arena);

#endif
