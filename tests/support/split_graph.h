/* SPDX-License-Identifier: Apache-2.0 */
/* Random small modules that are worth splitting, and random machines: for tests of the search. What
 * they are made of is what decoders and the like are: products, norms, forks that meet again in
 * attention, residual sums, values that are read late, states, weights that two functions share,
 * equal layers. Weights have no data. */
#ifndef SINTER_TESTS_SPLIT_GRAPH_H
#define SINTER_TESTS_SPLIT_GRAPH_H

#include "base/str.h"
#include "ir/graph.h"

struct split_graph_options {
  uint64_t seed;
  uint32_t layers;    /* equal ones, 1 or more */
  uint32_t steps;     /* of a layer */
  bool phases;        /* @prefill and @decode, of the same weights and states; else @main */
  bool stars;         /* layers begin with a fork of products that attention joins */
  bool distinct_dims; /* sizes of symbols and weights differ, so that few splits are even */
};

/* Symbols: batch, tokens, and capacity where there are phases. NULL never. */
struct module *split_graph(const struct split_graph_options *options);

/* The text of a machine of that many devices (one level of links, or two), its figures drawn: links
 * fast or slow, launches cheap or dear. */
void split_machine(uint64_t seed, int64_t devices, struct strbuf *out);

/* The next number of a sequence, below n. */
uint32_t split_draw(uint64_t *state, uint32_t n);

#endif
