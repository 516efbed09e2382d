/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The five exchanges: every rank reads what it needs from the others' memory and writes its own
 * only. In an all_reduce each rank combines one segment for all, in the order of places, and takes
 * the other segments from the ranks that combined those; so all get the same bits.
 */
#include "runtime/comm/host/host_state.h"

#include "base/hash.h"

#include <string.h>

/* One rank's view of an exchange. */
struct move {
  struct comm *c;
  const struct host_meeting *group;
  const Engine__Exchange *body;
  struct host_cell *own;
  uint32_t place;
  uint64_t received; /* bytes from others */
};

static const struct comm_block *block_at(const struct move *m, uint32_t place, uint32_t i) {
  return &m->c->cells[m->group->members[place]].blocks[i];
}

static void take(struct move *m, uint32_t from, uint8_t *dst, const uint8_t *src, uint64_t bytes) {
  if (bytes)
    memcpy(dst, src, (size_t)bytes);
  if (from != m->place)
    m->received += bytes;
}

/* Combines elements [first, end) of the sources at `base` bytes into dst. */
static void combine(struct move *m, uint32_t i, uint64_t base, uint8_t *dst, uint64_t first,
                    uint64_t end) {
  enum dtype dtype = m->own->blocks[i].dtype;
  if (first == end)
    return;
  for (uint32_t q = 0; q < m->group->n; q++)
    m->own->sources[q] = block_at(m, q, i)->src + base;
  host_reduce(dtype, m->body->reduction, dst, m->own->sources, m->group->n, first, end);
  m->received += (m->group->n - 1) * (end - first) * dtype_unpacked_bytes(dtype);
}

static void move_block(struct move *m, uint32_t i) {
  const struct comm_block *b = &m->own->blocks[i];
  uint64_t bytes = b->elements * dtype_unpacked_bytes(b->dtype);
  uint32_t n = m->group->n, p = m->place;
  switch (m->body->kind) {
  case ENGINE__EXCHANGE_KIND__ALL_REDUCE:
    combine(m, i, 0, b->dst, comm_segment(b->elements, p, n), comm_segment(b->elements, p + 1, n));
    break;
  case ENGINE__EXCHANGE_KIND__ALL_GATHER:
    for (uint32_t q = 0; q < n; q++)
      take(m, q, b->dst + q * bytes, block_at(m, q, i)->src, bytes);
    break;
  case ENGINE__EXCHANGE_KIND__REDUCE_SCATTER:
    combine(m, i, p * bytes, b->dst, 0, b->elements);
    break;
  case ENGINE__EXCHANGE_KIND__ALL_TO_ALL:
    for (uint32_t q = 0; q < n; q++)
      take(m, q, b->dst + q * bytes, block_at(m, q, i)->src + p * bytes, bytes);
    break;
  default: take(m, m->body->from[p], b->dst, block_at(m, m->body->from[p], i)->src, bytes);
  }
}

/* The second half of an all_reduce. */
static void collect_segments(struct move *m, uint32_t i) {
  const struct comm_block *b = &m->own->blocks[i];
  uint64_t size = dtype_unpacked_bytes(b->dtype);
  for (uint32_t q = 0; q < m->group->n; q++) {
    uint64_t first = comm_segment(b->elements, q, m->group->n),
             end = comm_segment(b->elements, q + 1, m->group->n);
    if (q != m->place && first < end)
      take(m, q, b->dst + first * size, block_at(m, q, i)->dst + first * size,
           (end - first) * size);
  }
}

/* --- Hashes --- */

static uint64_t hash_source(const struct comm_block *b, Engine__ExchangeKind kind, uint32_t ranks) {
  bool several =
      kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER || kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL;
  return hash_bytes(b->src, b->elements * dtype_unpacked_bytes(b->dtype) * (several ? ranks : 1),
                    0);
}

void host_hash_sources(struct host_cell *own, const struct comm_block *blocks, uint32_t n,
                       Engine__ExchangeKind kind, uint32_t ranks) {
  for (uint32_t i = 0; i < n; i++)
    own->hashes[i] = hash_source(&blocks[i], kind, ranks);
  own->hashes[0] ^= own->damage == COMM_DAMAGED_PAYLOAD;
}

/* What this rank reads of others is what they meant to give. */
static status check_sources(struct move *m) {
  for (uint32_t q = 0; q < m->group->n; q++) {
    const struct host_cell *cell = &m->c->cells[m->group->members[q]];
    for (uint32_t i = 0; i < cell->n_blocks; i++)
      if (hash_source(&cell->blocks[i], m->body->kind, m->group->n) != cell->hashes[i])
        return fault_report(DIAG_E0732, NULL, NULL,
                            "value %u of exchange %u is not what rank %u has computed", i,
                            m->body->number, m->group->members[q]);
  }
  return STATUS_OK;
}

status host_move(struct comm *c, uint32_t rank, struct host_meeting *meeting,
                 const struct plan_exchange *exchange) {
  const struct plan_group *group = &c->plan->groups[exchange->group];
  struct host_cell *own = &c->cells[rank];
  struct move m = {c, meeting, exchange->body, own, plan_group_place(c->plan, group, rank), 0};
  status st = c->check ? check_sources(&m) : STATUS_OK;
  if (!st && c->check) /* nobody writes, in place, what others still compare */
    st = host_meet(c, rank, meeting);
  if (st)
    return st;
  for (uint32_t i = 0; i < own->n_blocks; i++)
    move_block(&m, i);
  st = host_meet(c, rank, meeting);
  if (!st && exchange->body->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE) {
    for (uint32_t i = 0; i < own->n_blocks; i++)
      collect_segments(&m, i);
    st = host_meet(c, rank, meeting);
  }
  own->received[exchange->body->number] += m.received;
  own->times[exchange->body->number]++;
  return st;
}
