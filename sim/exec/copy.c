/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous copies of bytes: cp.async and cp.async.bulk, and the groups that are waited for. */
#include "sim/exec/async.h"
#include "sim/exec/atomic.h"

#include <stdlib.h>

struct async_groups *groups_of(struct async_groups **slot) {
  if (!*slot)
    *slot = calloc(1, sizeof **slot);
  return *slot;
}

void groups_commit(struct async_groups *g, uint32_t mask) {
  EACH_LANE(l, mask) {
    g->committed[l][g->commits[l] % KEPT_COMMITS] = g->issued;
    g->commits[l]++;
  }
}

uint32_t groups_wait(const struct async_groups *g, uint32_t mask, uint32_t pending) {
  uint32_t least = UINT32_MAX;
  EACH_LANE(l, mask) {
    uint32_t n = g->commits[l];
    uint32_t done = n > pending && pending < KEPT_COMMITS
                        ? g->committed[l][(n - pending - 1) % KEPT_COMMITS]
                        : 0;
    least = done < least ? done : least;
  }
  return least;
}

/* cp.async */

static void copy(struct warp *w, const struct inst *i, uint32_t mask) {
  struct async_groups *g = groups_of(&w->copies);
  if (!g)
    return;
  g->issued++;
  EACH_LANE(l, mask) {
    uint64_t n = lane_get(w, &i->op[2], l) & UINT32_MAX, from_bytes = n;
    if (i->count > 3 && !i->op[3].width)
      from_bytes = pred_get(w, &i->op[3]) >> l & 1 ? 0 : n;
    else if (i->count > 3 && !(i->aux[0] && i->count == 4))
      from_bytes = lane_get(w, &i->op[3], l) & UINT32_MAX;
    uint64_t to = lane_get(w, &i->op[0], l) + (uint64_t)i->imm;
    uint64_t from = lane_get(w, &i->op[1], l) + (uint64_t)i->more[0];
    uint32_t offset;
    if ((n != 4 && n != 8 && n != 16) || from_bytes > n || (to & (n - 1)) || (from & (n - 1))) {
      memory_fault_report(w, i, (int)l, FAULT_MISALIGNED,
                          "misaligned: cp.async of %llu bytes from 0x%llx to 0x%llx",
                          (unsigned long long)n, (unsigned long long)from, (unsigned long long)to);
      return;
    }
    struct cta *c = resolve_shared(w, i, l, to, n, &offset);
    const uint8_t *source = c && from_bytes ? resolve_global(w, i, l, from, from_bytes, false)
                            : c             ? c->shared
                                            : NULL;
    if (!source ||
        !shadow_unit_write(w, i, l, c, offset, (uint32_t)n, AGENT_COPY + w->id, g->issued))
      return;
    memset(c->shared + offset, 0, n);
    memcpy(c->shared + offset, source, from_bytes);
  }
}
exec_fn bind_cp_async(struct binding *b) {
  b->inst->aux[0] = has(b, MOD_L2_cache_hint);
  return has(b, MOD_global) && (has(b, MOD_ca) || has(b, MOD_cg)) ? copy : NULL;
}

static void commit(struct warp *w, const struct inst *i, uint32_t mask) {
  struct async_groups *g = groups_of(i->aux[0] ? &w->stores : &w->copies);
  if (g)
    groups_commit(g, mask);
}
static void wait(struct warp *w, const struct inst *i, uint32_t mask) {
  struct async_groups *g = groups_of(i->aux[0] ? &w->stores : &w->copies);
  if (!g)
    return;
  uint32_t pending = i->count ? (uint32_t)lane_get(w, &i->op[0], 0) : 0;
  order_unit_done(w, (i->aux[0] ? AGENT_STORE : AGENT_COPY) + w->id,
                  i->aux[1] ? g->issued : groups_wait(g, mask, pending));
}
exec_fn bind_group_commit(struct binding *b) {
  b->inst->aux[0] = has(b, MOD_bulk);
  return commit;
}
exec_fn bind_group_wait(struct binding *b) {
  b->inst->aux[0] = has(b, MOD_bulk);
  b->inst->aux[1] = has(b, MOD_wait_all);
  return wait;
}

/* cp.async.bulk without a tensor map. */

static bool bulk_form(struct warp *w, const struct inst *i, uint32_t l, uint64_t to, uint64_t from,
                      uint64_t n) {
  if (!(n % 16) && !(to % 16) && !(from % 16) && n <= WINDOW_BYTES)
    return true;
  memory_fault_report(
      w, i, (int)l, FAULT_MISALIGNED,
      "misaligned: a bulk copy of %llu bytes from 0x%llx to 0x%llx: all are multiples "
      "of 16",
      (unsigned long long)n, (unsigned long long)from, (unsigned long long)to);
  return false;
}

static void reduce(const struct inst *i, uint8_t *to, const uint8_t *from, uint64_t n) {
  uint32_t step = ptx_type_bytes((enum ptx_type)i->type);
  for (uint64_t k = 0; k + step <= n; k += step) {
    uint64_t v = 0;
    memcpy(&v, from + k, step);
    atomic_apply(i, to + k, v, 0);
  }
}

/* Into the shared memory of the cluster, counted by an mbarrier there. */
static void bulk_in(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    uint64_t to = lane_get(w, &i->op[0], l) + (uint64_t)i->imm;
    uint64_t from = lane_get(w, &i->op[1], l) + (uint64_t)i->more[0];
    uint64_t n = lane_get(w, &i->op[2], l) & UINT32_MAX, barrier;
    uint32_t offset, from_offset, ranks = 0;
    struct cta *c, *home, *source_cta;
    if (!n || !bulk_form(w, i, l, to, from, n))
      return;
    c = resolve_shared(w, i, l, to, n, &offset);
    barrier = lane_get(w, &i->op[3], l) + (uint64_t)i->more[1];
    struct mbarrier *m = c ? mbarrier_at(w, i, l, barrier, &home) : NULL;
    if (!m)
      return;
    const uint8_t *source;
    if (i->aux[1]) { /* from this CTA's shared memory */
      source_cta = resolve_shared(w, i, l, from, n, &from_offset);
      struct async_groups *g = groups_of(&w->stores);
      if (!source_cta || !g ||
          !shadow_unit_read(w, i, l, source_cta, from_offset, (uint32_t)n, AGENT_STORE + w->id, 0,
                            &(uint32_t){0}))
        return;
      source = source_cta->shared + from_offset;
    } else {
      source = resolve_global(w, i, l, from, n, false);
    }
    if (!source)
      return;
    ranks = i->aux[0] ? (uint32_t)lane_get(w, &i->op[4], l) & 0xffff : 1u << c->rank;
    for (uint32_t r = 0; r < w->cta->cluster->size; r++) {
      struct cta *to_cta = &w->cta->cluster->ctas[r];
      if (!(ranks >> r & 1))
        continue;
      uint32_t at = (uint32_t)(barrier % WINDOW_BYTES), time = ++to_cta->shadow->tensor;
      uint64_t address = (uint64_t)(r + 1) * WINDOW_BYTES + at;
      m = mbarrier_at(w, i, l, address, &home);
      if (!m)
        return;
      if (i->operation != MOD_COUNT) {
        reduce(i, to_cta->shared + offset, source, n);
      } else {
        if (!shadow_unit_write(w, i, l, to_cta, offset, (uint32_t)n, AGENT_TENSOR, time))
          return;
        memmove(to_cta->shared + offset, source, n);
      }
      mbarrier_complete(to_cta, m, (uint32_t)n, AGENT_TENSOR, time);
    }
  }
}
/* Out of shared memory to global memory, in bulk groups. */
static void bulk_out(struct warp *w, const struct inst *i, uint32_t mask) {
  struct async_groups *g = groups_of(&w->stores);
  if (!g)
    return;
  g->issued++;
  EACH_LANE(l, mask) {
    uint64_t to = lane_get(w, &i->op[0], l) + (uint64_t)i->imm;
    uint64_t from = lane_get(w, &i->op[1], l) + (uint64_t)i->more[0];
    uint64_t n = lane_get(w, &i->op[2], l) & UINT32_MAX;
    uint32_t offset;
    if (!n || !bulk_form(w, i, l, to, from, n))
      return;
    struct cta *c = resolve_shared(w, i, l, from, n, &offset);
    uint8_t *target = c ? resolve_global(w, i, l, to, n, true) : NULL;
    if (!target || !shadow_unit_read(w, i, l, c, offset, (uint32_t)n, AGENT_STORE + w->id,
                                     g->issued, &(uint32_t){0}))
      return;
    if (i->operation != MOD_COUNT)
      reduce(i, target, c->shared + offset, n);
    else
      memcpy(target, c->shared + offset, n);
  }
}

static bool reduction(struct binding *b) {
  static const enum modifier known[] = {MOD_add, MOD_and, MOD_or,  MOD_xor,  MOD_min,
                                        MOD_max, MOD_inc, MOD_dec, MOD_COUNT};
  struct inst *i = b->inst;
  i->operation = (uint16_t)first_of(b, known);
  bool reduces = has(b, MOD_reduce);
  return reduces == (i->operation != MOD_COUNT) &&
         (!reduces || (b->type_count == 1 && ptx_type_bytes(b->types[0]) >= 2));
}
exec_fn bind_bulk_in(struct binding *b) {
  struct inst *i = b->inst;
  i->aux[0] = has(b, MOD_multicast_cluster);
  i->aux[1] = !has(b, MOD_global);
  return reduction(b) && has(b, MOD_mbarrier_complete_tx_bytes) && i->count >= 4 + i->aux[0]
             ? bulk_in
             : NULL;
}
exec_fn bind_bulk_out(struct binding *b) {
  return reduction(b) && has(b, MOD_bulk_group) ? bulk_out : NULL;
}
