/* SPDX-License-Identifier: Apache-2.0 */
/* What all kinds of communication share. */
#include "runtime/comm/comm.h"

#include "base/checked.h"

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
