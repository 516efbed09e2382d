/* SPDX-License-Identifier: Apache-2.0 */
/* A warp: which group of its lanes goes next, and the loop that runs instructions. */
#include "sim/exec/race.h"

enum { SWITCH_AFTER = 512 };

static void enter(struct warp *w, uint32_t index) {
  struct group *g = &w->groups[index];
  w->current = index;
  w->pc = g->pc;
  w->frame = g->frame;
  w->bank[BANK_REGISTER] = g->frame->registers;
  w->bank[BANK_CONSTANT] = g->frame->function->constants;
}

static void merge(struct warp *w) {
  for (uint32_t a = 0; a < w->group_count; a++)
    for (uint32_t b = a + 1; b < w->group_count;) {
      struct group *x = &w->groups[a], *y = &w->groups[b];
      bool same = x->frame == y->frame && x->pc == y->pc && x->state == y->state &&
                  (x->state == GROUP_READY || x->state == GROUP_JOINING);
      if (same || !y->mask) {
        x->mask |= y->mask;
        *y = w->groups[--w->group_count];
      } else {
        b++;
      }
    }
}

/* The lanes that must come together at i with the first of `mask`; others may stand there for
 * another set of members. */
static uint32_t members(struct warp *w, const struct inst *i, uint32_t mask) {
  if (i->member == 255)
    return w->live;
  const struct operand *o = &i->op[i->member];
  uint32_t lane = (uint32_t)__builtin_ctz(mask), wanted = (uint32_t)lane_get(w, o, lane);
  if (!(wanted >> lane & 1))
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "the member mask 0x%08x of '%s' leaves out the lane that executes it",
                        wanted, i->opcode);
  return (wanted & w->live) | 1u << lane;
}

/* Lanes of one set of members name the same. */
static void members_agree(struct warp *w, const struct inst *i, uint32_t mask) {
  if (i->member == 255 || i->op[i->member].bank != BANK_REGISTER)
    return;
  const uint32_t *wanted = lanes(w, &i->op[i->member]);
  uint32_t first = wanted[__builtin_ctz(mask)];
  EACH_LANE(l, mask)
  if ((wanted[l] ^ first) & w->live) {
    memory_fault_report(w, i, (int)l, FAULT_LAUNCH_FAILED,
                        "'%s' names the members 0x%08x, lane %u with it 0x%08x", i->opcode,
                        wanted[l], (uint32_t)__builtin_ctz(mask), first);
    return;
  }
}

/* Lanes whose members have all come, or of which the missing ones have exited, go on. */
static void release_joins(struct warp *w) {
  for (uint32_t k = 0; k < w->group_count; k++) {
    struct group *g = &w->groups[k];
    if (g->state != GROUP_JOINING)
      continue;
    enter(w, k);
    const struct inst *i = &g->frame->function->code[g->pc];
    for (uint32_t rest = g->mask; rest;) {
      uint32_t need = members(w, i, rest), part = g->mask & need;
      rest &= ~need;
      if (need & ~g->mask)
        continue;
      if (part == g->mask) {
        g->state = GROUP_READY;
        break;
      }
      g->mask &= ~part;
      struct group ready = *g;
      ready.mask = part;
      ready.state = GROUP_READY;
      w->groups[w->group_count++] = ready;
    }
  }
}

/* Chooses the group that runs next; false if none is ready. */
static bool choose(struct warp *w) {
  w->reschedule = false;
  merge(w);
  release_joins(w);
  uint32_t best = UINT32_MAX, oldest = UINT32_MAX;
  for (uint32_t k = 0; k < w->group_count; k++) {
    struct group *g = &w->groups[k];
    const struct group *b = &w->groups[best == UINT32_MAX ? 0 : best];
    if (g->state == GROUP_RETRY && g->events != w->cta->cluster->events)
      g->state = GROUP_READY;
    if (g->state != GROUP_READY || !g->mask)
      continue;
    if (best == UINT32_MAX || g->frame->depth > b->frame->depth ||
        (g->frame->depth == b->frame->depth && g->pc < b->pc))
      best = k;
    if (oldest == UINT32_MAX || g->last < w->groups[oldest].last)
      oldest = k;
  }
  if (best == UINT32_MAX)
    return false;
  w->clock++;
  if (w->clock - w->groups[oldest].last > SWITCH_AFTER)
    best = oldest;
  w->groups[best].last = w->clock;
  enter(w, best);
  return true;
}

void warp_split(struct warp *w, uint32_t mask, struct frame *frame, uint32_t pc) {
  struct group *g = &w->groups[w->current];
  if (mask == g->mask) {
    g->frame = frame;
    w->pc = g->pc = pc;
    w->reschedule = w->group_count > 1 || frame != w->frame;
    return;
  }
  g->mask &= ~mask;
  g->pc = w->pc;
  w->groups[w->group_count++] =
      (struct group){.frame = frame, .pc = pc, .mask = mask, .state = GROUP_READY, .last = g->last};
  w->reschedule = true;
}

void warp_exit(struct warp *w, uint32_t mask) {
  w->groups[w->current].mask &= ~mask;
  w->live &= ~mask;
  w->reschedule = true;
  if (!w->groups[w->current].mask)
    w->groups[w->current] = w->groups[--w->group_count];
}

void warp_retry(struct warp *w) {
  struct group *g = &w->groups[w->current];
  g->state = GROUP_RETRY;
  g->events = w->cta->cluster->events;
  g->pc = w->pc;
  w->reschedule = true;
}

/* Registers that an instruction reads must have been written. */
static uint32_t unwritten(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t missing = 0;
  for (uint32_t k = i->writes; k < i->count; k++)
    if (i->op[k].bank == BANK_REGISTER)
      missing |= mask & ~w->frame->written[i->op[k].reg];
  return missing;
}

static void report_unwritten(struct warp *w, const struct inst *i, uint32_t missing) {
  char from[160] = "";
  if (w->unwritten.address)
    snprintf(from, sizeof from,
             ", or was loaded from memory that nobody wrote (last in line %u, at 0x%llx)",
             w->unwritten.line, (unsigned long long)w->unwritten.address);
  memory_fault_report(w, i, __builtin_ctz(missing), FAULT_LAUNCH_FAILED,
                      "uninitialised: '%s' reads a register that was never written%s", i->opcode,
                      from);
}

/* Registers that a wgmma still uses may be touched by wgmma alone, and by copies that compilers put
 * in for names of one register or of its halves. */
static bool untouchable(struct warp *w, const struct inst *i) {
  uint32_t *in_flight = w->frame->in_flight;
  if (!in_flight || i->matrix)
    return false;
  if (i->copies) {
    uint32_t from = 0;
    for (uint32_t k = i->writes; k < i->count; k++)
      if (i->op[k].bank == BANK_REGISTER && in_flight[i->op[k].reg] > from)
        from = in_flight[i->op[k].reg];
    for (uint32_t k = 0; k < i->writes && from > w->wgmma_done; k++)
      in_flight[i->op[k].reg] = from;
    if (from > w->wgmma_done)
      return false;
  }
  for (uint32_t k = 0; k < i->count; k++)
    if (i->op[k].bank == BANK_REGISTER && in_flight[i->op[k].reg] > w->wgmma_done)
      return true;
  return false;
}

static void execute(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t missing = unwritten(w, i, mask), *written = w->frame->written;
  if (__builtin_expect(missing && !i->copies, 0)) {
    report_unwritten(w, i, missing);
    return;
  }
  if (__builtin_expect(w->in_flight, 0) && untouchable(w, i)) {
    memory_fault_report(w, i, __builtin_ctz(mask), FAULT_LAUNCH_FAILED,
                        "'%s' uses a register that a wgmma may still read or write: "
                        "wgmma.wait_group comes first",
                        i->opcode);
    return;
  }
  i->fn(w, i, mask);
  for (uint32_t k = 0; k < i->writes; k++)
    written[i->op[k].reg] = (written[i->op[k].reg] | mask) & ~missing;
  if (__builtin_expect(w->unwritten.any, 0)) {
    for (uint32_t k = 0; k < i->writes; k++)
      written[i->op[k].reg] &= ~w->unwritten.lanes[k];
    memset(w->unwritten.lanes, 0, sizeof w->unwritten.lanes);
    w->unwritten.any = 0;
  }
}

/* Nobody can go on: lanes stand at different joins, or wait for lanes that stand at a barrier. */
static void stuck(struct warp *w) {
  const struct group *g = NULL;
  for (uint32_t k = 0; k < w->group_count; k++) {
    if (w->groups[k].state == GROUP_JOINING)
      g = &w->groups[k];
    if (w->groups[k].state == GROUP_RETRY)
      return; /* an event may still come */
  }
  if (!g)
    return;
  const struct inst *i = &g->frame->function->code[g->pc];
  memory_fault_report(w, i, __builtin_ctz(g->mask), FAULT_LAUNCH_FAILED,
                      "lanes diverge: '%s' waits for lanes of mask 0x%08x that never come",
                      i->opcode, w->live & ~g->mask);
}

bool warp_run(struct warp *w, uint32_t budget) {
  struct launch *l = w->cta->launch;
  w->pause = false;
  if (!choose(w)) {
    stuck(w);
    return false;
  }
  uint32_t spent = 0;
  bool waits = false;
  while (spent < budget && !w->pause && !launch_failed(l)) {
    struct group *g = &w->groups[w->current];
    const struct inst *i = &w->frame->function->code[w->pc];
    uint32_t mask = g->mask;
    if (i->guarded) {
      if (mask & ~w->frame->written[i->guard.reg])
        memory_fault_report(w, i, __builtin_ctz(mask & ~w->frame->written[i->guard.reg]),
                            FAULT_LAUNCH_FAILED, "the guard of '%s' was never written", i->opcode);
      mask &= pred_get(w, &i->guard);
    }
    spent++;
    w->lane_instructions += (uint32_t)__builtin_popcount(mask);
    if (!mask) {
      w->pc++;
    } else if (__builtin_expect(i->flow == FLOW_NEXT, 1)) {
      execute(w, i, mask);
      if (w->groups[w->current].state != GROUP_RETRY)
        w->pc++;
    } else if (i->flow == FLOW_JOIN) {
      uint32_t need = members(w, i, mask);
      if (mask & ~need) { /* their turn comes next */
        warp_split(w, mask & ~need, w->frame, w->pc);
        mask &= need;
      }
      if ((need & ~mask) && !launch_failed(l)) {
        if (mask != g->mask) /* lanes whose guard is false do not wait */
          warp_split(w, g->mask & ~mask, w->frame, w->pc + 1);
        g->pc = w->pc;
        g->state = GROUP_JOINING;
        w->reschedule = true;
      } else {
        members_agree(w, i, mask);
        execute(w, i, mask);
        if (i->orders)
          order_tick(w);
        if (w->groups[w->current].state != GROUP_RETRY)
          w->pc++;
        w->groups[w->current].pc = w->pc;
      }
    } else {
      uint32_t missing = unwritten(w, i, mask);
      if (missing)
        report_unwritten(w, i, missing);
      else
        i->fn(w, i, mask);
    }
    if (w->reschedule || (w->group_count > 1 && w->frame->function->code[w->pc].leader)) {
      if (!w->reschedule)
        w->groups[w->current].pc = w->pc;
      waits = !w->live || !choose(w);
      if (waits)
        break;
    }
  }
  if (waits && w->live && !launch_failed(l))
    stuck(w);
  if (!waits && w->live)
    w->groups[w->current].pc = w->pc;
  w->executed += spent;
  if (w->executed > l->budget && !launch_failed(l)) {
    const struct inst *i = &w->frame->function->code[w->pc];
    memory_fault_report(
        w, i, -1, FAULT_TIMEOUT,
        "no end after %llu instructions of one warp: an endless loop, or a wait for what "
        "never comes (SINTER_SIM_INSTRUCTIONS raises the limit)",
        (unsigned long long)w->executed);
  }
  return spent > 0 && w->live;
}
