/* SPDX-License-Identifier: Apache-2.0 */
/* Looking after the payload: each exchange takes place on the host too, and the results are
 * compared, bit by bit where elements only move or are integers, else within what another order of
 * additions explains. */
#include "base/checked.h"
#include "base/mem.h"
#include "base/softfloat.h"
#include "runtime/comm/nccl/nccl_state.h"

#include <math.h>
#include <string.h>

/* Bytes of a block's source and destination on this rank. */
static bool sizes(const struct comm *c, const struct plan_exchange *exchange,
                  const struct comm_block *b, uint64_t *out_src, uint64_t *out_dst) {
  uint64_t n = c->plan->groups[exchange->group].size, bytes;
  Engine__ExchangeKind kind = exchange->body->kind;
  bool from_n =
      kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER || kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL;
  bool to_n =
      kind == ENGINE__EXCHANGE_KIND__ALL_GATHER || kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL;
  return u64_mul(b->elements, dtype_unpacked_bytes(b->dtype), &bytes) &&
         u64_mul(bytes, from_n ? n : 1, out_src) && u64_mul(bytes, to_n ? n : 1, out_dst);
}

static status reserve(struct comm *c, const struct plan_exchange *exchange,
                      const struct comm_block *blocks, uint32_t n, struct nccl_check *check) {
  uint64_t total = 0, src, dst;
  for (uint32_t i = 0; i < n; i++)
    if (!sizes(c, exchange, &blocks[i], &src, &dst) || !u64_add(total, src, &total) ||
        !u64_align(total, 64, &total) || !u64_add(total, dst, &total) ||
        !u64_align(total, 64, &total))
      return fault_no_memory("checking an exchange", UINT64_MAX);
  if (check->n >= n && check->bytes >= total)
    return STATUS_OK;
  nccl_check_deinit(check);
  check->blocks = mem_try_calloc(n, sizeof *check->blocks);
  check->memory = mem_try_alloc(total + 1);
  if (!check->blocks || !check->memory)
    return fault_no_memory("checking an exchange", total);
  check->n = n;
  check->bytes = total;
  return STATUS_OK;
}

status nccl_check_begin(struct comm *c, struct nccl_rank *r, const struct plan_exchange *exchange,
                        const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  struct nccl_check *check = &r->check;
  status st = reserve(c, exchange, blocks, n, check);
  uint8_t *at = check->memory;
  for (uint32_t i = 0; i < n && !st; i++) {
    uint64_t src, dst;
    sizes(c, exchange, &blocks[i], &src, &dst);
    check->blocks[i] = blocks[i];
    check->blocks[i].src = at;
    check->blocks[i].dst = at + (src + 63) / 64 * 64;
    st = c->driver->read(r->device, at, blocks[i].src, src);
    at = check->blocks[i].dst + (dst + 63) / 64 * 64;
  }
  return st ? st
            : c->controls->exchange(c->control, r->number, exchange, check->blocks, n, decisions);
}

static double element(enum dtype dtype, const uint8_t *at) {
  uint16_t half;
  float single;
  double x;
  switch (dtype) {
  case DTYPE_F64: memcpy(&x, at, 8); return x;
  case DTYPE_F32: memcpy(&single, at, 4); return (double)single;
  default:
    memcpy(&half, at, 2);
    return softfloat_decode(dtype == DTYPE_BF16 ? SOFTFLOAT_BF16 : SOFTFLOAT_F16, half);
  }
}

/* One more than the steps between neighbours around 1. */
static double epsilon(enum dtype dtype) {
  return dtype == DTYPE_F64   ? 0x1p-52
         : dtype == DTYPE_F32 ? 0x1p-23
         : dtype == DTYPE_F16 ? 0x1p-10
                              : 0x1p-7;
}

/* The first element that differs; UINT64_MAX: none. Sums that cancel are as good as the largest
 * element of the result, times the number of ranks. */
static uint64_t first_difference(enum dtype dtype, const uint8_t *a, const uint8_t *b,
                                 uint64_t bytes, bool sums, uint32_t ranks) {
  unsigned size = dtype_unpacked_bytes(dtype);
  double most = 0;
  if (!bytes || memcmp(a, b, bytes) == 0)
    return UINT64_MAX;
  for (uint64_t i = 0; i < bytes && sums; i += size) {
    double x = fabs(element(dtype, b + i));
    most = isfinite(x) && x > most ? x : most;
  }
  for (uint64_t i = 0; i < bytes; i += size) {
    if (memcmp(a + i, b + i, size) == 0)
      continue;
    double x = sums ? element(dtype, a + i) : NAN, y = sums ? element(dtype, b + i) : 0;
    if (!sums || (!(fabs(x - y) <= 4 * ranks * epsilon(dtype) * most) && !(isnan(x) && isnan(y))))
      return i / size;
  }
  return UINT64_MAX;
}

status nccl_check_end(struct comm *c, struct nccl_rank *r, const struct plan_exchange *exchange,
                      const struct comm_block *blocks, uint32_t n) {
  const struct nccl_check *check = &r->check;
  const Engine__Exchange *body = exchange->body;
  uint32_t ranks = c->plan->groups[exchange->group].size;
  bool reduces = body->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE ||
                 body->kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t src, dst, at;
    sizes(c, exchange, &blocks[i], &src, &dst);
    uint8_t *found = mem_try_alloc(dst + 1);
    if (!found)
      return fault_no_memory("checking an exchange", dst);
    status st = c->driver->read(r->device, found, blocks[i].dst, dst);
    at = st ? 0
            : first_difference(blocks[i].dtype, found, check->blocks[i].dst, dst,
                               reduces && dtype_is_float(blocks[i].dtype), ranks);
    mem_free(found);
    if (st)
      return st;
    char node[256];
    if (at != UINT64_MAX)
      return fault_report(
          DIAG_E0732, plan_node_text(c->plan, exchange->step, node, sizeof node), NULL,
          "rank %u, exchange %u (%s), value %u: element %llu of %llu is not what the "
          "ranks gave",
          r->number, body->number, comm_kind_text(body->kind), i, (unsigned long long)at,
          (unsigned long long)(dst / dtype_unpacked_bytes(blocks[i].dtype)));
  }
  return STATUS_OK;
}

void nccl_check_deinit(struct nccl_check *check) {
  mem_free(check->blocks);
  mem_free(check->memory);
  *check = (struct nccl_check){0};
}
