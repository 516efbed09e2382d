/* SPDX-License-Identifier: Apache-2.0 */
/* mbarrier objects. Their state lies beside shared memory; the 8 bytes there are only a place.
 * Source: PTX ISA, "mbarrier". */
#include "sim/exec/async.h"
#include "sim/exec/decode.h"

#include "base/mem.h"

#include <stdio.h>

enum { COUNT_MOST = (1 << 20) - 1 };
struct mbarriers {
  VEC(struct mbarrier *) all;
};

void mbarriers_destroy(struct mbarriers *m) {
  if (!m)
    return;
  for (uint32_t k = 0; k < m->all.len; k++)
    mem_free(m->all.data[k]);
  vec_deinit(&m->all);
  mem_free(m);
}

static struct mbarrier *find(const struct cta *c, uint32_t offset) {
  const struct mbarriers *m = c->mbarriers;
  for (uint32_t k = 0; m && k < m->all.len; k++)
    if (m->all.data[k]->offset == offset)
      return m->all.data[k];
  return NULL;
}

void mbarriers_check_end(struct cta *c) {
  for (uint32_t k = 0; c->mbarriers && k < c->mbarriers->all.len; k++) {
    const struct mbarrier *m = c->mbarriers->all.data[k];
    if (!m->live || !m->bytes)
      continue;
    struct inst where = {.opcode = "mbarrier", .line = m->line};
    memory_fault_report(
        &c->warps[0], &where, -1, FAULT_LAUNCH_FAILED,
        "the CTA ends while the mbarrier at byte %u, initialised here, %s %lld bytes "
        "in phase %llu: what was expected and what was copied differ",
        m->offset, m->bytes > 0 ? "still expects" : "has had too many,",
        (long long)(m->bytes > 0 ? m->bytes : -m->bytes), (unsigned long long)m->phase);
  }
}

struct mbarrier *mbarrier_at(struct warp *w, const struct inst *i, uint32_t lane, uint64_t address,
                             struct cta **out_cta) {
  uint32_t offset;
  struct cta *c = resolve_shared(w, i, lane, address, 8, &offset);
  if (!c)
    return NULL;
  struct mbarrier *m = offset % 8 ? NULL : find(c, offset);
  if (!m || !m->live) {
    memory_fault_report(w, i, (int)lane, offset % 8 ? FAULT_MISALIGNED : FAULT_LAUNCH_FAILED,
                        offset % 8 ? "mbarrier at byte %u of shared memory is misaligned"
                                   : "byte %u of shared memory holds no initialised mbarrier",
                        offset);
    return NULL;
  }
  if (c == w->cta && w->order && m->init_agent != w->id && !c->shadow->exhausted &&
      m->init_time > w->order->seen[m->init_agent]) {
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "race: the mbarrier at byte %u was initialised by warp %u (line %u) and no "
                        "barrier lies between",
                        offset, m->init_agent, m->line);
    return NULL;
  }
  *out_cta = c;
  return m;
}

static void settle(struct cta *c, struct mbarrier *m) {
  c->cluster->events++;
  if (m->pending || m->bytes)
    return;
  m->phase++;
  m->pending = m->count;
  m->passed = m->gathered;
  memset(&m->gathered, 0, sizeof m->gathered);
}

void mbarrier_complete(struct cta *c, struct mbarrier *m, uint32_t bytes, uint32_t agent,
                       uint32_t time) {
  if (m->gathered.seen[agent] < time)
    m->gathered.seen[agent] = time;
  m->bytes -= bytes;
  settle(c, m);
}

void mbarrier_arrive(struct warp *w, struct cta *c, struct mbarrier *m, uint32_t count) {
  if (c == w->cta)
    order_release(w, &m->gathered);
  m->pending -= count;
  settle(c, m);
}

static struct mbarrier *object(struct warp *w, const struct inst *i, uint32_t lane, uint32_t op,
                               struct cta **c) {
  return mbarrier_at(w, i, lane, lane_get(w, &i->op[op], lane) + (uint64_t)i->imm, c);
}

static void init(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    uint32_t offset;
    uint64_t count = lane_get(w, &i->op[1], l) & UINT32_MAX;
    struct cta *c =
        resolve_shared(w, i, l, lane_get(w, &i->op[0], l) + (uint64_t)i->imm, 8, &offset);
    if (!c)
      return;
    if (offset % 8 || !count || count > COUNT_MOST) {
      memory_fault_report(
          w, i, (int)l, FAULT_MISALIGNED,
          "mbarrier.init at byte %u with a count of %llu: a multiple of 8, and 1 to "
          "2^20 - 1",
          offset, (unsigned long long)count);
      return;
    }
    if (!c->mbarriers)
      c->mbarriers = mem_calloc(1, sizeof *c->mbarriers);
    struct mbarrier *m = find(c, offset);
    if (!m) {
      m = mem_calloc(1, sizeof *m);
      vec_push(&c->mbarriers->all, m);
    }
    struct grain *grains = shadow_grains(c);
    for (uint32_t k = offset >> c->shadow->shift; k <= (offset + 7) >> c->shadow->shift; k++)
      grains[k] = (struct grain){.writer = (uint32_t)AGENT_OTHER << 24 | 1};
    *m = (struct mbarrier){.offset = offset,
                           .live = true,
                           .count = (uint32_t)count,
                           .pending = (uint32_t)count,
                           .line = i->line,
                           .init_agent = w->id,
                           .init_time = w->order->seen[w->id]};
    c->cluster->events++;
  }
  order_tick(w);
}
exec_fn bind_mbarrier_init(struct binding *b) {
  (void)b;
  return init;
}

static void inval(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    struct cta *c;
    struct mbarrier *m = object(w, i, l, 0, &c);
    if (!m)
      return;
    m->live = false;
  }
}
exec_fn bind_mbarrier_inval(struct binding *b) {
  (void)b;
  return inval;
}

static bool change_bytes(struct warp *w, const struct inst *i, uint32_t l, struct mbarrier *m,
                         int64_t by) {
  m->bytes += by;
  if (m->bytes >= -COUNT_MOST && m->bytes <= COUNT_MOST)
    return true;
  memory_fault_report(w, i, (int)l, FAULT_LAUNCH_FAILED,
                      "the mbarrier at byte %u would expect %lld bytes: more than 2^20 - 1",
                      m->offset, (long long)m->bytes);
  return false;
}

static void transaction(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    struct cta *c;
    struct mbarrier *m = object(w, i, l, 0, &c);
    int64_t n = (int64_t)(lane_get(w, &i->op[1], l) & UINT32_MAX);
    if (!m || !change_bytes(w, i, l, m, i->operation == MOD_expect_tx ? n : -n))
      return;
    if (i->operation == MOD_complete_tx)
      settle(c, m);
  }
}
exec_fn bind_mbarrier_tx(struct binding *b) {
  b->inst->operation = (uint16_t)(has(b, MOD_expect_tx) ? MOD_expect_tx : MOD_complete_tx);
  return transaction;
}

static uint64_t state_of(const struct mbarrier *m) { return m->phase << 32 | m->pending; }

static void arrive(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    struct cta *c;
    struct mbarrier *m = object(w, i, l, 1, &c);
    uint64_t given = i->count > 2 ? lane_get(w, &i->op[2], l) & UINT32_MAX : 1;
    uint64_t count = i->aux[0] ? 1 : given; /* aux[0]: expect_tx */
    if (!m)
      return;
    if (!count || count > m->pending) {
      memory_fault_report(w, i, (int)l, FAULT_LAUNCH_FAILED,
                          "%llu arrivals at the mbarrier at byte %u, where %u of %u are pending in "
                          "phase %llu",
                          (unsigned long long)count, m->offset, m->pending, m->count,
                          (unsigned long long)m->phase);
      return;
    }
    if (i->aux[0] && !change_bytes(w, i, l, m, (int64_t)given))
      return;
    lane_set(w, &i->op[0], l, state_of(m));
    if (i->aux[1]) /* drop */
      m->count -= (uint32_t)count;
    mbarrier_arrive(w, c, m, (uint32_t)count);
  }
}
exec_fn bind_mbarrier_arrive(struct binding *b) {
  b->inst->aux[0] = has(b, MOD_expect_tx);
  b->inst->aux[1] = has(b, MOD_arrive_drop);
  return b->inst->count >= 2 ? arrive : NULL;
}

static void wait(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t done = 0;
  EACH_LANE(l, mask) {
    struct cta *c;
    struct mbarrier *m = object(w, i, l, 1, &c);
    if (!m)
      return;
    if (c != w->cta) {
      memory_fault_report(w, i, (int)l, FAULT_ILLEGAL_ADDRESS,
                          "a wait on an mbarrier of another CTA");
      return;
    }
    uint64_t asked = lane_get(w, &i->op[2], l);
    bool complete =
        i->aux[0] ? (m->phase & 1) != (asked & 1) : (m->phase & UINT32_MAX) != asked >> 32;
    done |= (uint32_t)complete << l;
    if (complete)
      order_acquire(w, &m->passed);
  }
  if (!done && i->operation == MOD_try_wait) {
    warp_retry(w);
    return;
  }
  w->pause = !done;
  pred_set(w, &i->op[0], mask, done);
}
exec_fn bind_mbarrier_wait(struct binding *b) {
  b->inst->aux[0] = has(b, MOD_parity);
  b->inst->operation = (uint16_t)(has(b, MOD_try_wait) ? MOD_try_wait : MOD_test_wait);
  return wait;
}

void mbarrier_describe(struct warp *w, const struct inst *i, const struct group *g, char *out,
                       size_t size) {
  const struct operand *o = &i->op[1];
  uint32_t lane = (uint32_t)__builtin_ctz(g->mask);
  const uint8_t *bank = o->bank == BANK_REGISTER   ? g->frame->registers
                        : o->bank == BANK_CONSTANT ? g->frame->function->constants
                                                   : w->bank[BANK_SPECIAL];
  uint64_t address = 0;
  memcpy(&address, bank + o->offset + (size_t)lane * o->width, o->width);
  address += (uint64_t)i->imm;
  const struct mbarrier *m = find(w->cta, (uint32_t)(address % WINDOW_BYTES));
  if (!m)
    return;
  snprintf(out, size,
           "the mbarrier at byte %u, initialised at line %u, stays in phase %llu with %u of %u "
           "arrivals missing and %lld bytes still expected",
           m->offset, m->line, (unsigned long long)m->phase, m->pending, m->count,
           (long long)m->bytes);
}

static void pending_count(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, lane_get(w, &i->op[1], l) & UINT32_MAX);
}
exec_fn bind_mbarrier_pending(struct binding *b) {
  return b->inst->count == 2 ? pending_count : NULL;
}

/* cp.async.mbarrier.arrive: the copies of this thread so far arrive with it. */
static void copies_arrive(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    struct cta *c;
    struct mbarrier *m = object(w, i, l, 0, &c);
    if (!m)
      return;
    uint32_t time = w->copies ? w->copies->issued : 0, agent = AGENT_COPY + w->id;
    if (m->gathered.seen[agent] < time)
      m->gathered.seen[agent] = time;
    if (!i->aux[0]) { /* without .noinc the pending count grows first */
      c->cluster->events++;
      continue;
    }
    if (!m->pending) {
      memory_fault_report(
          w, i, (int)l, FAULT_LAUNCH_FAILED,
          "more arrivals of copies than the mbarrier at byte %u was initialised for", m->offset);
      return;
    }
    mbarrier_arrive(w, c, m, 1);
  }
}
exec_fn bind_copy_arrive(struct binding *b) {
  b->inst->aux[0] = has(b, MOD_noinc);
  return has(b, MOD_arrive) ? copies_arrive : NULL;
}
