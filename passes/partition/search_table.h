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
  struct search_entry *entries;
};

/* What is sought: fronts of (time, bytes); or, where these are too long to make, for each pair of
 * ends the least time + price * bytes. At price 0 bytes only decide between equals. */
struct search_aim {
  bool fronts;
  double price;
};

/* Reduces a block by elimination: variables become relations over the classes of their values,
 * dominated choices go (dead-end elimination, Goldstein 1994), and relations are joined, the
 * smallest result first, until one is left. fixed: a layout per weight, or SEARCH_ANY_LAYOUT; NULL:
 * any. */
void search_table_build(const struct search_block *block, const uint16_t *fixed,
                        struct search_aim aim, struct arena *arena, struct search_table *out);

/* The entries of two tables of one block. */
struct search_table *search_table_join(const struct search_table *a, const struct search_table *b,
                                       struct arena *arena);

#endif
