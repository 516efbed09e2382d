/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of transfer tables combined: min-plus products of a vector over the classes of the value
 * that passes, with Pareto fronts where memory counts. */
#ifndef SINTER_PASSES_SEARCH_CHAIN_H
#define SINTER_PASSES_SEARCH_CHAIN_H

#include "passes/partition/search_table.h"

struct search_point {
  double time, bytes;
};

/* Ways through a chain. */
struct search_path {
  double time, bytes;
  const struct search_entry **entries; /* by block */
};

/* The way of least time + price * bytes (ties: fewer bytes). False where there is none. */
bool search_chain_best(const struct search_table *const *tables, uint32_t n, double price,
                       struct arena *arena, struct search_path *out);

/* The way of least time whose bytes are at most `limit`, exactly. A Lagrangian bound on the rest of
 * the chain keeps the fronts short; should one still outgrow its room, *out_bound is below the time
 * found. A way of at most `known` is all that is sought (INFINITY: any): where there is none, the
 * one given is some way within the limit. False where nothing is within the limit; *out_bound is
 * then a bound all the same. */
bool search_chain_limited(const struct search_table *const *tables, uint32_t n, double limit,
                          double known, struct arena *arena, struct search_path *out,
                          double *out_bound);

#endif
