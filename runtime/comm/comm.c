/* SPDX-License-Identifier: Apache-2.0 */
/* What all kinds of communication share. */
#include "runtime/comm/comm.h"

#include "base/checked.h"

#include <stdio.h>

const char *comm_kind_text(Engine__ExchangeKind kind) {
  static const char *const texts[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                      "permute"};
  return texts[kind];
}

/* Blocks that the group receives, an all_reduce's block being a whole result. */
static uint64_t blocks_received(const struct plan_exchange *exchange, uint64_t n) {
  const Engine__Exchange *body = exchange->body;
  uint64_t moved = 0;
  switch (body->kind) {
  case ENGINE__EXCHANGE_KIND__ALL_REDUCE: /* each element once to where it is combined, and back */
    return 2 * (n - 1);
  case ENGINE__EXCHANGE_KIND__PERMUTE:
    for (size_t i = 0; i < body->n_from; i++)
      moved += body->from[i] != i;
    return moved;
  default: return n * (n - 1);
  }
}

uint64_t comm_group_bytes(const struct plan *plan, const struct plan_exchange *exchange,
                          uint64_t block_bytes) {
  uint64_t total;
  if (!u64_mul(blocks_received(exchange, plan->groups[exchange->group].size), block_bytes, &total))
    return UINT64_MAX;
  return total;
}

uint64_t comm_rank_bytes(const struct plan *plan, const struct plan_exchange *exchange,
                         uint32_t place, uint64_t elements, uint64_t element_bytes) {
  uint32_t n = plan->groups[exchange->group].size;
  uint64_t own, block = elements * element_bytes;
  switch (exchange->body->kind) {
  case ENGINE__EXCHANGE_KIND__ALL_REDUCE:
    own = (comm_segment(elements, place + 1, n) - comm_segment(elements, place, n)) * element_bytes;
    return (n - 1) * own + block - own;
  case ENGINE__EXCHANGE_KIND__PERMUTE: return exchange->body->from[place] != place ? block : 0;
  default: return (n - 1) * block;
  }
}

const char *comm_at_text(const struct plan *plan, uint64_t at, char *buffer, size_t n) {
  uint32_t number = COMM_AT_NUMBER(at);
  char node[256];
  if (number == COMM_BEGIN)
    return "the beginning of a run";
  if (number >= plan->exchange_count)
    return "the end of the run";
  const struct plan_exchange *e = &plan->exchanges[number];
  const char *where = plan_node_text(plan, e->step, node, sizeof node);
  snprintf(buffer, n, "exchange %u (%s%s%s)", number, comm_kind_text(e->body->kind),
           where ? " of " : "", where ? where : "");
  return buffer;
}

const char *comm_compare(const struct comm_agreement *a, const struct comm_agreement *b) {
  if (a->engine[0] != b->engine[0] || a->engine[1] != b->engine[1])
    return "engines";
  if (a->entry != b->entry)
    return "entry points";
  return a->shapes != b->shapes ? "shapes of inputs" : NULL;
}
