/* SPDX-License-Identifier: Apache-2.0 */
/* What lanes, warps and CTAs do together. */
#include "sim/exec/decode.h"
#include "sim/exec/race.h"

/* Barriers of a CTA. Threads that have exited are not waited for. */

static uint32_t living(const struct cta *c) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < c->warp_count; k++)
    n += (uint32_t)__builtin_popcount(c->warps[k].live);
  return n;
}

static void release(struct cta *c, uint32_t id) {
  struct barrier *b = &c->barriers[id];
  for (uint32_t k = 0; k < c->warp_count; k++) {
    struct warp *w = &c->warps[k];
    for (uint32_t j = 0; j < w->group_count; j++) {
      struct group *g = &w->groups[j];
      if (g->state != GROUP_BARRIER || g->barrier != id)
        continue;
      g->state = GROUP_READY;
      order_acquire(w, b->order);
      const struct inst *i = &g->frame->function->code[g->pc - 1];
      if (i->writes == 0)
        continue;
      EACH_LANE(l, g->mask) {
        uint32_t v = i->combine == MOD_popc  ? b->count_true
                     : i->combine == MOD_and ? b->all_true
                                             : b->any_true;
        uint8_t *at = g->frame->registers + i->op[0].offset;
        if (i->op[0].width)
          ((uint32_t *)(void *)at)[l] = v;
        else if (v)
          *(uint32_t *)(void *)at |= 1u << l;
        else
          *(uint32_t *)(void *)at &= ~(1u << l);
      }
    }
  }
  struct vclock *order = b->order;
  if (order)
    memset(order, 0, sizeof *order);
  *b = (struct barrier){.order = order};
}

static bool complete(const struct cta *c, const struct barrier *b) {
  return b->arrived && b->arrived >= (b->expected ? b->expected : living(c));
}

bool barrier_settle(struct cta *c) {
  bool any = false;
  for (uint32_t id = 0; id < 16; id++)
    if (complete(c, &c->barriers[id])) {
      release(c, id);
      any = true;
    }
  return any;
}

static void bar(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t lane = (uint32_t)__builtin_ctz(mask), first = i->writes;
  uint64_t id = i->aux[0] > 0 ? lane_get(w, &i->op[first], lane) : 0;
  uint64_t expected = i->aux[0] > 1 ? lane_get(w, &i->op[first + 1], lane) : 0;
  if (id > 15 || expected % 32 || expected > 1024) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_INSTRUCTION,
                        "barrier %llu with %llu threads: there are 16, of whole warps",
                        (unsigned long long)id, (unsigned long long)expected);
    return;
  }
  struct barrier *b = &w->cta->barriers[id];
  if (b->arrived && b->expected != expected) {
    memory_fault_report(
        w, i, (int)lane, FAULT_LAUNCH_FAILED,
        "barrier %llu: %llu threads are named here, %u by those that came before (line %u)",
        (unsigned long long)id, (unsigned long long)expected, b->expected, b->line);
    return;
  }
  if (!b->arrived)
    b->all_true = 1;
  if (i->writes) {
    uint32_t p = pred_get(w, &i->op[i->count - 1]) & mask;
    b->all_true &= p == mask;
    b->any_true |= p != 0;
    b->count_true += (uint32_t)__builtin_popcount(p);
  }
  b->expected = (uint32_t)expected;
  b->line = i->line;
  b->arrived += expected && i->flow == FLOW_JOIN ? 32 : (uint32_t)__builtin_popcount(mask);
  order_release(w, b->order);
  w->cta->cluster->events++;
  if (i->operation != MOD_arrive) {
    w->groups[w->current].state = GROUP_BARRIER;
    w->groups[w->current].barrier = (uint8_t)id;
    w->groups[w->current].pc = w->pc + 1;
    w->reschedule = true;
  }
  if (complete(w->cta, b))
    release(w->cta, (uint32_t)id);
}
static void bar_warp(struct warp *w, const struct inst *i, uint32_t mask) {
  (void)w, (void)i, (void)mask;
}

exec_fn bind_bar(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  if (has(b, MOD_cluster))
    return bind_cluster_barrier(b);
  if (!strcmp(i->opcode, "barrier") && !has(b, MOD_aligned))
    i->flow = FLOW_NEXT; /* lanes come one by one */
  if (has(b, MOD_warp)) {
    i->member = 0;
    i->orders = true;
    return i->count == 1 ? bar_warp : NULL;
  }
  i->aux[0] = (uint32_t)i->count - i->writes;
  if (has(b, MOD_red)) {
    i->aux[0]--;
    i->combine = (uint16_t)(has(b, MOD_popc) ? MOD_popc : has(b, MOD_and) ? MOD_and : MOD_or);
    i->operation = MOD_red;
    bool pred = i->writes == 1 && !i->op[0].width;
    return i->writes == 1 && pred == (i->combine != MOD_popc) ? bar : NULL;
  }
  if (!i->count || i->writes) {
    b->why = "a barrier without a number";
    return NULL;
  }
  i->operation = (uint16_t)(has(b, MOD_arrive) ? MOD_arrive : MOD_sync);
  return has(b, MOD_sync) || has(b, MOD_arrive) ? bar : NULL;
}

/* The barrier of a cluster. */

static uint32_t living_in_cluster(const struct cluster *c) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < c->size; k++)
    n += living(&c->ctas[k]);
  return n;
}

bool cluster_settle(struct cluster *c) {
  if (!c->arrived || c->arrived < living_in_cluster(c))
    return false;
  c->arrived = 0;
  c->generation++;
  c->events++;
  return true;
}

static void cluster_arrive(struct warp *w, const struct inst *i, uint32_t mask) {
  struct cluster *c = w->cta->cluster;
  if (w->cluster_arrived & mask) {
    memory_fault_report(w, i, __builtin_ctz(mask), FAULT_LAUNCH_FAILED,
                        "a second barrier.cluster.arrive without a wait between");
    return;
  }
  w->cluster_arrived |= mask;
  w->cluster_generation = c->generation;
  c->arrived += (uint32_t)__builtin_popcount(mask);
  if (w->order)
    order_release(w, shadow_cluster_clock(w->cta));
  c->events++;
  cluster_settle(c);
}
static void cluster_wait(struct warp *w, const struct inst *i, uint32_t mask) {
  struct cluster *c = w->cta->cluster;
  if (mask & ~w->cluster_arrived) {
    memory_fault_report(w, i, __builtin_ctz(mask), FAULT_LAUNCH_FAILED,
                        "barrier.cluster.wait without an arrive before it");
    return;
  }
  if (w->cluster_generation == c->generation && !cluster_settle(c)) {
    warp_retry(w);
    return;
  }
  w->cluster_arrived &= ~mask;
  if (w->order)
    order_acquire(w, shadow_cluster_clock(w->cta));
}
exec_fn bind_cluster_barrier(struct binding *b) {
  b->inst->flow = FLOW_JOIN;
  return b->inst->count       ? NULL
         : has(b, MOD_arrive) ? cluster_arrive
         : has(b, MOD_wait)   ? cluster_wait
                              : NULL;
}

/* Between lanes. */

static void elect(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t leader = (uint32_t)__builtin_ctz(mask);
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, leader);
  pred_set(w, &i->op[1], mask, 1u << leader);
}
exec_fn bind_elect(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->orders = true;
  i->member = 2;
  return has(b, MOD_sync) && i->count == 3 ? elect : NULL;
}

static void match(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t value = i->writes;
  uint32_t all = UINT32_MAX;
  EACH_LANE(l, mask) {
    uint32_t same = 0;
    EACH_LANE(k, mask)
    same |= (uint32_t)(lane_get(w, &i->op[value], k) == lane_get(w, &i->op[value], l)) << k;
    all &= same;
    if (i->operation == MOD_any)
      lane_set(w, &i->op[0], l, same);
  }
  if (i->operation == MOD_any)
    return;
  bool uniform = (all & mask) == mask;
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, uniform ? mask : 0);
  if (value > 1)
    pred_set(w, &i->op[1], mask, uniform ? UINT32_MAX : 0);
}
exec_fn bind_match(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->orders = true;
  i->member = (uint8_t)(i->count - 1);
  i->operation = (uint16_t)(has(b, MOD_any) ? MOD_any : MOD_all);
  return has(b, MOD_sync) && i->count >= 3 && i->op[0].width == 4 ? match : NULL;
}

static void activemask(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, mask);
}
exec_fn bind_activemask(struct binding *b) {
  return b->type_count == 1 && b->types[0] == TYPE_b32 ? activemask : NULL;
}

static void vote(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t p = pred_get(w, &i->op[1]) & mask;
  if (i->operation == MOD_ballot) {
    EACH_LANE(l, mask)
    lane_set(w, &i->op[0], l, p);
    return;
  }
  bool r = i->operation == MOD_all ? p == mask : i->operation == MOD_any ? p != 0 : p == mask || !p;
  pred_set(w, &i->op[0], mask, r ? UINT32_MAX : 0);
}
exec_fn bind_vote(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->orders = true;
  i->member = 2;
  i->operation = (uint16_t)(has(b, MOD_ballot) ? MOD_ballot
                            : has(b, MOD_all)  ? MOD_all
                            : has(b, MOD_any)  ? MOD_any
                                               : MOD_uni);
  bool ballot = i->operation == MOD_ballot;
  return has(b, MOD_sync) && i->count == 3 && b->type_count == 1 &&
                 b->types[0] == (ballot ? TYPE_b32 : TYPE_pred)
             ? vote
             : NULL;
}

/* PTX ISA, shfl.sync: c holds the clamp below and the segment mask above. */
static void shfl(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t in[32], valid = 0;
  memcpy(in, lanes(w, &i->op[2]), sizeof in);
  EACH_LANE(l, mask) {
    uint32_t b = (uint32_t)lane_get(w, &i->op[3], l) & 31, c = (uint32_t)lane_get(w, &i->op[4], l);
    uint32_t segment = c >> 8 & 31, most = (l & segment) | (c & 31 & ~segment), least = l & segment;
    int32_t j;
    bool ok = false;
    switch (i->operation) {
    case MOD_up:
      j = (int32_t)l - (int32_t)b;
      ok = j >= (int32_t)most;
      break;
    case MOD_down:
      j = (int32_t)(l + b);
      ok = j <= (int32_t)most;
      break;
    case MOD_bfly:
      j = (int32_t)(l ^ b);
      ok = j <= (int32_t)most;
      break;
    default:
      j = (int32_t)(least | (b & ~segment));
      ok = j <= (int32_t)most;
      break;
    }
    uint32_t from = ok ? (uint32_t)j : l;
    if (!(mask >> from & 1)) {
      memory_fault_report(w, i, (int)l, FAULT_LAUNCH_FAILED,
                          "'shfl' reads lane %u, which does not take part", from);
      return;
    }
    valid |= (uint32_t)ok << l;
    lane_set(w, &i->op[0], l, in[from]);
  }
  pred_set(w, &i->op[1], mask, valid);
}
exec_fn bind_shfl(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->orders = true;
  i->member = 5;
  i->operation = (uint16_t)(has(b, MOD_up)     ? MOD_up
                            : has(b, MOD_down) ? MOD_down
                            : has(b, MOD_bfly) ? MOD_bfly
                                               : MOD_idx);
  return has(b, MOD_sync) && i->count == 6 && b->type_count == 1 && b->types[0] == TYPE_b32 ? shfl
                                                                                            : NULL;
}

static void redux(struct warp *w, const struct inst *i, uint32_t mask) {
  bool first = true, is_signed = i->type == TYPE_s32;
  uint32_t r = 0;
  EACH_LANE(l, mask) {
    uint32_t v = (uint32_t)lane_get(w, &i->op[1], l);
    bool less = is_signed ? (int32_t)v < (int32_t)r : v < r;
    r = first                               ? v
        : i->operation == MOD_add           ? r + v
        : i->operation == MOD_and           ? r & v
        : i->operation == MOD_or            ? r | v
        : i->operation == MOD_xor           ? r ^ v
        : (i->operation == MOD_min) == less ? v
                                            : r;
    first = false;
  }
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, r);
}
exec_fn bind_redux(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->orders = true;
  i->member = 2;
  for (uint32_t k = 0; k < b->order_count; k++)
    if (b->order[k] != MOD_sync)
      i->operation = (uint16_t)b->order[k];
  return b->type_count == 1 && ptx_type_bytes(b->types[0]) == 4 &&
                 ptx_type_class(b->types[0]) != CLASS_FLOAT
             ? redux
             : NULL;
}

/* Fences order nothing that is not in order here, but for the units that read shared memory. */
static void no_effect(struct warp *w, const struct inst *i, uint32_t mask) {
  (void)w, (void)i, (void)mask;
}
static void fence_proxy(struct warp *w, const struct inst *i, uint32_t mask) {
  (void)i, (void)mask;
  order_proxy_fence(w);
}
exec_fn bind_fence(struct binding *b) {
  return has(b, MOD_proxy) && has(b, MOD_async) && !has(b, MOD_global) ? fence_proxy : no_effect;
}

static void setmaxnreg(struct warp *w, const struct inst *i, uint32_t mask) {
  uint64_t n = lane_get(w, &i->op[0], (uint32_t)__builtin_ctz(mask));
  if (n < 24 || n > 256 || n % 8)
    memory_fault_report(w, i, __builtin_ctz(mask), FAULT_ILLEGAL_INSTRUCTION,
                        "setmaxnreg of %llu: 24 to 256 by steps of 8", (unsigned long long)n);
}
exec_fn bind_setmaxnreg(struct binding *b) {
  b->inst->flow = FLOW_JOIN;
  return has(b, MOD_inc) != has(b, MOD_dec) ? setmaxnreg : NULL;
}
