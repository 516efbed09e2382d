/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/exec/race.h"

#include <stdlib.h>

struct shadow *shadow_create(struct cta *c) {
  uint32_t clocks = c->warp_count + 17, shift = c->launch->program->grain_shift;
  size_t grains = (c->shared_bytes >> shift) + 2;
  struct shadow *s =
      calloc(1, sizeof *s + clocks * sizeof(struct vclock) + grains * sizeof(struct grain));
  if (!s)
    return NULL;
  s->shift = shift;
  s->clocks = clocks;
  for (uint32_t k = 0; k < c->warp_count; k++) {
    c->warps[k].order = &s->pool[k];
    s->pool[k].seen[k] = 1;
  }
  for (uint32_t k = 0; k < 16; k++)
    c->barriers[k].order = &s->pool[c->warp_count + k];
  return s;
}

void shadow_destroy(struct shadow *s) { free(s); }

struct grain *shadow_grains(const struct cta *c) {
  return (struct grain *)(void *)&c->shadow->pool[c->shadow->clocks];
}
struct vclock *shadow_cluster_clock(const struct cta *c) {
  return c->shadow ? &c->shadow->pool[c->shadow->clocks - 1] : NULL;
}

void order_tick(struct warp *w) {
  if (!w->order)
    return;
  uint32_t *own = &w->order->seen[w->id];
  if (*own >= TIME_MOST)
    w->cta->shadow->exhausted = true;
  else
    ++*own;
}
void order_release(struct warp *w, struct vclock *to) {
  if (!w->order || !to)
    return;
  vclock_join(to, w->order);
  order_tick(w);
}
void order_acquire(struct warp *w, const struct vclock *from) {
  if (w->order && from)
    vclock_join(w->order, from);
}
void order_atomic(struct warp *w) {
  if (!w->order || w->cta->warp_count == 1)
    return;
  order_acquire(w, &w->cta->shadow->atomics);
  order_release(w, &w->cta->shadow->atomics);
}
void order_proxy_fence(struct warp *w) {
  if (!w->order)
    return;
  for (uint32_t k = 0; k < 32; k++)
    w->order->proxied[k] =
        w->order->proxied[k] > w->order->seen[k] ? w->order->proxied[k] : w->order->seen[k];
  order_tick(w);
}
void order_unit_done(struct warp *w, uint32_t agent, uint32_t time) {
  if (w->order && w->order->seen[agent] < time)
    w->order->seen[agent] = time;
}

/* Reports. */

static const char *verb(uint32_t access) {
  return access & ACCESS_ATOMIC ? "atomic" : access & ACCESS_WRITE ? "store" : "load";
}

static bool uninitialised(struct warp *w, const struct inst *i, uint32_t lane, uint32_t at) {
  memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                      "uninitialised: '%s' reads byte %u of shared memory, which nobody wrote",
                      i->opcode, at);
  return false;
}

static bool report(struct warp *w, const struct inst *i, uint32_t lane, uint32_t at,
                   const char *what, uint32_t other, bool other_writes) {
  uint32_t a = record_agent(other);
  const char *did = other_writes ? "wrote" : "read";
  if (a < 32)
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "race in shared memory: %s at byte %u, which thread %u (warp %u, lane %u) "
                        "%s and no barrier lies between",
                        what, at, a * 32 + record_lane(other), a, record_lane(other), did);
  else if (a == AGENT_TENSOR || (a >= AGENT_COPY && a < AGENT_STORE))
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "asynchronous copy used before its wait: %s at byte %u of shared memory, "
                        "which %s writes, and this thread has not waited for it",
                        what, at, a == AGENT_TENSOR ? "a bulk copy" : "a cp.async");
  else
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "race in shared memory: %s at byte %u, which %s of warp %u may still read: "
                        "its wait comes first",
                        what, at, a < AGENT_WGMMA ? "a bulk copy" : "a wgmma",
                        a < AGENT_WGMMA ? a - AGENT_STORE : a - AGENT_WGMMA);
  return false;
}

static inline bool unseen(const struct warp *w, uint32_t lane, uint32_t r) {
  uint32_t agent = record_agent(r), time = record_time(r);
  if (!r || agent == AGENT_OTHER)
    return false;
  if (agent == w->id)
    return time >= w->order->seen[w->id] && record_lane(r) != lane;
  return time > w->order->seen[agent];
}

/* Strong accesses order by themselves what they meet of each other, and of their own warp. */
static inline bool races(const struct warp *w, uint32_t lane, uint32_t r, bool strong) {
  return !(strong && (record_strong(r) || record_agent(r) == w->id)) && unseen(w, lane, r);
}

/* Keeps the readers that a later writer is likeliest not to have seen. */
static inline void note_reader(const struct warp *w, struct grain *g, uint32_t r) {
  uint32_t agent = record_agent(r);
  if (!g->reader[0] || record_agent(g->reader[0]) == agent) {
    g->reader[0] = r;
    return;
  }
  if (!g->reader[1] || record_agent(g->reader[1]) == agent || unseen(w, 32, g->reader[0])) {
    g->reader[1] = r;
    return;
  }
  g->reader[0] = r;
}

bool shadow_access(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                   uint32_t offset, uint32_t n, uint32_t access, bool same) {
  struct shadow *s = c->shadow;
  struct grain *all = shadow_grains(c);
  uint32_t first = offset >> s->shift, last = (offset + n - 1) >> s->shift;
  bool remote = c != w->cta, check = !remote && !s->exhausted;
  bool strong = (access & ACCESS_ATOMIC) || i->strong;
  uint32_t mine = remote ? (uint32_t)AGENT_OTHER << 24 | 1
                         : record(strong ? AGENT_STRONG + w->id : w->id, lane,
                                  w->order->seen[w->id]);
  for (uint32_t k = first; k <= last; k++) {
    struct grain *g = &all[k];
    if ((access & ACCESS_READ) && !g->writer)
      return uninitialised(w, i, lane, k << s->shift);
    if (check && !(same && record_agent(g->writer) < 32) && races(w, lane, g->writer, strong))
      return report(w, i, lane, k << s->shift, verb(access), g->writer, true);
    if (access & ACCESS_WRITE) {
      if (check && !same)
        for (uint32_t r = 0; r < 2; r++)
          if (races(w, lane, g->reader[r], strong))
            return report(w, i, lane, k << s->shift, verb(access), g->reader[r], false);
      if (!same || !g->writer)
        g->writer = mine;
    } else if (check) {
      note_reader(w, g, mine);
    }
  }
  return true;
}

bool shadow_unit_read(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                      uint32_t offset, uint32_t n, uint32_t agent, uint32_t time) {
  struct shadow *s = c->shadow;
  struct grain *all = shadow_grains(c);
  uint32_t mine = record(agent, 0, time & TIME_MOST);
  uint32_t seen = 0; /* the writer that was found in order last */
  for (uint32_t k = offset >> s->shift; k <= (offset + n - 1) >> s->shift; k++) {
    struct grain *g = &all[k];
    if (g->writer == seen && seen) {
      if (g->reader[0] != mine)
        note_reader(w, g, mine);
      continue;
    }
    uint32_t a = record_agent(g->writer), t = record_time(g->writer);
    if (!g->writer)
      return uninitialised(w, i, lane, k << s->shift);
    if (c != w->cta || s->exhausted)
      continue;
    if (a != w->id && unseen(w, lane, g->writer))
      return report(w, i, lane, k << s->shift, "read by an asynchronous unit", g->writer, true);
    if (a < 32 && t > w->order->proxied[a]) {
      memory_fault_report(
          w, i, (int)lane, FAULT_LAUNCH_FAILED,
          "missing proxy fence: '%s' reads byte %u of shared memory, which thread %u wrote by an "
          "ordinary store; fence.proxy.async must come between",
          i->opcode, k << s->shift, a * 32 + record_lane(g->writer));
      return false;
    }
    seen = g->writer;
    note_reader(w, g, mine);
  }
  return true;
}

bool shadow_unit_write(struct warp *w, const struct inst *i, uint32_t lane, struct cta *c,
                       uint32_t offset, uint32_t n, uint32_t agent, uint32_t time) {
  struct shadow *s = c->shadow;
  struct grain *all = shadow_grains(c);
  bool check = c == w->cta && !s->exhausted;
  uint32_t mine = record(agent, 0, time & TIME_MOST);
  for (uint32_t k = offset >> s->shift; k <= (offset + n - 1) >> s->shift; k++) {
    struct grain *g = &all[k];
    if (check && record_agent(g->writer) != w->id && record_agent(g->writer) != agent &&
        unseen(w, lane, g->writer))
      return report(w, i, lane, k << s->shift, "written by an asynchronous copy", g->writer, true);
    for (uint32_t r = 0; check && r < 2; r++)
      if (record_agent(g->reader[r]) != w->id && unseen(w, lane, g->reader[r]))
        return report(w, i, lane, k << s->shift, "written by an asynchronous copy", g->reader[r],
                      false);
    *g = (struct grain){.writer = mine};
  }
  return true;
}
