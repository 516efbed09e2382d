/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's part in an exchange: where its blocks lie. How they travel is runtime/comm's affair. */
#include "runtime/session.h"

#include "base/checked.h"
#include "base/clock.h"
#include "runtime/engine_format.h"
#include "runtime/fault.h"

#define WHERE_BYTES 320

static bool overlap(const struct comm_block *b, uint64_t src_bytes, uint64_t dst_bytes) {
  return src_bytes && dst_bytes && b->src < b->dst + dst_bytes && b->dst < b->src + src_bytes;
}

/* How many blocks src and dst hold. */
static void block_counts(Engine__ExchangeKind kind, uint32_t ranks, uint64_t *out_src,
                         uint64_t *out_dst) {
  *out_src =
      kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER || kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL
          ? ranks
          : 1;
  *out_dst = kind == ENGINE__EXCHANGE_KIND__ALL_GATHER || kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL
                 ? ranks
                 : 1;
}

static status gather_block(struct rank *r, const Engine__Step *step, const Engine__Exchange *body,
                           const Engine__ExchangePart *part, struct comm_block *out) {
  uint32_t ranks = r->plan->groups[r->plan->exchanges[body->number].group].size;
  uint64_t bytes, src_bytes, dst_bytes;
  uint8_t *src;
  *out = (struct comm_block){.dtype = (enum dtype)r->plan->manifest->values[part->src]->dtype};
  block_counts(body->kind, ranks, &src_bytes, &dst_bytes);
  status st = rank_size(r, part->elements, step, &out->elements);
  if (!st && (!u64_mul(out->elements, dtype_unpacked_bytes(out->dtype), &bytes) ||
              !u64_mul(bytes, src_bytes, &src_bytes) || !u64_mul(bytes, dst_bytes, &dst_bytes)))
    st = rank_size_fail(r, part->elements, step, (int64_t)out->elements);
  if (!st)
    st = rank_span(r, part->src, src_bytes, step, &src);
  if (!st)
    st = rank_span(r, part->dst, dst_bytes, step, &out->dst);
  if (st)
    return st;
  out->src = src;
  bool in_place = body->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE && out->src == out->dst;
  if (in_place || !overlap(out, src_bytes, dst_bytes))
    return STATUS_OK;
  char where[WHERE_BYTES];
  return fault_report(DIAG_E0612, plan_node_text(r->plan, step, where, sizeof where),
                      "compile the model again with this release",
                      "values %u and %u are exchanged but overlap", part->src, part->dst);
}

/* Alone in a group, a rank's block is the result. */
static status copy_blocks(struct rank *r, size_t n) {
  status st = STATUS_OK;
  for (size_t i = 0; i < n && !st; i++)
    st = r->driver->copy(r->device, r->blocks[i].dst, r->blocks[i].src,
                         r->blocks[i].elements * dtype_unpacked_bytes(r->blocks[i].dtype));
  return st;
}

static void profile_exchange(struct rank *r, const Engine__Step *step, const Engine__Exchange *body,
                             uint64_t start) {
  const Engine__Manifest *m = r->plan->manifest;
  sinter_profile_event event = {.kernel = comm_kind_text(body->kind),
                                .node = "",
                                .op = "",
                                .start_ns = start,
                                .end_ns = clock_now_ns(),
                                .tiles = 1};
  if (step->n_provenance) {
    event.node = plan_string(r->plan, m->provenance[step->provenance[0]]->node);
    event.op = plan_string(r->plan, m->provenance[step->provenance[0]]->op);
  }
  r->profile(r->profile_user, &event);
}

/* By formula, for the rank's group, said by its first; other groups' blocks may be of another size.
 */
static void expect_bytes(struct rank *r, const struct plan_exchange *exchange) {
  if (plan_group_place(r->plan, &r->plan->groups[exchange->group], r->number) != 0)
    return;
  for (size_t i = 0; i < exchange->body->n_parts; i++)
    r->expected[exchange->body->number] += comm_group_bytes(
        r->plan, exchange, r->blocks[i].elements * dtype_unpacked_bytes(r->blocks[i].dtype));
}

/* --- Blocks in the host's memory --- */

struct staged {
  uint64_t src_bytes, dst_bytes, at;
};

static status staged_sizes(struct rank *r, const Engine__Exchange *body,
                           const struct comm_block *block, struct staged *out, uint64_t *total) {
  uint32_t ranks = r->plan->groups[r->plan->exchanges[body->number].group].size;
  uint64_t bytes = block->elements * dtype_unpacked_bytes(block->dtype), both;
  block_counts(body->kind, ranks, &out->src_bytes, &out->dst_bytes);
  out->src_bytes *= bytes; /* gather_block has seen that these fit */
  out->dst_bytes *= bytes;
  out->at = *total;
  if (!u64_add(out->src_bytes, out->dst_bytes, &both) || !u64_align(both, 64, &both) ||
      !u64_add(*total, both, total))
    return fault_no_memory("an exchange", both);
  return STATUS_OK;
}

/* For devices whose memory the kind of communication does not reach. */
static status exchange_staged(struct rank *r, const Engine__Exchange *body) {
  struct staged staged[ENGINE_MAX_PARTS];
  struct comm_block blocks[ENGINE_MAX_PARTS];
  uint64_t total = 0;
  status st = STATUS_OK;
  for (size_t i = 0; i < body->n_parts && !st; i++)
    st = staged_sizes(r, body, &r->blocks[i], &staged[i], &total);
  if (!st)
    st = staging_reserve(&r->staged, total);
  for (size_t i = 0; i < body->n_parts && !st; i++) {
    uint8_t *src = r->staged.data + staged[i].at;
    blocks[i] = r->blocks[i];
    blocks[i].src = src;
    blocks[i].dst = src + staged[i].src_bytes;
    st = r->driver->read(r->device, src, r->blocks[i].src, staged[i].src_bytes);
  }
  if (!st)
    st = r->comms->exchange(r->comm, r->number, &r->plan->exchanges[body->number], blocks,
                            (uint32_t)body->n_parts, r->decisions);
  for (size_t i = 0; i < body->n_parts && !st; i++)
    st = r->driver->write(r->device, r->blocks[i].dst, blocks[i].dst, staged[i].dst_bytes);
  return st;
}

static status exchange_blocks(struct rank *r, const Engine__Exchange *body) {
  const struct plan_exchange *exchange = &r->plan->exchanges[body->number];
  bool on_device = r->comms->on_device && r->comms->on_device(r->comm, exchange);
  if (r->driver->discrete && !on_device)
    return exchange_staged(r, body);
  if (r->mode == RUN_REPLAY) {
    r->comms->repeat(r->comm, r->number, exchange, r->blocks, (uint32_t)body->n_parts);
    return STATUS_OK;
  }
  status st = on_device ? STATUS_OK : r->driver->wait(r->device);
  if (!st)
    st = r->comms->exchange(r->comm, r->number, exchange, r->blocks, (uint32_t)body->n_parts,
                            r->decisions);
  if (!st && on_device && r->profile)
    st = r->driver->wait(r->device);
  return st;
}

status rank_exchange(struct rank *r, const Engine__Step *step, const Engine__Exchange *body) {
  uint64_t start = r->profile ? clock_now_ns() : 0;
  status st = STATUS_OK;
  for (size_t i = 0; i < body->n_parts && !st; i++)
    st = gather_block(r, step, body, body->parts[i], &r->blocks[i]);
  if (st)
    return st;
  if (!r->comm)
    return r->mode == RUN_REPLAY ? STATUS_OK : copy_blocks(r, body->n_parts);
  expect_bytes(r, &r->plan->exchanges[body->number]);
  st = exchange_blocks(r, body);
  if (!st && r->profile)
    profile_exchange(r, step, body, start);
  return st;
}
