/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's part in an exchange: where its blocks lie. How they travel is runtime/comm's affair. */
#include "runtime/session.h"

#include "base/checked.h"
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
                                .end_ns = rank_now_ns(),
                                .tiles = 1};
  if (step->n_provenance) {
    event.node = plan_string(r->plan, m->provenance[step->provenance[0]]->node);
    event.op = plan_string(r->plan, m->provenance[step->provenance[0]]->op);
  }
  r->profile(r->profile_user, &event);
}

/* By formula, for all groups of the mesh: they do the same. */
static void expect_bytes(struct rank *r, const struct plan_exchange *exchange) {
  uint64_t groups = r->plan->ranks / r->plan->groups[exchange->group].size;
  for (size_t i = 0; i < exchange->body->n_parts; i++)
    r->expected[exchange->body->number] +=
        groups * comm_group_bytes(r->plan, exchange,
                                  r->blocks[i].elements * dtype_unpacked_bytes(r->blocks[i].dtype));
}

status rank_exchange(struct rank *r, const Engine__Step *step, const Engine__Exchange *body) {
  uint64_t start = r->profile ? rank_now_ns() : 0;
  status st = STATUS_OK;
  for (size_t i = 0; i < body->n_parts && !st; i++)
    st = gather_block(r, step, body, body->parts[i], &r->blocks[i]);
  if (st)
    return st;
  if (!r->comm)
    return copy_blocks(r, body->n_parts);
  expect_bytes(r, &r->plan->exchanges[body->number]);
  st = r->driver->wait(r->device);
  if (!st)
    st = r->comms->exchange(r->comm, r->number, &r->plan->exchanges[body->number], r->blocks,
                            (uint32_t)body->n_parts, r->decisions);
  if (!st && r->profile)
    profile_exchange(r, step, body, start);
  return st;
}
