/* SPDX-License-Identifier: Apache-2.0 */
/* Control flow, and what lanes and warps do together. */
#include "sim/exec/decode.h"

static void bra(struct warp *w, const struct inst *i, uint32_t mask) {
  struct group *g = &w->groups[w->current];
  uint32_t rest = g->mask & ~mask;
  if (!rest) {
    w->pc = i->target;
    return;
  }
  w->pc++;
  warp_split(w, mask, w->frame, i->target);
}
exec_fn bind_bra(struct binding *b) {
  b->inst->flow = FLOW_CONTROL;
  return bra;
}

static void leave(struct warp *w, const struct inst *i, uint32_t mask) {
  (void)i;
  w->pc++;
  w->groups[w->current].pc = w->pc;
  warp_exit(w, mask);
}
exec_fn bind_exit(struct binding *b) {
  b->inst->flow = FLOW_CONTROL;
  return leave;
}
exec_fn bind_ret(struct binding *b) { return bind_exit(b); }

static void trap(struct warp *w, const struct inst *i, uint32_t mask) {
  memory_fault_report(w, i, __builtin_ctz(mask), FAULT_LAUNCH_FAILED, "the kernel executed 'trap'");
}
exec_fn bind_trap(struct binding *b) {
  (void)b;
  return trap;
}

/* Barriers of a CTA. Threads that have exited are not waited for. */

static uint32_t living(const struct cta *c) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < c->warp_count; k++)
    n += (uint32_t)__builtin_popcount(c->warps[k].live);
  return n;
}

static void release(struct cta *c, uint32_t id) {
  for (uint32_t k = 0; k < c->warp_count; k++) {
    struct warp *w = &c->warps[k];
    for (uint32_t j = 0; j < w->group_count; j++)
      if (w->groups[j].state == GROUP_BARRIER && w->groups[j].barrier == id)
        w->groups[j].state = GROUP_READY;
  }
  c->barriers[id] = (struct barrier){0};
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
  uint32_t lane = (uint32_t)__builtin_ctz(mask);
  uint64_t id = i->count ? lane_get(w, &i->op[0], lane) : 0;
  uint64_t expected = i->count > 1 ? lane_get(w, &i->op[1], lane) : 0;
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
  b->expected = (uint32_t)expected;
  b->line = i->line;
  b->arrived += expected ? 32 : (uint32_t)__builtin_popcount(mask);
  if (i->operation != MOD_arrive) {
    w->groups[w->current].state = GROUP_BARRIER;
    w->groups[w->current].barrier = (uint8_t)id;
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
  if (has(b, MOD_warp)) {
    i->member = 0;
    return i->count == 1 ? bar_warp : NULL;
  }
  if (has(b, MOD_red) || i->count > 2 || !i->count) {
    b->why = "a barrier that reduces, or without a number";
    return NULL;
  }
  i->operation = (uint8_t)(has(b, MOD_arrive) ? MOD_arrive : MOD_sync);
  return has(b, MOD_sync) || has(b, MOD_arrive) ? bar : NULL;
}

/* Between lanes. */

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
  i->member = 2;
  i->operation = (uint8_t)(has(b, MOD_ballot) ? MOD_ballot
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
  i->member = 5;
  i->operation = (uint8_t)(has(b, MOD_up)     ? MOD_up
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
  i->member = 2;
  for (uint32_t k = 0; k < b->order_count; k++)
    if (b->order[k] != MOD_sync)
      i->operation = (uint8_t)b->order[k];
  return b->type_count == 1 && ptx_type_bytes(b->types[0]) == 4 &&
                 ptx_type_class(b->types[0]) != CLASS_FLOAT
             ? redux
             : NULL;
}
